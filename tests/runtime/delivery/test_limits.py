"""Time limits count working time: what was frozen meanwhile is not the function's."""

import math
import os
import signal
import subprocess
import sys
import time

import pytest

from runtime.delivery.limits import Limits, TimeLimitExceeded, _Armed, within
from tests.runtime.owner import eventually

THREAD = """
import sys, time
from runtime.delivery.limits import Limits, TimeLimitExceeded
print("begun", flush=True)
end = time.monotonic() + float(sys.argv[2])
try:
    with Limits()(float(sys.argv[1])):
        left = float(sys.argv[2])
        while left > 0:
            time.sleep(0.01)
            left -= 0.01
    print("done")
except TimeLimitExceeded:
    print("limit")
"""
COROUTINE = """
import asyncio, sys
from runtime.delivery.limits import within
async def main():
    try:
        async with within(float(sys.argv[1])):
            left = float(sys.argv[2])
            while left > 0:
                await asyncio.sleep(0.01)
                left -= 0.01
        print("done")
    except TimeoutError:
        print("limit")
print("begun", flush=True)
asyncio.run(main())
"""


def frozen(program: str, limit: float, work: float, freeze: float) -> str:
    """What a process says that works so long under a limit and is stopped for a while in the middle."""
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(limit), str(work)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout
        assert child.stdout.readline() == "begun\n"
        time.sleep(0.3)
        child.send_signal(signal.SIGSTOP)
        time.sleep(freeze)
        child.send_signal(signal.SIGCONT)
        return child.communicate(timeout=60)[0].strip()
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("program", [THREAD, COROUTINE], ids=["thread", "coroutine"])
def test_a_process_that_stood_still_for_longer_than_the_limit_ends_its_function_well(program: str) -> None:
    assert frozen(program, limit=2.0, work=0.5, freeze=3.0) == "done"


@pytest.mark.parametrize("program", [THREAD, COROUTINE], ids=["thread", "coroutine"])
def test_a_function_that_takes_too_long_is_ended_although_it_stood_still_meanwhile(program: str) -> None:
    assert frozen(program, limit=1.0, work=60.0, freeze=2.0) == "limit"


async def test_a_coroutine_within_its_limit_leaves_nothing_behind_and_one_beyond_it_is_ended() -> None:
    import asyncio

    def timers() -> int:
        return sum(not one.cancelled() for one in asyncio.get_running_loop()._scheduled)  # type: ignore[attr-defined]  # asyncio's own

    before = timers()
    async with within(5.0):
        await asyncio.sleep(0)
    assert timers() == before
    with pytest.raises(TimeoutError):
        async with within(0.05):
            await asyncio.sleep(30)


def test_a_freeze_is_given_back_to_who_was_in_it_and_to_no_one_more_than_that() -> None:
    limits = Limits()
    limits.close()
    before, just_now = _Armed(90.0, 120.0), _Armed(99.0, 129.0)
    limits._armed, limits._fired = {1: before, 2: just_now}, {3: 80.0, 4: 98.0}
    limits._shift(5.0, 100.0)
    assert (before.until, just_now.until) == (125.0, 130.0)
    assert limits._fired == {3: 85.0, 4: 100.0}


def test_a_busy_machine_is_not_taken_for_a_frozen_one() -> None:
    limits = Limits()
    try:
        with pytest.raises(TimeLimitExceeded), limits(1.0):
            while True:
                sum(range(1000))
    finally:
        limits.close()


def test_a_function_that_begins_when_nothing_has_run_for_a_while_is_ended_too() -> None:
    limits = Limits()
    try:
        with limits(60.0):
            pass
        eventually(lambda: limits._next == math.inf)
        with pytest.raises(TimeLimitExceeded), limits(0.05):
            while True:
                time.sleep(0.01)
    finally:
        limits.close()
