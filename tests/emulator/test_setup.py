"""What is there before parts start: what the set-up runs, hears and notes, and what it says when something can't be"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emulator.process import StartError
from emulator.setup import Setup
from emulator.state.folder import State
from emulator.system import System
from tests.emulator.trials import Trials

PREPARE = "prepare"
MODEL = "model -m functions.ai.model_build {state}/model"
ITEMS = "samples -m runtime.cli import items"
CENTERS = "samples -m runtime.cli import centers --sample"


class World:
    def __init__(self, folder: Path, system: System) -> None:
        self.said: list[str] = []
        self.folder, self.system = folder, system
        self.trials = Trials(folder / "logs")
        launcher: Any = self.trials
        self.setup = Setup(system, launcher, self.said.append)
        self.trials.answers[PREPARE] = 0, ["keys", "! a key is old", "of no step", "migrations"]

    def steps(self) -> list[str]:
        return [name for name, step in self.setup.steps.items() if step.is_set()]

    def imported(self) -> object:
        file = self.folder / "samples.json"
        return json.loads(file.read_text()) if file.exists() else None


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    system = System(State(tmp_path), None, {})
    yield World(tmp_path, system)
    system.addresses.close()


async def test_keys_and_migrations_come_first_and_samples_once(world: World) -> None:
    await world.setup.run()
    assert world.steps() == ["keys", "migrations", "model"]
    assert world.trials.asked == [PREPARE, MODEL.format(state=world.folder), ITEMS, CENTERS]
    owner = world.system.environments.owner() | {"SUPERUSER_DSN": world.system.superuser_dsn}
    assert world.trials.environments[0] == owner
    assert world.imported() == {"items": True, "centers": True}
    assert world.said == world.setup.troubles == ["a key is old"]
    world.trials.asked.clear()
    await world.setup.run()
    assert world.trials.asked == [PREPARE, MODEL.format(state=world.folder)]
    assert world.setup.troubles == ["a key is old"], "once"


async def test_what_could_not_be_imported_or_built_is_said_and_the_samples_are_tried_again(world: World) -> None:
    world.trials.answers |= {ITEMS: (1, ()), MODEL.format(state=world.folder): (1, ())}
    await world.setup.run()
    assert world.imported() == {"centers": True}
    assert world.setup.troubles == [
        "a key is old",
        "the classifier's model was not built: model did not start (exit 1)",
        "no sample data for items: samples did not start (exit 1)",
    ]
    assert "model" in world.steps(), "no one waits for it"
    del world.trials.answers[ITEMS], world.system.services["location"]
    world.trials.asked.clear()
    (world.folder / "samples.json").write_text("{}")
    await world.setup.run()
    assert world.trials.asked[2:] == [ITEMS], "what is not there has no samples"
    assert world.imported() == {"items": True}


async def test_samples_wait_for_the_tables_that_they_go_into(world: World) -> None:
    importing = asyncio.create_task(world.setup._import_samples())
    for _ in range(5):
        await asyncio.sleep(0)
    assert world.trials.asked == []
    world.setup.steps["migrations"].set()
    await importing
    assert world.trials.asked == [ITEMS, CENTERS]


async def test_databases_that_can_t_be_prepared_are_told_in_the_server_s_words_of_this_start(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, full = world.system.log("postgres"), "FATAL:  could not write: No space left on device\n"
    log.parent.mkdir(exist_ok=True)
    log.write_text(full)
    world.trials.answers[PREPARE] = 1, ()
    with pytest.raises(StartError, match=r"^prepare did not start \(exit 1\)$"):
        await world.setup.prepare()

    async def run(*_: object) -> None:
        log.write_text(full * 2)
        raise StartError("prepare did not start (exit 1)")

    monkeypatch.setattr(world.trials, "run", run)
    with pytest.raises(StartError, match=r"^postgres did not start: the disk is full"):
        await world.setup.prepare()
