"""One part's life: started when what it needs is there, watched, started again when it ends, replaced, paused, stopped."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal, Protocol

from emulator.forks import Process, exited
from emulator.launcher import Launcher
from emulator.part import Part
from emulator.probe import SILENT
from emulator.process import PortTaken, StartError, StillEnding, failure, logged, state_of
from shared import supervision

State = Literal["waiting", "starting", "ready", "paused", "restarting", "failed", "stopped"]
# Which states may follow one. waiting: for what it needs · starting: its first process is not ready yet · restarting: it was
# ready or has failed before · failed: it rests before the next start.
FOLLOWS: dict[State, set[State]] = {
    "waiting": {"starting", "stopped"},
    "starting": {"ready", "failed", "restarting", "stopped"},
    "ready": {"paused", "restarting", "failed", "stopped"},
    "paused": {"ready", "restarting", "failed", "stopped"},
    "restarting": {"ready", "failed", "stopped"},
    "failed": {"restarting", "stopped"},
    "stopped": set(),
}
# Seconds of rest before the second, third, ... start in a row: never long for what may be another part's fault and over soon.
_RESTS = (0.0, 0.5, 1.0, 2.0, 3.0, 3.0, 3.0, 3.0, 5.0, 10.0, 30.0)
# A part that had been ready and was killed has no fault of its own.
_LONGEST_AFTER_READY = 1.0
# A part that was ready for so long had started well: its next failure counts as the first.
_SETTLED = 10.0
# How often a server is started anew whose port was taken a moment before, or whose last life is still ending.
_ATTEMPTS = 7
_READY_WITHIN = 60.0
# Seconds that `status` waits for a part's own word.
_LOOK = 2.0
# A person may be at a breakpoint of the start.
_DEBUGGED_READY_WITHIN = 600.0


class Ground(Protocol):
    """What a keeper asks of, and tells, the fleet that it belongs to."""

    async def cleared(self, part: Part) -> None:
        """Return when the part may start."""

    def changed(self, keeper: "Keeper") -> None:
        """Its state has changed."""

    def ordered(self, keeper: "Keeper") -> None:
        """A new process waits for its first order."""

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return when the condition holds; looked at whenever a part changes."""

    def say(self, line: str) -> None:
        """Something that a person should know."""


class Keeper:
    """Keeps one part. Its loop is supervised: whatever ends it, the process stays and is kept on.

    Attributes:
        settled: set when the part has been ready, or has failed, once.
        retiring: it is to leave the fleet: it finishes what it has, and gets nothing new.
        stale: why its newest code is not the code that runs; empty when it is.
    """

    def __init__(self, part: Part, launcher: Launcher, ground: Ground) -> None:
        self.part = part
        self.state: State = "waiting"
        self.process: Process | None = None
        self.restarts = 0
        self.error = ""
        self.stale = ""
        self.retiring = False
        self.settled = asyncio.Event()
        self._launcher = launcher
        self._ground = ground
        self._loop: supervision.TaskLoop | None = None
        self._nudge = asyncio.Event()  # something was asked: look again
        self._renewed = False  # an end that comes now was asked for
        self._failures = 0
        self._ready_since = 0.0
        self._leaving: set[asyncio.Task[None]] = set()

    # What is

    @property
    def lives(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def seen(self) -> State:
        """The state by what is there now: a process may have ended, or been stopped by somebody, a moment ago."""
        if self.state in ("ready", "paused"):
            found = state_of(self.process.pid) if self.process is not None and self.lives else "gone"
            return "restarting" if found == "gone" else "paused" if found == "standing" else "ready"
        return self.state

    def about(self) -> dict[str, Any]:
        """What `status` shows of it."""
        known: dict[str, Any] = {
            "name": self.part.name,
            "kind": self.part.kind,
            "pid": self.process.pid if self.process is not None and self.lives else None,
            "state": self.seen,
            "address": self.part.address,
        }
        if self.part.debug:
            known["debug"] = f"127.0.0.1:{self.part.debug}"
        return known | {"restarts": self.restarts, "error": self.error}

    async def look(self) -> dict[str, Any]:
        """What `about` tells, after asking the part itself: what does not answer, or says that it can't work, is not ready."""
        known = self.about()
        if known["state"] == "ready":
            try:
                why = await asyncio.wait_for(self.part.probe(), _LOOK)
            except TimeoutError:
                why = SILENT
            if why and self.seen == "ready":
                known |= {"state": "silent" if why == SILENT else "unready", "error": why}
        return known

    def order(self, value: Any) -> None:
        """One order to its standard input, if it runs and takes any."""
        pipe = getattr(self.process, "orders", None)
        if pipe is not None:
            pipe.say(value)

    # What is asked

    def begin(self) -> None:
        """Keep the part from now on."""
        self._loop = supervision.task(f"keeper-{self.part.name}", self._keep)

    async def renew(self, overlapping: bool) -> None:
        """Put a new process in the place of the old, which finishes what it has begun; return when the new one is ready.

        A service's two processes overlap on one socket, so that no request meets no one. A worker's journal has one owner,
        and so has a debugger's port: a debugged service's requests wait in the socket.
        """
        if self.state == "stopped":
            raise StartError(f"{self.part.name} is stopped")
        old = self.process
        self._renewed = True
        if old is not None and self.lives:
            self.resume_signal()
            old.send_signal(self.part.command().stop_signal)
            self._let_go(old)
        if self.state != "waiting":
            self._become("restarting")
        if overlapping and not self.part.debug:
            self.process = None
        self._nudge.set()
        await self._ground.until(lambda: self.process is not old and self.state in ("ready", "failed"))

    def crash(self, number: int = signal.SIGKILL) -> Process | None:
        """End its process as a crash would, as part of something larger that it starts again after; the process."""
        old = self.process
        self._renewed = True
        self._nudge.set()
        if old is not None and self.lives:
            self.resume_signal()
            old.send_signal(number)
        if self.state not in ("waiting", "stopped"):
            self._become("restarting")
        return old

    def kill(self) -> None:
        """A crash out of the blue."""
        if self.process is not None and self.lives:
            self.process.kill()

    def pause(self) -> None:
        """Stop it where it is. StartError when there is nothing to stop."""
        self._signal_group(signal.SIGSTOP)
        self._become("paused")

    def resume(self) -> None:
        self._signal_group(signal.SIGCONT)
        self._become("ready")

    def _signal_group(self, number: int) -> None:
        if self.process is None or self.state not in ("ready", "paused") or not self.lives:
            raise StartError(f"{self.part.name} is {self.seen}")
        os.killpg(self.process.pid, number)
        wanted, deadline = "standing" if number == signal.SIGSTOP else "runs", time.monotonic() + 1
        while state_of(self.process.pid) not in (wanted, "gone") and time.monotonic() < deadline:
            time.sleep(0.001)  # the kernel takes a moment, and `status` tells what is

    def resume_signal(self) -> None:
        """A process that stands still hears no other signal than SIGKILL."""
        if self.process is not None and self.lives:
            self.process.send_signal(signal.SIGCONT)

    async def release(self) -> None:
        """Keep it no longer; its process goes on."""
        if self._loop is not None:
            await self._loop.stop()

    async def stop(self) -> None:
        """Keep it no longer, and end its process in its own time."""
        await self.release()
        process, grace = self.process, self.part.grace + 2
        if process is not None and self.lives:
            self.resume_signal()
            process.send_signal(self.part.command().stop_signal)
            try:
                await asyncio.wait_for(exited(process), grace)
            except TimeoutError:
                self._ground.say(f"{self.part.name} did not stop within {grace:.0f} s and was killed")
                process.kill()
                await exited(process)
        if self._leaving:
            await asyncio.wait(self._leaving)
        if self.state != "stopped":
            self._become("stopped")

    # The loop

    async def _keep(self) -> None:
        while True:
            if self._renewed and self.process is not None:
                await exited(self.process)
            try:
                await self._start()
            except StartError as error:
                if not self._renewed:
                    await self._rest(str(error))
                continue
            await self._its_end()
            if not self._renewed and not self.lives:
                code = self.process.returncode if self.process is not None else None
                await self._rest(f"it ended with {_code(code)}")

    async def _start(self) -> None:
        """Bring the part to readiness, from wherever it is: this loop may itself have been ended half-way."""
        if self.lives and self.state in ("ready", "paused"):
            return
        if not self.lives:
            self._nudge.clear()
            await self._ground.cleared(self.part)
            self._renewed = False
            self._become("starting" if self.state == "waiting" else "restarting")
        await self._launch()
        self.error, self._ready_since = "", time.monotonic()
        self._become("ready")
        self.settled.set()
        if self.restarts:
            self._ground.say(f"{self.part.name} runs again")

    async def _its_end(self) -> None:
        """Return when the process has ended, or when something was asked."""
        process = self.process
        if process is not None:
            await _first(exited(process), self._nudge.wait())

    async def _rest(self, error: str) -> None:
        """After an end that no one asked for: say so, and wait a moment, longer each time in a row."""
        self.error = error
        was_ready, self._ready_since = self._ready_since, 0.0
        self._failures = 1 if was_ready and time.monotonic() - was_ready > _SETTLED else self._failures + 1
        self.restarts += 1
        seconds = _RESTS[min(self._failures - 1, len(_RESTS) - 1)]
        seconds = min(seconds, _LONGEST_AFTER_READY) if was_ready else seconds
        first = not self.settled.is_set()
        self._become("failed" if seconds or first else "restarting")
        self.settled.set()
        self._ground.say(f"{self.part.name}: {error}; it is started again{f' in {seconds:g} s' if seconds else ''}")
        self._nudge.clear()
        await _first(asyncio.sleep(seconds), self._nudge.wait())

    # One start

    async def _launch(self) -> None:
        part = self.part
        for attempt in range(_ATTEMPTS):
            command = part.command()
            start = logged(command)
            if self.process is None or not self.lives:
                if part.prepare is not None:
                    await part.prepare(self._launcher.run)
                self.process = await self._launcher.start(part, command)
                if self._renewed:  # asked for while it was being born: it may hold what is to be swapped
                    self.process.kill()
                if part.started is not None:
                    part.started(self.process.pid)
            try:
                await self._until_ready(self.process, start)
                return
            except PortTaken:
                if attempt == _ATTEMPTS - 1 or part.another_port is None:
                    raise
                part.another_port()
            except StillEnding:
                if attempt == _ATTEMPTS - 1:
                    raise
                await asyncio.sleep(0.05 * 2**attempt)

    async def _until_ready(self, process: Process, start: int) -> None:
        within = _DEBUGGED_READY_WITHIN if self.part.debug else _READY_WITHIN
        deadline = time.monotonic() + within
        command = self.part.command()
        self._ground.ordered(self)
        ending = asyncio.create_task(exited(process))
        try:
            while True:
                asking = asyncio.ensure_future(self.part.probe())
                await asyncio.wait((asking, ending), return_when=asyncio.FIRST_COMPLETED)
                if ending.done():
                    asking.cancel()
                    raise failure(command, process.returncode, start)
                if not (why := asking.result()):
                    return
                if time.monotonic() > deadline:
                    process.kill()
                    # Else the next start would take the dying one for its own, and say that it said nothing.
                    await ending
                    raise StartError(f"{command.name} was not ready within {within:.0f} s: {why}; see {command.log}")
                await asyncio.sleep(0.02)
        finally:
            ending.cancel()

    def _let_go(self, process: Process) -> None:
        """Wait apart for a process that was told to end."""

        async def see_off() -> None:
            try:
                await asyncio.wait_for(exited(process), self.part.grace + 2)
            except TimeoutError:
                process.kill()
                await exited(process)

        task = asyncio.create_task(see_off())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _become(self, state: State) -> None:
        """The only place where the state changes."""
        if state == self.state:
            return
        if state not in FOLLOWS[self.state]:
            raise RuntimeError(f"{self.part.name} can't become {state} from {self.state}")
        self.state = state
        self._ground.changed(self)


async def _first(*waits: Awaitable[Any]) -> None:
    """Return when one of them is done; the others are cancelled."""
    tasks = [asyncio.ensure_future(each) for each in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def _code(code: int | None) -> str:
    if code is None:
        return "an unknown code"
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"
