import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from emulator.servers.ai_stub import Stub
from functions.ai import model_build, openai_chat, providers
from functions.ai.labels import MODEL
from shared import calls as calling
from shared import clock, objects, progress, tasks
from shared.calls import Calls
from shared.ids import new_id
from shared.objects import ObjectStore
from shared.redis import connect
from shared.settings import read
from shared.tasks import Task
from tests.eval import parts


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the classifier that is served, built from the wheel."""
    folder = tmp_path_factory.mktemp("model")
    model_build.write(folder, MODEL)
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


@pytest.fixture
def task(worker_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Task]:
    """A task that runs, with its store and its progress on real parts, and an empty cache."""
    settings = read(os.environ, service="ai")
    connect(settings.cache_redis_url).flushall()
    # Put back at the end: other tests of this process have parts of their own.
    store = ObjectStore(settings)
    monkeypatch.setattr(objects, "_store", store)
    monkeypatch.setattr(progress, "_publisher", progress.Publisher(connect(settings.broker_redis_url)))
    providers.use(None)
    running = Task(new_id(), new_id(), new_id(), 1, clock.now() + timedelta(seconds=60))
    with tasks.running(running):
        yield running
    providers.use(None)
    store.close()


@pytest.fixture(scope="session")
def neighbours(environment: dict[str, str]) -> Iterator[Calls]:
    """recycle-info with all its items and location, as real services on a port."""
    with parts.services(environment) as calls:
        yield calls


@pytest.fixture
def known(neighbours: Calls, monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The way to them, as the worker's functions find it."""
    monkeypatch.setattr(calling, "_calls", neighbours)
    return neighbours


@pytest.fixture
def stub() -> Iterator[Stub]:
    """An OpenAI-compatible server; set `stub.rules`."""
    with Stub() as server:
        yield server


@pytest.fixture
def openai_task(stub: Stub, task: Task, monkeypatch: pytest.MonkeyPatch) -> Task:
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
