"""Builds every image and runs it as its manifest says: read-only, its user, no capabilities, its memory; real servers around it.

Runs as root, where buildah and podman are. The base is made by mmdebstrap where there is no other.
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
from typing import Any

import msgspec
import pytest
import yaml
from msgspec import Struct

from k8s.programs.build import build
from k8s.programs.images import TOOLS, Image, wanted
from k8s.programs.jobs import migration_job
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

PROGRAMS = ("buildah", "podman")
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, PROGRAMS)), reason=f"needs {' and '.join(PROGRAMS)}, as root"
)


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


class Built:
    """The images by their names, each built when it is first asked for: one that an earlier run left would prove nothing."""

    def __init__(self, base: str) -> None:
        self.checkout = Checkout()
        self.base = base
        self.found: dict[str, tuple[Image, str]] = {}

    def __getitem__(self, which: str) -> tuple[Image, str]:
        if which not in self.found:
            image = next(image for image in wanted(self.checkout) if image.name == which)
            name = f"{OURS}/{image.name}:{image.tag}"
            build(self.checkout, image, name=name, base=self.base, program="buildah")
            self.found[which] = (image, name)
        return self.found[which]


@pytest.fixture(scope="module")
def built(base: str) -> Iterator[Built]:
    images = Built(base)
    try:
        yield images
    finally:
        for _, name in images.found.values():
            run("buildah", "rmi", name)


@contextlib.contextmanager
def root_of(name: str) -> Iterator[Path]:
    container = run("buildah", "from", "--pull-never", name)
    try:
        yield Path(run("buildah", "mount", container))
    finally:
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
def test_an_image_keeps_its_budget(which: str, built: Built, base: str) -> None:
    size = compressed(built[which][1], base)
    sys.stdout.write(f"{which}: {size / MIB:.1f} MiB compressed above the base\n")
    if which.startswith("api-"):
        assert size <= API_BUDGET
    assert size <= BUDGET.get(which, 120 * MIB)


@pytest.mark.parametrize("which", IMAGES)
def test_an_image_holds_its_closure_compiled_and_says_what_it_is(which: str, built: Built) -> None:
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


# What a container may do where its manifest allows nothing more. A runtime raises its limits of files and processes unless it is
# told some, which root of a machine within a machine may not.
CONFINED = [
    *("--network=host", "--read-only", "--read-only-tmpfs=false", "--cap-drop=ALL", "--security-opt=no-new-privileges"),
    *("--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096"),
]
ALLOWED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
}


def in_image(name: str, environ: dict[str, str], words: list[str]) -> list[str]:
    """The command that runs words in an image, confined."""
    runtime = shutil.which("runc")  # crun refuses some machines that have both kinds of control groups
    given = (f"--env={key}={value}" for key, value in environ.items())
    return ["podman", *([f"--runtime={runtime}"] if runtime else []), "run", "--rm", *CONFINED, *given, *words]


def in_container(container: "Container", name: str, environ: dict[str, str], volumes: Path) -> list[str]:
    """The command that runs what a manifest says, in an image."""
    words = [f"--user={container.user}", f"--memory={container.memory}", f"--memory-swap={container.memory}"]
    words += [f"--volume={volumes / volume}:{path}{mode}" for volume, path, mode in container.mounts]
    return in_image(name, environ, [*words, name, *container.words])


@contextlib.contextmanager
def started(
    container: "Container", name: str, environ: dict[str, str], volumes: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A container of a pod, until it is told to end; it must do so by itself, and well."""
    command = in_container(container, name, environ, volumes)
    with log_of(volumes, container).open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()  # podman hands it on
        ended = process.wait(container.grace)
    assert ended == 0, log_of(volumes, container).read_text()[-2000:]


def log_of(volumes: Path, container: "Container") -> Path:
    return volumes / f"{container.name}.log"


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
    """What a service's manifest says of a container."""

    name: str
    words: list[str]
    variables: dict[str, str | None]  # with the values that the manifest has itself
    user: str
    memory: str
    mounts: list[tuple[str, str, str]]
    grace: int

    def environ(self, every: dict[str, str], port: int = 0) -> dict[str, str]:
        """No more of the environment than the manifest sets: what it forgets is missing here as in a cluster."""
        said = {name: every.get(name) if value is None else value for name, value in self.variables.items()}
        said |= {name: every[name] for name in ("SERVICE_URLS", "HOST") if name in said}
        said["HEALTH_PORT" if "HEALTH_PORT" in said else "PORT"] = str(port)
        return {name: value for name, value in said.items() if value is not None}


def containers(workload: dict[str, Any]) -> list[Container]:
    """A workload's containers in the order in which a pod starts them."""
    spec = workload["spec"]["template"]["spec"]
    who, found = spec["securityContext"], []
    for one in (*spec.get("initContainers", ()), *spec["containers"]):
        assert one["securityContext"] == ALLOWED
        mounts = [(m["name"], m["mountPath"], ":ro" if m.get("readOnly") else "") for m in one["volumeMounts"]]
        found.append(
            Container(
                one["name"],
                one["command"],
                {entry["name"]: entry.get("value") for entry in one["env"]},
                f"{who['runAsUser']}:{who['runAsGroup']}",
                f"{mebibytes(one['resources']['limits']['memory']):.0f}m",
                mounts,
                spec.get("terminationGracePeriodSeconds", 30),
            )
        )
    return found


def pod(service: Service) -> list[Container]:
    documents = yaml.safe_load_all((ROOT / f"k8s/base/services/{service.name}.yaml").read_text())
    return containers(next(d for d in documents if d["kind"] in ("Deployment", "StatefulSet")))


@pytest.fixture
def volumes(tmp_path: Path, keys: support.Keys) -> Path:
    """The volumes of a pod: its files and what it may write, which belong to the group 10001 (fsGroup)."""
    files = {"jwks/jwks.json": keys.public, "auth-signing-key/value": keys.private}
    for name in ("tmp", "journal", "jwks", "auth-signing-key", "oauth-providers"):
        (tmp_path / name).mkdir()
        os.chown(tmp_path / name, 0, 10001)
        (tmp_path / name).chmod(0o2775)
    for name, source in files.items():
        shutil.copy(source, tmp_path / name)
        os.chown(tmp_path / name, 0, 10001)
        (tmp_path / name).chmod(0o440)
    return tmp_path


def around(environment: dict[str, str], image: Image) -> dict[str, str]:
    """What the settings and secrets of a cluster would say: the addresses of the test's servers."""
    calls = image.service.calls if image.service else []
    return environment | {
        "SERVICE_URLS": ",".join(f"{name}=http://127.0.0.1:9" for name in calls),
        "HOST": "127.0.0.1",
        "BACKUP_BUCKET": environment["S3_BUCKET"],
    }


@pytest.mark.parametrize("which", SERVICES)
def test_a_service_becomes_ready_and_ends_confined_as_its_manifest_says(
    which: str, built: Built, environment: dict[str, str], volumes: Path
) -> None:
    image, name = built[which]
    service = image.service
    assert service is not None
    every = around(environment, image)
    if not service.is_worker:
        (job,) = containers(migration_job(image, name, "before"))
        run(*in_container(job, name, job.environ(every), volumes))
    with contextlib.ExitStack() as stack:
        for container in pod(service):
            port = free_port()
            process = stack.enter_context(started(container, name, container.environ(every, port), volumes))
            until_ready(process, port, log_of(volumes, container))
        assert ask(port, "/metrics")[0] == 200
        time.sleep(1.5)  # what begins after readiness needs memory too
        until_ready(process, port, log_of(volumes, container))


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
    built: Built,
    environment: dict[str, str],
    volumes: Path,
    broker_url: str,
    objects: ObjectStore,
) -> None:
    """Readiness tells nothing of it: the networks are loaded at the first photo, from the image's folder `made`."""
    image, name = built["worker-ai"]
    assert image.service is not None
    broker = Broker(broker_url)
    worker = pod(image.service)[-1]
    with started(worker, name, worker.environ(around(environment, image), free_port()), volumes) as process:
        row = shown(broker, objects)
        told: list[Any] = []
        while not told:
            said = log_of(volumes, worker).read_text()[-2000:]
            assert process.poll() is None, said
            assert clock.now() < row.created_at + row.time_limit, said
            time.sleep(0.1)
            told = broker.fetch(OWNER, 1)
    broker.close()
    assert told[0].message.message_id == str(row.id)
    assert told[0].message.kwargs["outcome"]["record"]["waste_type"] == "general"


@pytest.mark.skipif(TOOLS not in IMAGES, reason="make images")
def test_the_tools_dump_the_database_confined_as_they_are(
    built: Built, environment: dict[str, str], s3: support.S3, volumes: Path
) -> None:
    image, name = built[TOOLS]
    words = ["--user=10001:10001", f"--volume={volumes / 'tmp'}:/tmp", name, "python3", "-m", "k8s.tools.backup"]
    for what in ("dump", "list"):
        said = run(*in_image(name, around(environment, image), [*words, what]))
        assert said.startswith(f"s3://{s3.bucket}/postgres/")


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
def test_the_same_inputs_give_the_same_image(which: str, base: str, built: Built, another_machine: Path) -> None:
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
