"""Child processes that cannot outlive the emulator.

A child asks the kernel for a signal at its parent's death (PR_SET_PDEATHSIG). Two traps: a change of user clears that
wish, so it is made after the step-down; and the "parent" is the spawning *thread*, so only the main thread, which
lives as long as the process, spawns.
"""

import ctypes
import errno
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15
# Loaded before any fork: between fork and exec only async-signal-safe work is allowed, and loading a library is not.
libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class StartError(Exception):
    """Why something can't be done, in one line for the person at the terminal, and the command's exit code then."""

    exit_code = 1


class CalledWrongly(StartError):
    """What was asked for can't be."""

    exit_code = 2


class PortTaken(StartError):
    """A server lost the race for its port to someone else."""


class StillEnding(StartError):
    """What a killed server left is not gone yet: a moment later it will start."""


_ANEW = "`eco2 snapshot restore NAME` brings a saved state back, `eco2 reset` begins anew"
_DAMAGED = f"files of the state are damaged; {_ANEW}"
# What a server writes in its log for a cause that deserves one plain line.
_CAUSES = (
    ("could not resize shared memory segment", "the machine's shared memory (/dev/shm) has no room", StartError),
    ("No space left on device", "the disk is full", StartError),
    ("Check free disk space", "the disk is full", StartError),  # PostgreSQL's word when half of a write found room
    ("Disk quota exceeded", "the disk quota is used up", StartError),
    ("Read-only file system", "the folder is on a read-only file system", StartError),
    ("Address already in use", "the port is in use", PortTaken),
    ("could not create any TCP/IP sockets", "the port is in use", PortTaken),
    ("pre-existing shared memory block", "processes of its last life are still ending", StillEnding),
    ("database files are incompatible with server", f"the state is of another PostgreSQL; {_ANEW}", StartError),
    ("could not load ", _DAMAGED, StartError),  # pg_hba.conf
    ("could not read file", _DAMAGED, StartError),
    ("could not read blocks", _DAMAGED, StartError),
    ("invalid page in", _DAMAGED, StartError),
    ("could not locate a valid checkpoint record", _DAMAGED, StartError),
    ("incorrect checksum in control file", _DAMAGED, StartError),
    ("Bad file format reading the append only file", _DAMAGED, StartError),
)


@dataclass(frozen=True)
class Command:
    """A program and how it is to be run and ended."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    log: Path
    uid: int | None = None  # step down to this user and its group; None keeps ours
    stop_signal: int = signal.SIGTERM
    death_signal: int = signal.SIGKILL  # what it gets when the emulator dies without a word
    cwd: Path | None = None
    pass_fds: Sequence[int] = field(default=())


def spawn(command: Command, orders: bool = False) -> subprocess.Popen[bytes]:
    """Start the command in a session of its own, its output appended to its log.

    With `orders` its standard input is a pipe that we hold. The session keeps the terminal's Ctrl-C for the emulator
    alone, which then stops the parts in order.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            f"{command.name}: spawn from the main thread; the kernel ties a child's life to its spawning thread"
        )
    parent, death = os.getpid(), command.death_signal
    command.log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with command.log.open("ab") as log:
            return subprocess.Popen(
                list(command.argv),
                env=dict(command.env),
                stdin=subprocess.PIPE if orders else subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=command.cwd,
                start_new_session=True,
                user=command.uid,
                group=command.uid,
                extra_groups=None if command.uid is None else [],
                pass_fds=tuple(command.pass_fds),
                preexec_fn=lambda: die_with(parent, death),
            )
    except OSError as error:
        raise StartError(f"{command.name} cannot be started: {error.strerror}: {error.filename}") from None


def die_with(parent: int, number: int) -> None:
    """In a new child: get this signal when the parent dies."""
    if libc is not None:
        libc.prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:  # it died between fork and prctl: the wish came too late
        os._exit(1)


def name_process(name: str) -> None:
    """What `ps -o comm` and `top` show for this process (15 characters at most)."""
    if libc is not None:
        libc.prctl(PR_SET_NAME, name.encode()[:15])


def stop(process: subprocess.Popen[bytes], stop_signal: int = signal.SIGTERM, grace: float = 10.0) -> None:
    """End the process by its own way of ending; after `grace` seconds by SIGKILL."""
    if process.poll() is not None:
        return
    process.send_signal(stop_signal)
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def logged(command: Command) -> int:
    """How long its log is: taken before a start, so that the reason of a failure is sought in what came after."""
    return command.log.stat().st_size if command.log.exists() else 0


def wait_ready(
    process: subprocess.Popen[bytes], command: Command, ready: Callable[[], bool], timeout: float = 30.0, start: int = 0
) -> None:
    """Return when `ready()` is true.

    StartError when the process ends before (the reason is sought in its log from byte `start` on), or when `timeout`
    seconds pass (it is then killed).
    """
    deadline = time.monotonic() + timeout
    pause = 0.005
    while not ready():
        if process.poll() is not None:
            raise failure(command, process.returncode, start)
        if time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise StartError(f"{command.name} was not ready within {timeout:.0f} s; its log: {command.log}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def run(command: Command, timeout: float = 120.0) -> None:
    """Run a program to its end. StartError with the cause when it fails."""
    start = logged(command)
    process = spawn(command)
    try:
        code = process.wait(timeout)
    except BaseException:
        process.kill()
        process.wait()
        raise
    if code != 0:
        raise failure(command, code, start)


def failure(command: Command, code: int | None, start: int = 0) -> StartError:
    """One line for a program that ended: a known cause found in what it logged after byte `start`, else its last
    line.
    """
    text = _end_of(command.log, start)
    if (known := known_cause(command.name, command.log, start)) is not None:
        return known
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    marked = [line for line in lines if any(word in line for word in ("FATAL", "PANIC", "rror:", "rror "))]
    last = (marked or lines or ["it said nothing"])[-1]
    return StartError(f"{command.name} did not start (exit {code}): {last[:300]}")


def known_cause(name: str, log: Path, start: int) -> StartError | None:
    """One plain line for what a part logged after byte `start`, if it is known what it means."""
    text = _end_of(log, start)
    for sign, cause, kind in _CAUSES:
        if sign in text:
            return kind(f"{name} did not start: {cause}")
    return None


def _end_of(log: Path, start: int) -> str:
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(start, file.seek(0, os.SEEK_END) - 20_000))
        return file.read().decode(errors="replace")


# Ports that this process has given, the last few hundred.
_given: deque[int] = deque(maxlen=300)


def free_port(wanted: int | None = None) -> int:
    """A loopback port that is free now: `wanted` if it is, else one by chance.

    Below 32768, where Linux begins to give ports to outgoing connections: one of those may take a kept port at any time. Each
    process looks among a few hundred first, and gives none twice: two that start at the same moment would both find a port
    free, and one would lose it.
    """
    own = 20_000 + os.getpid() % 24 * 500
    for port in (wanted, *random.sample(range(own, own + 500), 50), *random.sample(range(20_000, 32_000), 50), 0):
        if port is None or (port in _given and port != wanted):
            continue
        if (found := _try(port)) is not None:
            _given.append(found)
            return found
    raise StartError("no free port on 127.0.0.1")


def _try(port: int) -> int | None:
    with socket.socket() as probe:
        # As servers do: a port in TIME_WAIT after our own last run counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return None
            raise
        return int(probe.getsockname()[1])


def alive(pid: int) -> bool:
    """Whether a process with this id runs (a zombie does not)."""
    if not Path("/proc/self/stat").exists():  # not Linux
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def state_of(pid: int) -> Literal["runs", "standing", "gone"]:
    """What a process does just now: it runs, stands still (SIGSTOP, a debugger), or is gone (a zombie is)."""
    if not alive(pid):
        return "gone"
    try:
        letter = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "runs" if not Path("/proc/self/stat").exists() else "gone"
    return "standing" if letter in ("T", "t") else "runs"


def born(pid: int) -> str | None:
    """A process's start time: with its id, the process itself and no later one of the same number."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else fields[19]
