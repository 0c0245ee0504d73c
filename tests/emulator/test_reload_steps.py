"""What the reload makes of saved files, step by step: whom they concern, what is tried, and what waits for which reason."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from emulator.fleet import Fleet
from emulator.process import StartError
from emulator.reload import Reloader, scan, syntax_error
from emulator.setup import Setup
from emulator.state.folder import State
from emulator.system import System
from runtime.services import ROOT
from tests.emulator.trials import Trials

MIGRATION = "functions/waste/migrations/9999_x.sql"
LINE = "waste.9999_x: no such thing"


class Newcomers:
    """No service has come or gone."""

    behind = False

    async def follow(self) -> set[str]:
        return set()


class World:
    """A reloader of all services, none of which runs."""

    def __init__(self, folder: Path, system: System) -> None:
        self.said: list[str] = []
        self.system = system
        self.trials = Trials(folder / "logs")
        launcher: Any = self.trials
        self.fleet = Fleet(launcher, {}, self.said.append)
        for part in system.parts():
            self.fleet.add(part)
        setup = Setup(system, launcher, self.said.append)
        self.reloader = Reloader(system, self.fleet, launcher, setup, cast("Any", Newcomers()), self.said.append)

    def stale(self, *folders: str) -> set[str]:
        return {keeper.stale for folder in folders for keeper in self.fleet.of_service(folder)}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    system = System(State(tmp_path), None, {})
    yield World(tmp_path, system)
    system.addresses.close()


def test_a_saved_file_concerns_who_holds_it_and_a_new_one_its_own_service(world: World) -> None:
    everyone = sorted(world.system.services)
    assert world.reloader._affected(["shared/new.py"]) == everyone, "no one knows yet who holds it"
    assert world.reloader._affected(["functions/waste/new.py"]) == ["waste"]
    world.reloader.closures = {"waste": {"shared/a.py"}, "ai": {"shared/a.py", "shared/b.py"}, "gone": {"shared/b.py"}}
    assert world.reloader._affected(["shared/b.py"]) == ["ai"]
    assert world.reloader._affected(["shared/a.py", "functions/auth/x.py"]) == ["ai", "auth", "waste"]
    assert world.reloader._affected(["shared/new.py", "functions/nobody/x.py"]) == []


async def test_migrations_are_applied_when_one_was_saved_or_did_not_go_in_before(world: World) -> None:
    reload = world.reloader
    await reload._migrate({"functions/waste/db.py", "docs/migrations/x.sql.txt"})
    assert world.trials.asked == []
    world.trials.answers["migrate"] = (
        0,
        ["applied waste.9999_x", "applied auth.9_y", "edited waste.1_z: written too late"],
    )
    await reload._migrate({MIGRATION})
    assert world.said == ["migrated waste.9999_x, auth.9_y", "waste.1_z: written too late"]
    assert (reload.edited, reload.unmigrated) == ({"waste": "waste.1_z: written too late"}, {})
    world.trials.answers["migrate"] = 1, ["applied auth.10_y", LINE]
    await reload._migrate({MIGRATION, "functions/ai/migrations/1_x.sql"})
    assert (reload.edited, reload.unmigrated) == ({}, {"waste": LINE, "ai": LINE}), "one comes before the others"
    world.trials.answers["migrate"] = 7, []
    await reload._migrate(set())
    assert reload.unmigrated == dict.fromkeys(world.system.services, "the migrations ended with code 7")
    del world.trials.answers["migrate"]
    await reload._migrate(set())
    await reload._migrate(set())
    assert (reload.unmigrated, world.trials.asked) == ({}, ["migrate"] * 4)
    assert world.trials.environments[0] == world.system.environments.owner()


async def test_why_the_newest_code_does_not_run_is_said_once_and_shown_until_it_does(world: World) -> None:
    reload, error = world.reloader, "ImportError: no name"
    world.trials.answers["check waste"] = 1, ["a traceback", error]
    world.trials.answers["check auth"] = 3, []
    for _ in range(2):
        await reload._reload({"functions/waste/x.py", "functions/auth/x.py"})
        assert reload.waiting == {"waste": error, "auth": "it ended with code 3"}
        assert (world.stale("waste"), world.stale("auth"), world.stale("ai")) == (
            {error},
            {"it ended with code 3"},
            {""},
        )
    assert world.said == [
        "not reloaded: auth: it ended with code 3; the old code goes on",
        f"not reloaded: waste: {error}; the old code goes on",
    ]
    assert world.trials.environments[0] == world.system.environments.service(world.system.services["auth"])
    reload.edited = {"waste": "written too late"}
    reload._tell({"waste": "", "auth": ""})
    assert (reload.waiting, world.stale("waste"), world.stale("auth")) == ({}, {"written too late"}, {""})


async def test_who_waits_is_tried_again_with_whatever_is_saved_next(world: World) -> None:
    world.trials.answers["check waste"] = 1, ["no"]
    await world.reloader._reload({"functions/waste/x.py"})
    world.trials.answers["check auth"] = 1, ["no"]
    await world.reloader._reload({"functions/auth/x.py"})
    assert [asked for asked in world.trials.asked if asked != "reach"] == ["check waste", "check auth", "check waste"]


async def test_what_was_not_taken_over_is_tried_again_with_what_is_saved_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    reload, tried = world.reloader, list[set[str]]()
    changes = iter([{"a"}, {"b"}, {"c"}, set(), {"d"}, set()])

    class Watched:
        def follow(self, root: Path) -> None:
            return

        async def touched(self) -> None:
            if len(tried) == 3:
                raise asyncio.CancelledError

    async def take_over(files: set[str]) -> set[str]:
        tried.append(set(files))
        if len(tried) == 1:
            raise StartError("there is no template")
        return {"a"}  # waits for another one to be mended

    monkeypatch.setattr(reload, "_changed", lambda: next(changes))
    monkeypatch.setattr(reload, "_reload", take_over)
    with pytest.raises(asyncio.CancelledError):
        await reload._go_on(cast("Any", Watched()))
    assert (tried, world.said) == ([{"a", "b"}, {"a", "b", "c"}, {"a", "d"}], ["reload: there is no template"])


async def test_a_service_whose_migration_or_file_is_wrong_is_not_tried(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emulator.reload.ROOT", tmp_path)
    (tmp_path / "functions/waste").mkdir(parents=True)
    file = tmp_path / "functions/waste/x.py"
    file.write_text("if x\n")
    reload = world.reloader
    for _ in range(2):
        reload._read({"functions/waste/x.py"})
    assert world.said == ["not reloaded: functions/waste/x.py, line 1: expected ':'; the old code goes on"]
    assert await reload._check("waste") == "functions/waste/x.py, line 1: expected ':'"
    reload._read({"functions/waste/other.py"})
    assert list(reload.errors) == ["functions/waste/x.py"]
    file.write_text("x = 1\n")
    reload._read({"functions/waste/x.py"})
    assert reload.errors == {}
    reload.unmigrated = {"waste": LINE}
    assert (await reload._check("waste"), world.trials.asked) == (LINE, [])
    assert (await reload._check("auth"), world.trials.asked) == ("", ["check auth"])


async def test_what_the_template_holds_is_new_in_a_new_one_and_waits_while_it_has_an_error(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emulator.reload.ROOT", tmp_path)
    (tmp_path / "shared").mkdir()
    wrong = tmp_path / "shared/wrong.py"
    wrong.write_text("if x\n")
    world.trials.files = {str(wrong), str(tmp_path / "shared/right.py")}
    reload = world.reloader
    reload.closures = {"ai": {"shared/right.py", "shared/wrong.py"}}
    world.trials.answers["check ai"] = 1, ["no"]
    assert await reload._reload({"shared/wrong.py", "shared/right.py"}) == {"shared/wrong.py", "shared/right.py"}
    assert (world.trials.renewed, world.trials.asked) == (0, ["reach"])
    wrong.write_text("x = 1\n")
    assert await reload._reload({"shared/wrong.py", "shared/right.py"}) == set()
    assert (world.trials.renewed, world.trials.asked[1:]) == (1, ["check ai", "reach"])


def test_a_scan_sees_what_counts(tmp_path: Path) -> None:
    (tmp_path / "functions" / "a" / "__pycache__").mkdir(parents=True)
    for name in ("a/b.py", "a/service.toml", "a/.hidden.py", "a/notes.md", "a/__pycache__/b.py"):
        (tmp_path / "functions" / name).write_text("")
    assert set(scan(tmp_path)) == {"functions/a/b.py", "functions/a/service.toml"}


def test_a_syntax_error_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    file.write_text("x = 1\nif x\n")
    assert "bad.py, line 2:" in syntax_error(file)
    file.write_bytes(b"x = '\0'\n")
    assert syntax_error(file)
    file.write_text("x = 1\n")
    assert syntax_error(file) == ""
    assert syntax_error(tmp_path / "gone.py") == ""
    assert syntax_error(ROOT / "README.md") == ""
