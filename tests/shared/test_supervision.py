"""Loops that should live for ever: their end is said, counted and mended, or the process ends."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from runtime import telemetry
from shared import supervision
from shared.supervision import Loop, Rules
from tests.support import wait_until


async def until_soon(what: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_until, what)


async def test_a_task_that_fails_is_said_with_its_reason_counted_and_started_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runs = 0

    async def run() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise ValueError("a closed pipe")
        await asyncio.Event().wait()

    loop = supervision.task("first", run)
    await until_soon(lambda: runs == 2)
    assert (loop.state, loop.ends, loop.reason) == ("runs", 1, "ValueError: a closed pipe")
    assert "first ended, it starts again in 0.1 s: ValueError: a closed pipe" in caplog.text
    assert supervision.ends()["first"] == 1
    assert b'eco2_loop_ends_total{loop="first"} 1.0' in telemetry.exposition()
    await loop.stop()
    assert loop.state == "stopped"
    assert loop not in supervision.loops()


async def test_a_task_that_returns_or_is_cancelled_by_someone_has_ended_too() -> None:
    runs = 0

    async def run() -> None:
        nonlocal runs
        runs += 1
        if runs > 1:
            await asyncio.Event().wait()

    loop = supervision.task("second", run)
    await until_soon(lambda: runs == 2)
    assert loop.reason == "it returned"
    loop.kill()
    await until_soon(lambda: runs == 3)
    assert (loop.ends, loop.reason) == (2, "CancelledError: cancelled")
    await loop.stop()


async def test_a_task_with_an_end_is_done_when_it_returns_and_tried_again_when_it_fails() -> None:
    runs = 0

    async def run() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise OSError("not yet")

    loop = supervision.task("setup", run, once=True)
    await until_soon(lambda: loop.state == "done")
    assert runs == 2


async def test_a_task_that_loses_a_cancellation_is_stopped_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "STUBBORN", 0.02)
    begun, lost = asyncio.Event(), 0

    async def run() -> None:
        nonlocal lost
        while True:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if lost == 2:
                    raise
                lost += 1

    loop = supervision.task("stubborn", run)
    await begun.wait()
    async with asyncio.timeout(60):
        await loop.stop()
    assert (loop.state, lost) == ("stopped", 2)


def test_the_end_of_the_event_loop_is_no_fault_of_its_tasks() -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    async def main() -> supervision.TaskLoop:
        loop = supervision.task("third", forever)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return loop

    loop = asyncio.run(main())
    assert (loop.state, loop.ends) == ("stopped", 0)


def test_a_thread_that_is_killed_starts_again_and_one_that_was_told_to_stop_does_not() -> None:
    runs, wake = 0, threading.Event()

    def run() -> None:
        nonlocal runs
        runs += 1
        while not wake.wait(0.01):
            pass

    loop = supervision.thread("fourth", run)
    wait_until(lambda: runs == 1)
    loop.kill()
    wait_until(lambda: runs == 2)
    assert (loop.ends, loop.reason) == (1, "Killed")
    loop.stopping()
    wake.set()
    assert loop.stop(10)
    assert (loop.state, loop.ends) == ("stopped", 1)


def test_a_loop_that_waits_for_its_next_start_is_trouble_and_stops_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "PAUSE", 1000.0)
    monkeypatch.setattr(supervision, "LONGEST", 1000.0)
    loop = supervision.thread("fifth", lambda: None)
    wait_until(lambda: loop.state == "waits")
    assert "fifth ended (it returned) and starts again" in supervision.troubles()
    assert loop.stop(10)
    assert not [said for said in supervision.troubles() if "fifth" in said]


def test_a_loop_that_never_lives_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "PAUSE", 0.0)
    given_up: list[tuple[str, str]] = []
    loop = supervision.thread("sixth", lambda: None, give_up=lambda *what: given_up.append(what))
    wait_until(lambda: bool(given_up))
    assert given_up == [("sixth", "it returned")]
    assert loop.ends == supervision.MOST + 1
    assert "sixth ended (it returned) and is given up" in supervision.troubles()
    assert loop.stop(10)
    assert not [said for said in supervision.troubles() if "sixth" in said], "whoever stops it knows"


def test_a_long_life_forgives_earlier_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "PAUSE", 0.0)
    monkeypatch.setattr(supervision, "SETTLED", 0.0)
    loop = supervision.thread("seventh", lambda: None, give_up=lambda *_: None)
    wait_until(lambda: loop.ends > 3 * supervision.MOST)
    assert loop.stop(10)


def test_a_loop_that_does_not_go_round_is_said_to_hang() -> None:
    told, beats = threading.Event(), threading.Event()

    def run() -> None:
        while not told.wait(0.01):
            if beats.is_set():
                loop.beat()

    loop = supervision.thread("eighth", run, patience=0.2)
    wait_until(lambda: "eighth has not moved for 0 s" in supervision.troubles())
    beats.set()
    wait_until(lambda: not loop.trouble())
    loop.stopping()
    told.set()
    assert loop.stop(10)


def test_what_must_not_start_twice_ends_its_process_with_a_code_and_says_why() -> None:
    program = (
        "import logging, time\nfrom shared import supervision\nlogging.basicConfig()\n"
        "def run():\n    raise OSError('the disk is gone')\n"
        "supervision.thread('writer', run, again=False)\ntime.sleep(60)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=False)
    assert ended.returncode == supervision.EXIT
    assert "writer ended and can't be started again: OSError: the disk is gone" in ended.stderr


async def test_a_task_that_is_stopped_before_its_first_step_is_no_one_s_trouble() -> None:
    loop = supervision.task("never begun", asyncio.Event().wait)  # type: ignore[arg-type]  # what it returns is no one's
    await loop.stop()
    assert loop.state == "stopped"
    assert loop not in supervision.loops()


def test_a_thread_that_fails_while_it_stops_says_why(caplog: pytest.LogCaptureFixture) -> None:
    stopping = threading.Event()

    def run() -> None:
        stopping.wait(60)
        raise ValueError("a closed pipe")

    loop = supervision.thread("last words", run)
    loop.stopping()
    stopping.set()
    assert loop.stop(60)
    assert "last words failed while it stopped" in caplog.text
    assert (loop.state, loop.ends) == ("stopped", 0)


def test_each_pause_is_twice_the_one_before_up_to_the_longest_and_then_the_loop_is_given_up() -> None:
    given_up: list[str] = []
    loop = Loop("ends at once", Rules(True, None, lambda name, _: given_up.append(name)))
    pauses = [loop._ended(None) for _ in range(supervision.MOST)]
    assert (pauses, given_up) == (
        [min(supervision.PAUSE * 2**times, supervision.LONGEST) for times in range(supervision.MOST)],
        [],
    )
    assert loop._ended(None) is None
    assert given_up == ["ends at once"]
    loop._born -= supervision.SETTLED
    assert loop._ended(None) == supervision.PAUSE, "after a long life as after the first end"
    loop._finish("stopped")


@pytest.mark.parametrize(("still", "hangs"), [(4.0, False), (6.0, True)])
def test_a_loop_hangs_that_has_not_moved_for_longer_than_its_patience(still: float, hangs: bool) -> None:
    loop = Loop("slow", Rules(True, 5.0, supervision.end_process))
    loop._beat -= still
    assert bool(loop.trouble()) is hangs
    loop.beat()
    assert loop.trouble() == ""
    loop._finish("stopped")
