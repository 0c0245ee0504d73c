"""Builds every image and runs it from its own root folder, as a pod would: its user, its memory, real servers around it.

Runs where buildah is; as root, or where buildah can be without. The base is made by mmdebstrap where there is no other.
"""

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
import yaml
from msgspec import Struct

from k8s.programs.build import build
from k8s.programs.images import TOOLS, Image, wanted
from k8s.programs.quantities import mebibytes
from k8s.tools.store import sha256
from runtime.closure import Checkout
from runtime.delivery.broker import Broker
from runtime.delivery.envelope import task_message
from runtime.delivery.outbox import Row
from runtime.services import ROOT, Service, load_services
from shared import clock
from shared.ids import new_id
from shared.messages import ClassifyPhoto
from shared.objects import ObjectStore
from tests import support
from tests.ai.test_embedded import shipped
from tests.k8s.conftest import different

BASE = os.environ.get("ECO2_BASE_IMAGE", "localhost/eco2-base:bookworm")
MIB = 1024 * 1024
# Compressed, above the base.
BUDGET = {"worker-ai": 250 * MIB}
API_BUDGET = 60 * MIB

pytestmark = pytest.mark.skipif(shutil.which("buildah") is None or os.geteuid() != 0, reason="needs buildah, as root")


def run(*words: str, **environ: str) -> str:
    done = subprocess.run(words, env=os.environ | environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words[:3]}: {done.stderr[-2000:]}"
    return done.stdout.strip()


@pytest.fixture(scope="module", autouse=True)
def isolation() -> Iterator[None]:
    """No other isolation works inside a virtual machine without namespaces of its own."""
    old = os.environ.get("BUILDAH_ISOLATION")
    os.environ["BUILDAH_ISOLATION"] = "chroot"
    yield
    os.environ.pop("BUILDAH_ISOLATION")
    if old is not None:
        os.environ["BUILDAH_ISOLATION"] = old


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Debian's Python, and nothing else."""
    if (
        subprocess.run(["buildah", "inspect", "--type", "image", BASE], capture_output=True, check=False).returncode
        == 0
    ):
        return BASE
    if not EVERY or shutil.which("mmdebstrap") is None:
        pytest.skip(f"there is no image {BASE}: `make images` makes it, with mmdebstrap")
    archive = tmp_path_factory.mktemp("base") / "base.tar"
    packages = "--include=python3,ca-certificates"
    run("mmdebstrap", "--variant=minbase", packages, "bookworm", str(archive), SOURCE_DATE_EPOCH="1")
    container = run("buildah", "from", "scratch")
    run("buildah", "add", "--quiet", container, str(archive), "/")
    run("buildah", "commit", "--quiet", "--timestamp", "0", container, BASE)
    run("buildah", "rm", container)
    return BASE


# `make images` builds all of them, which takes minutes; without, one represents the others. ECO2_IMAGES may name some.
CHOSEN = os.environ.get("ECO2_IMAGES", "api-recycle-info")
EVERY = CHOSEN == "all"
IMAGES = [name for name in (*(s.name for s in load_services().values()), TOOLS) if EVERY or name in CHOSEN.split(",")]
SERVICES = [name for name in IMAGES if name != TOOLS]
# Of this process alone: another run may build the same tags beside it.
OURS = f"localhost/eco2-test-{os.getpid()}"
OWNER = f"images-{os.getpid()}"  # a queue that hears how a task ended


@pytest.fixture(scope="module")
def built(base: str) -> Iterator[dict[str, tuple[Image, str]]]:
    """Every image, by its name: built now. One that an earlier run left under the same tag would prove nothing."""
    checkout = Checkout()
    found = {}
    try:
        for image in wanted(checkout):
            if image.name in IMAGES:
                name = f"{OURS}/{image.name}:{image.tag}"
                build(checkout, image, name=name, base=base, program="buildah")
                found[image.name] = (image, name)
        yield found
    finally:
        for _, name in found.values():
            run("buildah", "rmi", name)


@contextlib.contextmanager
def root_of(name: str) -> Iterator[Path]:
    container = run("buildah", "from", "--pull-never", name)
    root = Path(run("buildah", "mount", container))
    # As in a pod; the dynamic linker finds a program's own libraries by it.
    run("mount", "-t", "proc", "proc", str(root / "proc"))
    try:
        yield root
    finally:
        run("umount", "--lazy", str(root / "proc"))
        run("buildah", "rm", container)


def compressed(name: str, base: str) -> int:
    """Bytes of an image's layers as a registry holds them, without the base's."""

    def layers(image: str) -> list[tuple[str, int]]:
        with tempfile.TemporaryDirectory() as folder:
            run("buildah", "push", "--quiet", "--format", "oci", image, f"dir:{folder}")
            manifest = json.loads((Path(folder) / "manifest.json").read_text())
            digests = json.loads((Path(folder) / manifest["config"]["digest"].partition(":")[2]).read_text())
            sizes = [layer["size"] for layer in manifest["layers"]]
            return list(zip(digests["rootfs"]["diff_ids"], sizes, strict=True))

    below = {digest for digest, _ in layers(base)}
    return sum(size for digest, size in layers(name) if digest not in below)


@pytest.mark.parametrize("which", IMAGES)
def test_an_image_keeps_its_budget(which: str, built: dict[str, tuple[Image, str]], base: str) -> None:
    size = compressed(built[which][1], base)
    sys.stdout.write(f"{which}: {size / MIB:.1f} MiB compressed above the base\n")
    if which.startswith("api-"):
        assert size <= API_BUDGET
    assert size <= BUDGET.get(which, 120 * MIB)


@pytest.mark.parametrize("which", IMAGES)
def test_an_image_holds_its_closure_compiled_and_says_what_it_is(
    which: str, built: dict[str, tuple[Image, str]]
) -> None:
    image, name = built[which]
    config = json.loads(run("buildah", "inspect", "--type", "image", name))["OCIv1"]["config"]
    assert config["Labels"]["eco2.tag"] == image.tag
    assert json.loads(config["Labels"]["eco2.functions"]) == image.record.functions
    assert config["User"] == "10001:10001"
    with root_of(name) as root:
        app = root / "eco2/app"
        held = {path.relative_to(app).as_posix() for path in app.rglob("*") if path.is_file() and path.suffix != ".pyc"}
        assert held == set(image.files)
        for file in held:
            if file.endswith(".py"):
                path = app / file
                assert list((path.parent / "__pycache__").glob(f"{path.stem}.cpython-*.pyc")), file
        assert not any(
            (root / path).exists() for path in ("usr/bin/gcc", "usr/bin/pip", "eco2/app/tests", "eco2/lib/pytest")
        )
        assert not [
            path for path in (root / "eco2").rglob("*") if path.stat().st_mode & 0o022 and not path.is_symlink()
        ]


@contextlib.contextmanager
def memory_limit(limit: str) -> Iterator[Path | None]:
    """A control group with that limit, or None where this machine lets us make none."""
    for root, file in (
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
        (Path("/sys/fs/cgroup"), "memory.max"),
    ):
        group = root / f"eco2-test-{os.getpid()}"
        try:
            group.mkdir()
            (group / file).write_text(str(int(mebibytes(limit) * MIB)))
        except OSError:
            with contextlib.suppress(OSError):
                group.rmdir()
            continue
        try:
            yield group
        finally:
            for _ in range(50):
                try:
                    group.rmdir()
                    break
                except OSError:
                    time.sleep(0.1)
        return
    yield None


# The image's user, in the image's root folder, where its process starts.
CHROOT = [shutil.which("chroot") or "/usr/sbin/chroot", "--userspec=10001:10001"]
AT_HOME = ["/usr/bin/env", "-C", "/eco2/app"]


def in_root(root: Path, words: list[str], environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CHROOT, str(root), *AT_HOME, *words], env=environ, capture_output=True, text=True, check=False
    )


def log_of(root: Path, words: list[str]) -> Path:
    """What a process that was started there says."""
    return root / f"tmp/{words[2]}.log"


@contextlib.contextmanager
def started(
    root: Path, words: list[str], environ: dict[str, str], group: Path | None
) -> Iterator[subprocess.Popen[bytes]]:
    join = f"echo $$ > {group}/cgroup.procs; " if group else ""
    command = ["sh", "-c", f'{join}exec "$@"', "sh", *CHROOT, str(root), *AT_HOME, *words]
    with log_of(root, words).open("wb") as out:
        process = subprocess.Popen(command, env=environ, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def ask(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 60
    status, body = 0, b""
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-2000:]
        with contextlib.suppress(OSError):
            status, body = ask(port, "/readyz")
            if status == 200:
                return
        time.sleep(0.1)
    pytest.fail(f"not ready: {status} {body!r} {log.read_text()[-2000:]}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Container(Struct):
    """What a service's manifest starts: the words, and the names that it puts into the environment."""

    words: list[str]
    names: set[str]
    limited: bool  # by the service's memory; those beside it have limits of their own

    def environ(self, every: dict[str, str], port: int) -> dict[str, str]:
        """No more of the environment than the manifest sets: what it forgets is missing here as in a cluster."""
        found = {name: value for name, value in every.items() if name in self.names or name in IN_IMAGE}
        return found | {"HEALTH_PORT" if "HEALTH_PORT" in self.names else "PORT": str(port)}


def pod(service: Service) -> list[Container]:
    """A service's containers in the order in which a pod starts them."""
    documents = yaml.safe_load_all((ROOT / f"k8s/base/services/{service.name}.yaml").read_text())
    spec = next(d for d in documents if d["kind"] in ("Deployment", "StatefulSet"))["spec"]["template"]["spec"]
    return [
        Container(found["command"], {entry["name"] for entry in found["env"]}, group == "containers")
        for group in ("initContainers", "containers")
        for found in spec.get(group, [])
    ]


IN_IMAGE = ("PATH", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")


def inside(root: Path, environment: dict[str, str], keys: support.Keys, image: Image) -> dict[str, str]:
    """What the containers' environments are taken of: that of the image, and the addresses of the test's servers."""
    folder = root / "tmp/keys"
    folder.mkdir(mode=0o755)
    for file in (keys.private, keys.public):
        shutil.copy(file, folder / Path(file).name)
        (folder / Path(file).name).chmod(0o644)
    (root / "tmp/journal").mkdir()
    os.chown(root / "tmp/journal", 10001, 10001)
    config = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": "/eco2/app:/eco2/lib",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    own = {
        "AUTH_JWKS_FILE": f"/tmp/keys/{Path(keys.public).name}",
        "AUTH_SIGNING_KEY_FILE": f"/tmp/keys/{Path(keys.private).name}",
        "JOURNAL_PATH": "/tmp/journal/worker.db",
        "MODEL_DIR": "/eco2/made",
        "SERVICE_URLS": ",".join(
            f"{name}=http://127.0.0.1:9" for name in (image.service.calls if image.service else [])
        ),
        "HOST": "127.0.0.1",
        "BACKUP_BUCKET": environment["S3_BUCKET"],
    }
    return environment | config | own


@pytest.mark.parametrize("which", SERVICES)
def test_a_service_becomes_ready_from_its_own_root_folder_with_what_its_manifest_sets(
    which: str, built: dict[str, tuple[Image, str]], environment: dict[str, str], keys: support.Keys
) -> None:
    image, name = built[which]
    service = image.service
    assert service is not None
    with root_of(name) as root, memory_limit(service.run.memory) as group, contextlib.ExitStack() as stack:
        every = inside(root, environment, keys, image)
        if not service.is_worker:
            migrated = in_root(root, ["python3", "-m", "runtime.migrate", "--phase", "before"], every)
            assert migrated.returncode == 0, migrated.stderr
        for container in pod(service):
            port, words = free_port(), container.words
            limit = group if container.limited else None
            process = stack.enter_context(started(root, words, container.environ(every, port), limit))
            until_ready(process, port, log_of(root, words))
        assert ask(port, "/metrics")[0] == 200
        time.sleep(1.5)  # what begins after readiness needs memory too
        until_ready(process, port, log_of(root, words))


def shown(broker: Broker, objects: ObjectStore) -> Row:
    """A task for the worker with the classifier: a photograph under a hash that no cache knows."""
    key = f"images/{new_id()}/thumb.jpg"
    objects.put(key, shipped("coffee.png"), content_type="image/jpeg")
    row = Row(
        id=new_id(),
        actor="ai/classify_photo",
        message=msgspec.to_builtins(ClassifyPhoto(key, new_id().hex, key, str(new_id()))),
        reply=f"{OWNER}/told",
        subject=new_id(),
        traceparent=None,
        created_at=clock.now(),
        time_limit=timedelta(minutes=5),
    )
    broker.publish([task_message("waste", row)])
    return row


@pytest.mark.skipif("worker-ai" not in IMAGES, reason="make images")
def test_the_ai_worker_s_image_says_what_a_photo_shows(
    built: dict[str, tuple[Image, str]],
    environment: dict[str, str],
    keys: support.Keys,
    broker_url: str,
    objects: ObjectStore,
) -> None:
    """Readiness tells nothing of it: the networks are loaded at the first photo, from the image's folder `made`."""
    image, name = built["worker-ai"]
    assert image.service is not None
    broker = Broker(broker_url)
    with root_of(name) as root, memory_limit(image.service.run.memory) as group:
        worker = pod(image.service)[-1]
        environ = worker.environ(inside(root, environment, keys, image), free_port())
        with started(root, worker.words, environ, group) as process:
            row, told = shown(broker, objects), []
            while not told:
                said = log_of(root, worker.words).read_text()[-2000:]
                assert process.poll() is None, said
                assert clock.now() < row.created_at + row.time_limit, said
                time.sleep(0.1)
                told = broker.fetch(OWNER, 1)
    broker.close()
    assert told[0].message.message_id == str(row.id)
    assert told[0].message.kwargs["outcome"]["record"]["waste_type"] == "general"


@pytest.mark.skipif(TOOLS not in IMAGES, reason="make images")
def test_the_tools_dump_the_database_from_their_own_root_folder(
    built: dict[str, tuple[Image, str]], environment: dict[str, str], keys: support.Keys, s3: support.S3
) -> None:
    image, name = built[TOOLS]
    with root_of(name) as root:
        environ = inside(root, environment, keys, image)
        for words in (["-m", "k8s.tools.backup", "dump"], ["-m", "k8s.tools.backup", "list"]):
            done = in_root(root, ["python3", *words], environ)
            assert done.returncode == 0, done.stderr
            assert done.stdout.startswith(f"s3://{s3.bucket}/postgres/")


def digests(name: str) -> dict[str, str]:
    """What an image holds of ours: kind, mode, owner, time and content of each file, by its path."""
    found = {}
    with root_of(name) as root:
        for path in sorted((root / "eco2").rglob("*")):
            state = path.lstat()
            content = sha256(path) if path.is_file() and not path.is_symlink() else ""
            facts = f"{state.st_mode:o} {state.st_uid}:{state.st_gid} {state.st_mtime:g} {content}"
            found[path.relative_to(root).as_posix()] = facts
    return found


def layers(name: str) -> list[str]:
    config = json.loads(run("buildah", "inspect", "--type", "image", name))["OCIv1"]
    found: list[str] = config["rootfs"]["diff_ids"]
    return found


@pytest.mark.parametrize("which", IMAGES)
def test_the_same_inputs_give_the_same_image(
    which: str, base: str, built: dict[str, tuple[Image, str]], another_machine: Path
) -> None:
    first, name = built[which]
    checkout = Checkout(another_machine)
    image = next(image for image in wanted(checkout) if image.name == which)
    assert image.tag == first.tag
    again = f"{OURS}/again:{image.tag}"
    build(checkout, image, name=again, base=base, program="buildah")
    try:
        names = different(digests(name), digests(again))
        assert not names, f"these differ: {', '.join(names)}"
        assert layers(again) == layers(name)
    finally:
        run("buildah", "rmi", again)
