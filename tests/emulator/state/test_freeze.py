"""Processes that stand still: all of a family, parents first, and all of them go on"""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.process import state_of
from emulator.state import freeze
from tests.support import wait_until


@pytest.fixture
def family() -> Iterator[list[int]]:
    """A process, its child and its grandchild."""
    words = ["sh", "-c", "sh -c 'sleep 600; true' & wait"]
    with subprocess.Popen(words, start_new_session=True) as parent:
        wait_until(lambda: len(list(freeze.family(parent.pid))) == 3)
        yield list(freeze.family(parent.pid))
        os.killpg(parent.pid, signal.SIGKILL)


def gone() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen(["true"]) as ended:
        pass
    return ended.pid


def test_a_family_is_a_process_with_all_below_it_parents_first(family: list[int]) -> None:
    parents = [int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in family]
    assert parents == [os.getpid(), *family[:2]]


def test_all_of_a_family_stand_still_and_go_on_and_who_has_ended_meanwhile_is_passed_over(
    family: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []
    kill = os.kill

    def recorded(pid: int, number: int) -> None:
        kill(pid, number)
        told.append((pid, number))

    monkeypatch.setattr(os, "kill", recorded)
    stopped = freeze.freeze([gone(), family[0]])
    assert stopped == family
    assert [state_of(pid) for pid in family] == ["standing"] * 3
    freeze.thaw([gone(), *stopped])
    assert [state_of(pid) for pid in family] == ["runs"] * 3
    # No parent goes on before its children: it would take one that stands for one that hangs.
    stops, goes = [(pid, signal.SIGSTOP) for pid in family], [(pid, signal.SIGCONT) for pid in reversed(family)]
    assert told == [*stops, *goes]


def test_the_copy_begins_when_the_last_one_stands(family: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []

    def state(pid: int) -> str:
        looks.append("runs" if len(looks) < 5 else state_of(pid))
        return looks[-1]

    monkeypatch.setattr(freeze, "state_of", state)
    freeze.thaw(freeze.freeze(family[:1]))
    assert looks[-3:] == ["standing"] * 3
