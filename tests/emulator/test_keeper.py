"""One part's life, with real processes: what is asked, what happens by itself, and what can't be."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import get_args

import pytest

from emulator import fleet, probe
from emulator import keeper as keeping
from emulator.fleet import Fleet
from emulator.forks import Process
from emulator.keeper import FOLLOWS, Keeper
from emulator.launcher import Launcher
from emulator.part import Kind, Part
from emulator.process import CalledWrongly, Command, StartError, state_of
from tests.support import until

ROOT = Path(__file__).parents[2]
# Ready once its file is there; ends well when it is told to.
SLEEP = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text('x'); time.sleep(600)"


# Deaf to what it is told, the first time that it runs.
DEAF = (
    "import pathlib, signal, sys, time; file = pathlib.Path(sys.argv[1]);"
    "file.exists() or signal.signal(signal.SIGTERM, signal.SIG_IGN); file.write_text('x'); time.sleep(600)"
)


class World:
    """A fleet, and parts made of one-line programs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.fatal: list[StartError] = []
        env = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "ECO2_STATE": str(folder)}
        (folder / "logs").mkdir()
        self.launcher = Launcher(env, folder / "logs")
        self.step = asyncio.Event()
        self.fleet = Fleet(self.launcher, {"migrations": self.step}, self.said.append)
        self.fleet.fatal = self.fatal.append

    def add(self, name: str, program: str = SLEEP, kind: str = "service", **more: object) -> Keeper:
        file = self.folder / name.replace("/", ".")

        def command() -> Command:
            argv = [sys.executable, "-c", program, str(file)]
            return Command(name, argv, {"PATH": os.environ["PATH"]}, self.folder / "logs" / f"{file.name}.log")

        async def ready() -> str:
            return "" if file.exists() else probe.SILENT

        part = Part(name, kind, command, ready, **more)  # type: ignore[arg-type]  # mypy takes `more` for one type
        return self.fleet.add(part)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    yield world
    await world.fleet.stop()
    world.launcher.close()


def pid_of(keeper: Keeper) -> int:
    assert keeper.process is not None
    return keeper.process.pid


async def test_a_part_waits_for_what_it_needs(world: World) -> None:
    keeper = world.add("one", needs=("migrations",))
    world.fleet.begin()
    await asyncio.sleep(0.05)
    assert (keeper.state, keeper.process) == ("waiting", None)
    world.step.set()
    await until(lambda: keeper.state == "ready")


async def test_what_a_part_needs_may_come_while_the_state_is_swapped_and_it_waits_for_that_too(world: World) -> None:
    waiting = asyncio.create_task(world.fleet.cleared(world.add("one", needs=("migrations",)).part))
    await asyncio.sleep(0)
    world.fleet.may_start.clear()
    world.step.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    world.fleet.may_start.set()
    await waiting


async def test_a_killed_part_is_started_again_and_counts_it(world: World) -> None:
    keeper = world.add("one")
    world.fleet.begin()
    await until(lambda: keeper.state == "ready")
    first = pid_of(keeper)
    keeper.kill()
    await until(lambda: keeper.state == "ready" and pid_of(keeper) != first)
    assert keeper.restarts == 1
    assert "one: it ended with signal SIGKILL; it is started again" in world.said


async def test_a_part_that_never_starts_is_failed_with_its_reason_and_tried_again(world: World) -> None:
    keeper = world.add("one", program="raise SystemExit('error: no such thing')")
    other = world.add("two")
    world.fleet.begin()
    await until(lambda: keeper.restarts >= 3)
    assert keeper.state in ("failed", "restarting")
    assert keeper.error == "one did not start (exit 1): error: no such thing"
    await until(lambda: other.state == "ready")
    assert world.fatal == [], "a service is not what all others need"


async def test_what_nothing_runs_without_is_fatal_when_it_does_not_start(world: World) -> None:
    world.add("one", program="raise SystemExit('error: no such thing')", kind="server")
    world.fleet.begin()
    await until(lambda: world.fatal)
    assert str(world.fatal[0]) == "one did not start (exit 1): error: no such thing"


async def test_a_renewed_part_has_a_new_process_when_it_returns(world: World) -> None:
    keeper = world.add("one")
    world.fleet.begin()
    await until(lambda: keeper.state == "ready")
    for overlapping in (True, False):
        first = pid_of(keeper)
        await keeper.renew(overlapping=overlapping)
        assert pid_of(keeper) != first
        await until(lambda first=first: state_of(first) == "gone")
    assert keeper.restarts == 0, "nothing that was asked for is a failure"
    assert not keeper._nudge.is_set(), "what was asked is done: it does not look again and again"


async def test_of_two_that_overlap_the_new_one_is_ready_while_the_old_one_ends(world: World) -> None:
    keeper = world.add("one", DEAF, grace=20.0)
    world.fleet.begin()
    await until(lambda: keeper.state == "ready")
    old = keeper.process
    assert old is not None
    async with asyncio.timeout(15):
        await keeper.renew(overlapping=True)
    assert (keeper.state, pid_of(keeper) == old.pid, old.poll()) == ("ready", False, None)
    old.kill()


async def test_a_debugged_one_never_overlaps_since_its_port_has_one_owner(world: World) -> None:
    living: list[str] = []
    # Deaf, and killed after a moment: one that heard would be gone before the next is made, waited for or not.
    keeper = world.add(
        "one",
        DEAF,
        debug=5678,
        grace=-1.7,
        started=lambda _: living.append(state_of(old.pid) if old else "gone"),
    )
    old = None
    world.fleet.begin()
    await until(lambda: keeper.state == "ready")
    old = keeper.process
    await keeper.renew(overlapping=True)
    assert living == ["gone", "gone"]


@pytest.mark.parametrize("asked", ["crash", "renew"])
async def test_a_part_that_rests_after_its_failure_is_started_as_soon_as_somebody_asks(
    world: World, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_RESTS", (600.0,))
    keeper = world.add("one", "import os, sys; os.path.exists(sys.argv[1] + '.mended') or sys.exit('broken');" + SLEEP)
    world.fleet.begin()
    await until(lambda: keeper.state == "failed")
    (world.folder / "one.mended").touch()
    keeper.crash() if asked == "crash" else await asyncio.wait_for(keeper.renew(overlapping=False), 30)
    await until(lambda: keeper.state == "ready")
    assert keeper.restarts == 1


async def test_a_renewal_that_does_not_start_is_told_and_not_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_RESTS", (600.0,))
    keeper = world.add("one", "import os, sys; os.path.exists(sys.argv[1] + '.broken') and sys.exit('broken');" + SLEEP)
    world.fleet.begin()
    await until(lambda: keeper.state == "ready")
    (world.folder / "one").unlink()
    (world.folder / "one.broken").touch()
    await asyncio.wait_for(keeper.renew(overlapping=False), 30)
    assert (keeper.state, keeper.error) == ("failed", "one did not start (exit 1): broken")


async def test_a_part_that_is_kept_no_longer_goes_on_and_is_not_started_again(world: World) -> None:
    keeper = world.add("one")
    world.fleet.begin()
    await until(lambda: keeper.state == "ready")
    process = keeper.process
    assert process is not None
    await keeper.release()
    assert process.poll() is None
    process.kill()
    await until(lambda: process.poll() is not None)
    await asyncio.sleep(0.02)
    assert (keeper.process, world.said) == (process, [])


async def test_a_paused_part_can_be_resumed_renewed_and_killed(world: World) -> None:
    keeper = world.add("one")
    world.fleet.begin()
    await until(lambda: keeper.state == "ready")
    keeper.pause()
    assert (keeper.state, keeper.seen, state_of(pid_of(keeper))) == ("paused", "paused", "standing")
    keeper.resume()
    assert (keeper.state, keeper.seen) == ("ready", "ready")
    keeper.pause()
    await keeper.renew(overlapping=False)
    assert keeper.seen == "ready"
    keeper.pause()
    first = pid_of(keeper)
    keeper.kill()
    await until(lambda: keeper.state == "ready" and pid_of(keeper) != first)


async def test_a_paused_part_stands_with_all_that_it_has_started(world: World) -> None:
    child = (
        "import pathlib, subprocess, sys; one = subprocess.Popen([sys.executable, '-S', '-c', 'input()'], stdin=-1);"
    )
    tell = "pathlib.Path(sys.argv[1]).write_text(str(one.pid)); one.wait()"
    keeper = world.add("one", child + tell)
    world.fleet.begin()
    await until(lambda: keeper.state == "ready" and (world.folder / "one").read_text() != "")
    pid = int((world.folder / "one").read_text())
    keeper.pause()
    await until(lambda: state_of(pid) == "standing")
    keeper.resume()
    await until(lambda: state_of(pid) == "runs")


@pytest.mark.parametrize("asked", ["stop", "renew"])
@pytest.mark.parametrize(
    ("program", "grace", "ended_by"),
    [(SLEEP, 20.0, signal.SIGTERM), (DEAF, -1.8, signal.SIGKILL)],
    ids=["paused", "deaf"],
)
async def test_a_part_ends_by_what_it_is_told_although_it_stands_still_and_is_killed_only_when_it_does_not_hear(
    world: World, asked: str, program: str, grace: float, ended_by: signal.Signals
) -> None:
    keeper = world.add("one", program, grace=grace)  # seconds, less the two that all are given
    world.fleet.begin()
    await until(lambda: keeper.state == "ready")
    process = keeper.process
    assert process is not None
    if program is SLEEP:
        keeper.pause()
    if asked == "stop":
        await keeper.stop()  # which has waited for the end
    else:
        await keeper.renew(overlapping=True)
        await until(lambda: process.poll() is not None)
    assert process.returncode == -ended_by


async def test_a_stop_waits_for_a_process_that_was_renewed_and_is_still_ending(world: World) -> None:
    keeper = world.add("one", DEAF, grace=-1.0)
    world.fleet.begin()
    await until(lambda: keeper.state == "ready")
    old = keeper.process
    assert old is not None
    await keeper.renew(overlapping=True)
    await keeper.stop()
    assert old.poll() is not None


async def test_a_part_that_is_to_crash_while_it_is_born_does_not_live(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, born, go_on = world.launcher.start, asyncio.Event(), asyncio.Event()
    processes: list[Process] = []

    async def slowly(part: Part, command: Command) -> Process:
        processes.append(await start(part, command))
        born.set()
        await go_on.wait()
        return processes[-1]

    monkeypatch.setattr(world.launcher, "start", slowly)
    keeper = world.add("one")
    world.fleet.begin()
    await born.wait()
    keeper.crash()
    go_on.set()
    await until(lambda: processes[0].poll() is not None)
    await until(lambda: keeper.state == "ready" and len(processes) == 2)


async def test_a_crash_in_a_server_s_own_way_reaches_one_that_stands_still(world: World) -> None:
    keeper = world.add("one")
    world.fleet.begin()
    await until(lambda: keeper.state == "ready")
    keeper.pause()
    # Not SIGQUIT, by which PostgreSQL is crashed: what is started behind an `&` ignores that, unless it says otherwise.
    process = keeper.crash(signal.SIGUSR1)
    assert process is not None
    await until(lambda: process.poll() is not None)
    assert process.returncode == -signal.SIGUSR1


async def test_what_is_seen_is_what_is_there_now(world: World) -> None:
    keeper = world.add("one")
    world.fleet.begin()
    await until(lambda: keeper.state == "ready")
    os.kill(pid_of(keeper), signal.SIGSTOP)
    await until(lambda: keeper.seen == "paused")
    os.kill(pid_of(keeper), signal.SIGCONT)
    await until(lambda: keeper.seen == "ready")
    assert (await keeper.look())["state"] == "ready"
    (world.folder / "one").unlink()
    assert (await keeper.look())["state"] == "silent"
    keeper.order({"a part": "that takes none"})


async def test_a_crash_in_something_larger_waits_for_its_end(world: World) -> None:
    keeper = world.add("one")
    world.fleet.begin()
    await until(lambda: keeper.state == "ready")
    world.fleet.may_start.clear()
    first = keeper.crash()
    await until(lambda: first is not None and first.poll() is not None)
    await asyncio.sleep(0.05)
    assert keeper.state == "restarting"
    assert not keeper.lives
    world.fleet.may_start.set()
    await until(lambda: keeper.state == "ready")


async def test_a_keeper_that_is_killed_itself_goes_on_with_the_same_process(world: World) -> None:
    keeper = world.add("one")
    world.fleet.begin()
    await until(lambda: keeper.state == "ready")
    first = pid_of(keeper)
    assert keeper._loop is not None
    keeper._loop.kill()
    await until(lambda: keeper._loop is not None and keeper._loop.ends == 1 and keeper._loop.state == "runs")
    assert (pid_of(keeper), keeper.state) == (first, "ready")
    keeper.kill()
    await until(lambda: keeper.state == "ready" and pid_of(keeper) != first)


async def test_a_stopped_part_stays_so(world: World) -> None:
    keeper = world.add("one")
    world.fleet.begin()
    await until(lambda: keeper.state == "ready")
    await world.fleet.stop()
    assert (keeper.state, keeper.lives, world.said) == ("stopped", False, [])
    assert FOLLOWS["stopped"] == set()
    with pytest.raises(StartError, match="one is stopped"):
        await keeper.renew(overlapping=False)
    with pytest.raises(RuntimeError, match="one can't become ready from stopped"):
        keeper._become("ready")


def test_every_kind_of_part_has_its_place_in_the_order_of_the_stop() -> None:
    assert sorted(kind for kinds in fleet._STOP_ORDER for kind in kinds) == sorted(get_args(Kind))


async def test_a_replica_is_picked_by_its_number_and_all_by_their_name(world: World) -> None:
    first, second, other = world.add("worker-ai"), world.add("worker-ai/2"), world.add("worker-storage")
    assert world.fleet.pick("worker-ai") == [first, second]
    assert world.fleet.pick("worker-ai/1") == [first]
    assert world.fleet.pick("worker-ai/2") == [second]
    assert world.fleet.pick("worker-storage") == [other]
    for wrong in ("worker-ai/3", "worker", "worker-a"):
        with pytest.raises(CalledWrongly, match=f"there is no part {wrong}"):
            world.fleet.pick(wrong)


async def test_a_rest_is_longer_each_time_in_a_row_and_never_long_for_what_had_been_ready(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[asyncio.Future[object]] = []

    async def at_once(*waits: Awaitable[object]) -> None:
        waited.extend(asyncio.ensure_future(each) for each in waits)
        for each in waited:
            each.cancel()

    monkeypatch.setattr(keeping, "_first", at_once)
    keeper = world.add("one")
    keeper.state = "starting"

    async def rest(ready_for: float | None = None) -> str:
        if ready_for is not None:
            keeper._ready_since = time.monotonic() - ready_for
        world.said.clear()
        await keeper._rest("it ended")
        keeper.state = "restarting"
        return world.said[0].removeprefix("one: it ended; it is started again")

    rests = [await rest() for _ in range(13)]
    assert rests == ["", *(f" in {s:g} s" for s in keeping._RESTS[1:]), " in 30 s", " in 30 s"]
    assert keeper.restarts == 13
    assert await rest(ready_for=9.0) == " in 1 s", "its last start was one of many that went wrong"
    assert await rest(ready_for=11.0) == "", "it had started well: this is the first"
    assert await rest() == " in 0.5 s", "and it has not been ready since"
    assert [await rest() for _ in range(2)] == [" in 1 s", " in 2 s"]
    assert keeper.settled.is_set()


async def test_what_is_not_ready_in_time_is_ended_and_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_READY_WITHIN", 0.0)
    begun: list[int] = []
    keeper = world.add("one", "import time; time.sleep(600)", started=begun.append)
    world.fleet.begin()
    await until(lambda: keeper.settled.is_set())
    assert keeper.error.startswith(f"one was not ready within 0 s: {probe.SILENT}; see ")
    await until(lambda: state_of(begun[0]) == "gone")
    await until(lambda: len(begun) > 1)
    await until(lambda: len(world.said) > 1)
    assert all("was not ready within" in line for line in world.said), "a dying one is not taken for the next"


async def test_a_debugged_one_is_given_the_time_that_a_person_takes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_READY_WITHIN", 0.0)
    keeper = world.add("one", debug=5678)
    world.fleet.begin()
    await until(lambda: keeper.state == "ready")
    assert keeper.restarts == 0


async def test_a_server_that_lost_its_port_takes_another_and_one_without_a_choice_says_so(world: World) -> None:
    lost = "import os, sys; os.path.exists(sys.argv[1] + '.moved') or sys.exit('Address already in use');"
    one = world.add("one", lost + SLEEP, another_port=(world.folder / "one.moved").touch)
    two = world.add("two", lost + SLEEP)
    world.fleet.begin()
    await until(lambda: one.state == "ready" and two.settled.is_set())
    assert (one.restarts, two.error) == (0, "two did not start: the port is in use")


async def test_a_server_whose_last_life_is_still_ending_is_started_until_it_has_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_ATTEMPTS", 3)
    ending = (
        "import pathlib, sys; file = pathlib.Path(sys.argv[1] + '.tries');"
        "tries = len(file.read_text()) if file.exists() else 0; file.write_text('x' * (tries + 1));"
        "tries < {} and sys.exit('pre-existing shared memory block');"
    )
    one, two = world.add("one", ending.format(2) + SLEEP), world.add("two", ending.format(3) + SLEEP)
    world.fleet.begin()
    await until(lambda: one.state == "ready" and two.settled.is_set())
    assert (one.restarts, two.error) == (0, "two did not start: processes of its last life are still ending")
