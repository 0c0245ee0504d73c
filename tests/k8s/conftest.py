"""What the tests of the delivery share: a checkout to change, the overlays as kustomize puts them together."""

import base64
import functools
import os
import shutil
import subprocess
import tempfile
import venv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psycopg
import pytest
import redis as redis_client

from emulator.servers.postgres import Postgres
from k8s.programs import secrets
from k8s.programs.cluster import Cluster
from k8s.programs.environments import environment
from k8s.programs.images import TOOLS, wanted
from k8s.programs.jobs import migration_job, prepare_job
from k8s.programs.templates import Document
from k8s.programs.wanted import overlay_documents, put_images
from runtime.closure import Checkout
from runtime.services import ROOT
from tests import commands
from tests.clusters import Clusters
from tests.k8s.api.server import Server
from tests.prepared import prepared

PARTS = ("functions", "shared", "runtime", "k8s", "emulator", "locks", "pyproject.toml")


@pytest.fixture(scope="session")
def readings() -> Path:
    """What this checkout's code means, read once for the commands in all of its copies."""
    wanted(Checkout())
    return ROOT / "build/readings.msgpack"


@pytest.fixture
def checkout(tmp_path: Path, readings: Path) -> Path:
    """A copy of this checkout that a test may change."""
    root = tmp_path / "checkout"
    (root / "build").mkdir(parents=True)
    shutil.copy(readings, root / "build")
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, root / part)
        else:
            shutil.copy(source, root / part)
    return root


@pytest.fixture
def another_machine(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same checkout as somebody else has it: elsewhere, younger, with another Python, temp folder and umask."""
    for path in checkout.rglob("*"):
        os.utime(path, (1, 1))
    venv.create(tmp_path / "python", symlinks=True)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("UV_PYTHON", str(tmp_path / "python/bin/python"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    before = os.umask(0o077)
    yield checkout
    os.umask(before)


def different(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """The names of what is not the same in both, for a message that can be read."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


@pytest.fixture
def eco2(checkout: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`eco2("plan", "--json")` in that copy, with a state folder of its own and `kubectl` only if the test put one there."""

    return functools.partial(run_eco2, checkout, tmp_path)


def environment_of(home: Path) -> dict[str, str]:
    """The environment of a command with its state, its programs and its cluster in the folder `home`."""
    env = {"PATH": str(home / "bin"), "ECO2_STATE": str(home / "state"), "HOME": str(home)}
    # A kubectl lives for a moment: to collect its garbage takes a quarter of it.
    return {**env, "KUBECONFIG": str(home / "kubeconfig"), "GOGC": "off"}


def run_eco2(root: Path, home: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a checkout, with its state and its programs in the folder `home`."""
    return commands.run(root, words, {**environment_of(home), **environ})


def kubectl_or_skip() -> str:
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("kubectl is not installed: it brings the kustomize that puts overlays together")
    return program


def make_cluster(home: Path) -> Server:
    """An API server, and a `kubectl` on the PATH of `run_eco2` that finds it."""
    (home / "bin").mkdir(exist_ok=True)
    (home / "bin/kubectl").symlink_to(kubectl_or_skip())
    return Server(home)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A cluster in which nothing runs."""
    server = make_cluster(tmp_path)
    for name, value in environment_of(tmp_path).items():
        monkeypatch.setenv(name, value)
    yield server
    server.close()


@pytest.fixture(scope="session")
def first_deploy(run_folder: Path) -> Iterator[Path]:
    """A folder with the `objects` of a cluster, and the state beside it, after a first deploy of this checkout."""
    kubectl_or_skip()
    with prepared(run_folder / "first-deploy", deploy_first) as home:
        yield home


def deploy_first(home: Path) -> None:
    server = make_cluster(home)
    try:
        for words in (["secrets", "init"], ["deploy", "--timeout", "60"]):
            done = run_eco2(ROOT, home, *words)
            assert done.returncode == 0, done.stderr
        server.store.save(home / "objects")
    finally:
        server.close()


@pytest.fixture
def deployed(cluster: Server, first_deploy: Path, tmp_path: Path) -> Server:
    """A cluster that runs this checkout."""
    cluster.store.load(first_deploy / "objects")
    shutil.copytree(first_deploy / "state", tmp_path / "state", dirs_exist_ok=True)
    return cluster


@pytest.fixture(scope="session", params=["dev", "prod"])
def overlay(request: pytest.FixtureRequest) -> list[Document]:
    """All objects of an environment as a deploy of this checkout brings them, jobs included."""
    kubectl_or_skip()
    env, images = environment(request.param), wanted(Checkout())
    documents = overlay_documents(request.param)
    put_images(documents, images, env)
    for image in images:
        full_name = env.image(image.name, image.tag)
        if image.name == TOOLS:
            documents.append(prepare_job(full_name, image.tag))
        elif image.service and not image.service.is_worker:
            documents += [migration_job(image, full_name, phase) for phase in ("before", "after")]
    return documents


# Secrets, and the servers that take their passwords


def secret(cluster: Server, space: str, name: str) -> dict[str, str]:
    data = cluster.store.objects["Secret", space, name].get("data", {})
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def every(cluster: Server) -> dict[tuple[str, str], dict[str, str]]:
    return {key[1:]: secret(cluster, *key[1:]) for key in cluster.store.of("Secret")}


@pytest.fixture(scope="session")
def first_secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `objects` of a cluster with its Secrets and no pods."""
    home = tmp_path_factory.mktemp("secrets")
    server = make_cluster(home)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment_of(home).items():
            patch.setenv(name, value)
        documents = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}}
            for n in ("eco2", "database", "monitoring")
        ]
        Cluster().apply(documents)
        secrets.init(Cluster())
    server.store.save(home / "objects")
    server.close()
    return home / "objects"


@pytest.fixture
def made(cluster: Server, first_secrets: Path) -> Server:
    """A cluster with its Secrets and no pods."""
    cluster.store.load(first_secrets)
    return cluster


@pytest.fixture
def own(clusters: Clusters, tmp_path: Path) -> Iterator[Postgres]:
    server = clusters.fresh(tmp_path / "rotation")
    try:
        yield server.start()
    finally:
        server.destroy()


def deployment(name: str, variable: Document) -> Document:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "eco2"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "host", "image": "x:1", "env": [variable]}]},
            },
        },
    }


def opens(own: Postgres, url: str) -> str:
    """Who a service is that logs in with its Secret's address; raises where it is not let in."""
    address = url.replace("k8s-postgresql:5432", f"127.0.0.1:{own.port}")
    with psycopg.connect(address) as conn:
        row = conn.execute("SELECT current_user").fetchone()
        conn.execute("SELECT count(*) FROM pg_tables")
    assert row is not None
    return str(row[0])


def greets(url: str) -> bool:
    session = redis_client.Redis.from_url(url)
    try:
        return bool(session.ping())
    except redis_client.AuthenticationError:
        return False
    finally:
        session.close()
