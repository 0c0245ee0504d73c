import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.servers.ai_stub import Stub
from functions.ai import model_build, openai_chat
from functions.ai.embedded import EmbeddedPhotos
from shared.calls import Calls
from shared.redis import connect
from tests.eval import parts
from tests.eval.at_work import AtWork


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the classifier that is served, built from the wheel."""
    folder = tmp_path_factory.mktemp("model")
    model_build.write(folder)
    return folder


@pytest.fixture
def worker_environment(environment: dict[str, str], model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of an ai worker on real parts, for the functions of this process."""
    wanted = environment | {"MODEL_DIR": str(model_dir)}
    for name in set(os.environ) - set(wanted):
        if name.startswith("OPENAI_"):
            monkeypatch.delenv(name)
    for name, value in wanted.items():
        monkeypatch.setenv(name, value)
    return wanted


@pytest.fixture(scope="session")
def loaded(model_dir: Path) -> EmbeddedPhotos:
    """The embedded photo provider, as one process keeps it from photo to photo."""
    return EmbeddedPhotos(model_dir)


@pytest.fixture
def task(patient: None, worker_environment: dict[str, str], loaded: EmbeddedPhotos) -> Iterator[AtWork]:
    """A worker's functions with their store and their progress on real parts, an empty cache, and no one to ask."""
    connect(worker_environment["CACHE_REDIS_URL"]).flushall()
    at_work = AtWork(loaded=loaded)
    yield at_work
    at_work.close()


@pytest.fixture(scope="session")
def neighbours(environment: dict[str, str]) -> Iterator[Calls]:
    """recycle-info with all its items and location, as real services on a port."""
    with parts.services(environment) as calls:
        yield calls


@pytest.fixture(scope="module")
def stocked(neighbours: Calls, environment: dict[str, str]) -> Calls:
    """The same with all items: tests of recycle-info empty the table that this process's modules share."""
    parts.load(environment)
    return neighbours


@pytest.fixture
def known(stocked: Calls, request: pytest.FixtureRequest) -> Calls:
    """What reaches them, for the task too where there is one."""
    if "task" in request.fixturenames:
        request.getfixturevalue("task").calls = stocked
    return stocked


@pytest.fixture
def stub() -> Iterator[Stub]:
    """An OpenAI-compatible server; set `stub.rules`."""
    with Stub() as server:
        yield server


@pytest.fixture
def openai_task(stub: Stub, task: AtWork, monkeypatch: pytest.MonkeyPatch) -> AtWork:
    """The same task in a worker that is set up for the OpenAI-compatible provider."""
    connect(os.environ["BROKER_REDIS_URL"]).delete(*connect(os.environ["BROKER_REDIS_URL"]).keys("spend:*") or ["none"])
    # Pauses are tested by what comes of them, not by waiting.
    monkeypatch.setattr(openai_chat, "PAUSE", 0.02)
    for name, value in {
        "OPENAI_BASE_URL": stub.url,
        "OPENAI_API_KEY": "sk-secret-of-the-test",
        "OPENAI_PATIENCE": "8",
    }.items():
        monkeypatch.setenv(name, value)
    return task
