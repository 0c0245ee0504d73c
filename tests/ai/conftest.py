import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from functions.ai import model_build, providers
from functions.ai.labels import MODEL
from shared import clock, objects, progress, tasks
from shared.ids import new_id
from shared.objects import ObjectStore
from shared.redis import connect
from shared.settings import read
from shared.tasks import Task


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
def task(worker_environment: dict[str, str]) -> Iterator[Task]:
    """A task that runs, with its store and its progress on real parts, and an empty cache."""
    settings = read(os.environ, service="ai")
    connect(settings.cache_redis_url).flushall()
    objects.use(ObjectStore(settings))
    progress.use(progress.Publisher(connect(settings.broker_redis_url)))
    providers.use(None)
    running = Task(new_id(), new_id(), new_id(), 1, clock.now() + timedelta(seconds=60))
    with tasks.running(running):
        yield running
    providers.use(None)


def tokens(task: Task) -> list[tuple[str, str]]:
    """(run, text) of every token published for the task."""
    import msgspec

    client = connect(os.environ["BROKER_REDIS_URL"])
    entries = client.xrange(progress.stream(task.subject))
    return [
        (fields["run"], msgspec.json.decode(fields["data"])["text"])
        for _, fields in entries
        if fields["name"] == "token"
    ]
