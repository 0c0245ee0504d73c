"""Child processes: whose end they share, and as whom they run."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from emulator import process
from emulator.process import Command, PortTaken, StartError, StillEnding, free_port, spawn
from emulator.servers.postgres import NOBODY
from runtime.services import ROOT


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
@pytest.mark.parametrize(("parent", "code"), [("os.getppid()", 0), ("os.getppid() + 1", 1)])
def test_a_child_whose_parent_died_before_it_could_ask_for_the_signal_ends_by_itself(parent: str, code: int) -> None:
    program = f"import os, signal; from emulator.process import die_with; die_with({parent}, signal.SIGKILL)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, timeout=60).returncode == code


@pytest.mark.skipif(os.geteuid() != 0, reason="only root steps down")
def test_who_steps_down_from_root_keeps_none_of_its_groups(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    command = Command("groups", ["/usr/bin/env", "id"], {"PATH": os.environ["PATH"]}, tmp_path / "log", uid=NOBODY)
    before = os.getgroups()
    os.setgroups([0, 6])
    try:
        assert spawn(command).wait(60) == 0
    finally:
        os.setgroups(before)
    assert f"uid={NOBODY}" in (said := command.log.read_text())
    assert re.findall(r"\d+", said.partition("groups=")[2]) == [str(NOBODY)]


def test_the_terminal_s_ctrl_c_reaches_the_emulator_alone_and_a_child_reads_orders_or_nothing(tmp_path: Path) -> None:
    log = tmp_path / "logs/one.log"
    program = "import os; print(os.getsid(0) == os.getpid(), os.getcwd(), ascii(input() if os.environ['A'] else ''), flush=True)"
    for orders in (True, False):
        env = {"A": "x" if orders else ""}
        child = spawn(Command("one", [sys.executable, "-S", "-c", program], env, log, cwd=tmp_path), orders)
        if child.stdin is not None:
            child.stdin.write(b"go\n")
            child.stdin.close()
        assert child.wait(60) == 0
    assert log.read_text() == f"True {tmp_path} 'go'\nTrue {tmp_path} ''\n", "the second run's is added"


def test_a_process_gives_no_port_twice_and_the_one_that_is_asked_for_again() -> None:
    given = [free_port() for _ in range(200)]
    assert len(set(given)) == len(given)
    assert free_port(given[0]) == given[0]


def said(command: Command, text: str) -> StartError:
    """What a failure with this in the log is told as."""
    start = process.logged(command)
    with command.log.open("a") as log:
        log.write(text)
    return process.failure(command, 7, start)


def test_why_a_program_did_not_start_is_sought_in_what_it_logged_this_time(tmp_path: Path) -> None:
    command = Command("one", ["x"], {}, tmp_path / "log")
    assert str(process.failure(command, 7)) == "one did not start (exit 7): it said nothing"
    for text, kind, told in (
        ("bind: Address already in use\n", PortTaken, "one did not start: the port is in use"),
        (
            "a pre-existing shared memory block\n",
            StillEnding,
            "one did not start: processes of its last life are still",
        ),
        ("", StartError, "one did not start (exit 7): it said nothing"),
        ("first\n\nlast\n", StartError, "one did not start (exit 7): last"),
        ("FATAL: no\nlast\n", StartError, "one did not start (exit 7): FATAL: no"),
        ("ValueError: a\nTypeError: b\nlast\n", StartError, "one did not start (exit 7): TypeError: b"),
        (f"error: {'x' * 400}\n", StartError, f"one did not start (exit 7): error: {'x' * 293}"),
    ):
        error = said(command, text)
        assert type(error) is kind
        assert str(error).startswith(told)
        assert len(str(error)) <= 330
    # Of a log that is long, only the end is read.
    assert str(said(command, "No space left on device\n" + "x" * 20_000)).endswith("x" * 300)


SLEEPS = "import time; time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], Command]:
    return lambda text: Command("one", [sys.executable, "-S", "-c", text], {}, tmp_path / "log")


def test_what_is_waited_for_is_told_of_its_end_and_ended_when_it_takes_too_long(
    program: Callable[[str], Command],
) -> None:
    fails, sleeps = program("raise SystemExit('error: no such thing')"), program(SLEEPS)
    with pytest.raises(StartError, match=r"\(exit 1\): error: no such thing"):
        process.wait_ready(spawn(fails), fails, lambda: False)
    begun = spawn(sleeps)
    with pytest.raises(StartError, match="one was not ready within 0 s"):
        process.wait_ready(begun, sleeps, lambda: False, timeout=0)
    assert begun.returncode == -signal.SIGKILL
    begun = spawn(sleeps)
    process.wait_ready(begun, sleeps, lambda: True)
    assert begun.poll() is None
    process.stop(begun)
    assert begun.returncode == -signal.SIGTERM
    process.stop(begun)  # once more is nothing
    with pytest.raises(StartError, match="no such thing"):
        process.run(fails)
    with pytest.raises(subprocess.TimeoutExpired):
        process.run(sleeps, timeout=0)
    process.run(program("pass"))
    with pytest.raises(StartError, match="one cannot be started: No such file or directory: /no/such"):
        spawn(Command("one", ["/no/such"], {}, sleeps.log))


def test_one_that_does_not_hear_is_killed_after_its_grace_and_what_a_process_does_is_seen(
    program: Callable[[str], Command],
) -> None:
    deaf = program(DEAF)
    begun = spawn(deaf)
    process.wait_ready(begun, deaf, lambda: deaf.log.exists() and deaf.log.stat().st_size > 0)
    born = process.born(begun.pid)
    assert (process.state_of(begun.pid), process.alive(begun.pid)) == ("runs", True)
    assert born is not None
    assert born != process.born(os.getpid())
    begun.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, begun.pid, os.WSTOPPED)
    assert (process.state_of(begun.pid), process.alive(begun.pid)) == ("standing", True)
    process.stop(begun, grace=0)
    assert begun.returncode == -signal.SIGKILL
    assert (process.state_of(begun.pid), process.alive(begun.pid), process.born(begun.pid)) == ("gone", False, None)
    zombie = spawn(program("pass"))
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    assert (process.state_of(zombie.pid), process.alive(zombie.pid), process.born(zombie.pid)) == ("gone", False, None)
    zombie.wait()


def test_a_port_that_is_taken_is_another_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        found = free_port(port)
        assert found != port
        assert 20_000 <= found < 32_000
