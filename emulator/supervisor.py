"""Starts every part, watches it, starts it again when it ends, and stops all in reverse order: what `eco2 up` runs.

One event loop on the main thread spawns everything (see emulator/process.py for why), so no part outlives this process.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from emulator import control
from emulator.forks import Process, Template, exited, template_command
from emulator.network.faults import Faults
from emulator.orders import Orders
from emulator.parts import Part, System
from emulator.process import Command, PortTaken, StartError, StillEnding, born, failure, logged, spawn
from emulator.reload import Reloader
from emulator.state import snapshots
from emulator.state.folder import State
from runtime.services import ROOT
from shared import clock

Say = Callable[[str], None]
# Kinds in the order of their stop: first who takes new work, last who keeps things.
_STOP_ORDER = (("dashboard", "gateway"), ("service", "worker"), ("syncer",), ("proxy",), ("server",))
# Without these nothing can run: their failure ends `up`. Another part's failure is told and tried again.
_ESSENTIAL = {"server", "proxy", "gateway"}
_READY_WITHIN = 60.0
# A person may stand at a breakpoint of the start.
_DEBUGGED_READY_WITHIN = 600.0
_BACKOFF = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
# A part that ran so long had started well: its next failure counts as the first.
_SETTLED = 10.0
_ATTEMPTS = 7
_LOG_LIMIT = 20 * 1024 * 1024
# Sample data: the service's folder, and the command function with its arguments.
SAMPLES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("recycle_info", "items", ()),
    ("location", "centers", ("--sample",)),
)


@dataclass
class Running:
    """A part and what became of it."""

    part: Part
    state: str = "waiting"  # waiting, starting, ready, restarting, failed, paused, stopped
    process: Process | None = None
    restarts: int = 0
    error: str = ""
    since: float = 0.0
    log_start: int = 0
    settled: asyncio.Event = field(default_factory=asyncio.Event)  # ready once, or failed once
    task: asyncio.Task[None] | None = None
    replaced: asyncio.Event = field(default_factory=asyncio.Event)  # by a reload: its end is no failure
    replacing: bool = False
    again: asyncio.Event = field(default_factory=asyncio.Event)  # cuts a backoff short

    def about(self) -> dict[str, Any]:
        pid = self.process.pid if self.process is not None and self.process.poll() is None else None
        known = {
            "name": self.part.name,
            "kind": self.part.kind,
            "pid": pid,
            "state": self.state,
            "address": self.part.address,
        }
        if self.part.debug:
            known["debug"] = f"127.0.0.1:{self.part.debug}"
        return known | {"restarts": self.restarts, "error": self.error}


class Supervisor:
    """One emulator on one state folder."""

    def __init__(
        self,
        state: State,
        port: int | None,
        environ: Mapping[str, str],
        say: Say,
        seed: int = 0,
        debug: str | None = None,
    ) -> None:
        self.state = state
        self.debug = debug
        self.seed = seed
        self.say = say
        self.wanted_port = port
        self.environ = environ
        self.system: System
        self.template: Template
        self.running: dict[str, Running] = {}
        self.done: dict[str, asyncio.Event] = {name: asyncio.Event() for name in ("keys", "migrations", "model")}
        self.troubles: list[str] = []
        self.faults = Faults()
        self.stopping = asyncio.Event()
        self.fatal: StartError | None = None
        self.control = control.ControlServer(Orders(self).handle)
        self.started_at = time.monotonic()
        self.moved = asyncio.Condition()  # a part's state has changed
        self.reload_errors: dict[str, str] = {}
        self.may_start = asyncio.Event()  # cleared while a restore swaps the state under everybody
        self.may_start.set()
        self._reloading: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._retired: list[Template] = []
        self._setup: list[Process] = []

    # Life

    async def run(self, on_ready: Callable[["Supervisor"], Awaitable[None]]) -> int:
        """Start everything, call `on_ready`, and return when told to stop. The exit code is 1 after a fatal failure."""
        self._listen_to_signals()
        self._end_the_leftovers()
        if snapshots.swap(self.state):
            self.say("finished the restore that was interrupted")
        self.system = System(self.state, self.wanted_port, self.environ, self.seed, self.debug)
        for part in self.system.parts():
            self.running[part.name] = Running(part)
        file = self.state.path / "clock"
        if not file.exists() or file.stat().st_size < clock.SIZE:
            clock.write_offset(str(file), 0.0)
        self.template = self._new_template()
        await self.control.start()
        self.write_about()
        try:
            await self._start(on_ready)
            await self.stopping.wait()
        except StartError as error:
            self.fatal = self.fatal or error
        finally:
            await self._stop_everything()
            (self.state.path / control.FILE).unlink(missing_ok=True)
        if self.fatal is not None:
            raise self.fatal
        return 0

    def _new_template(self) -> Template:
        template = Template(template_command(self.system.base_environment(), self.system.log("template")))
        template.start()
        return template

    async def _start(self, on_ready: Callable[["Supervisor"], Awaitable[None]]) -> None:
        for running in self.running.values():
            running.task = asyncio.create_task(self._keep(running))
        setup = [asyncio.create_task(work()) for work in (self.prepare, self._build_model, self._sample_data)]
        everything = asyncio.gather(*setup, *(running.settled.wait() for running in self.running.values()))
        ending = asyncio.create_task(self.stopping.wait())
        await asyncio.wait((asyncio.ensure_future(everything), ending), return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if self.stopping.is_set():
            everything.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await everything
            return
        await everything
        await on_ready(self)
        self._reloading = asyncio.create_task(Reloader(self).run())
        self._reloading.add_done_callback(self._tell_why)

    def _tell_why(self, task: asyncio.Task[None]) -> None:
        """A task that should go on for ever has ended: never silently."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self.trouble(f"saved files are not reloaded any more: {type(error).__name__}: {error}")

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()

        def told() -> None:
            if self.stopping.is_set():
                self.say("stopping at once")
                self._kill_everything()
                os._exit(130)
            self.say("stopping (once more to stop at once)")
            self.stopping.set()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, told)

    def _end_the_leftovers(self) -> None:
        """Wait for parts of a killed emulator to end, which the kernel told them to; end who did not hear."""
        about = self.state.read_json(control.FILE, dict[str, Any])
        if about is None:
            return
        left = {part["pid"]: part.get("born") for part in about.get("parts", []) if part.get("pid")}
        deadline = time.monotonic() + 3
        while any(born(pid) == when for pid, when in left.items()) and time.monotonic() < deadline:
            time.sleep(0.02)
        for pid, when in left.items():
            if when is not None and born(pid) == when:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def write_about(self) -> None:
        """emulator.json: how commands find this emulator, and what a next one has to wait for."""
        parts = [running.about() for running in self.running.values()]
        for part in parts:
            part["born"] = born(part["pid"]) if part["pid"] else None
        about = {
            "pid": os.getpid(),
            "gateway": self.system.gateway_url,
            "control": self.control.port,
            "token": self.control.token,
            "parts": parts,
        }
        with contextlib.suppress(OSError):  # a full disk must not take the emulator down
            self.state.write_json(control.FILE, about, durable=False)

    def about(self) -> dict[str, Any]:
        """What `eco2 status --json` prints."""
        parts = [running.about() for running in self.running.values()]
        for name, url in self.system.existing.urls.items():
            address = url.rpartition("@")[2]  # never a password
            parts.insert(0, {"name": name, "kind": "server", "pid": None, "state": "existing", "address": address})
        return {
            "pid": os.getpid(),
            "gateway": self.system.gateway_url,
            "parts": parts,
            "state_folder": str(self.state.path),
        }

    # Setting up

    async def prepare(self) -> None:
        """Make keys, roles and passwords, and bring every schema up to date."""
        superuser = self.environ.get("DATABASE_URL") or self.system.postgres.superuser_dsn
        env = self.system.owner_environment() | {"SUPERUSER_DSN": superuser}
        command = self._setup_command("prepare", [], env)
        await self._run(command, {"keys", "migrations"}, module="emulator.prepare:main")

    async def _build_model(self) -> None:
        """Build the classifier's file once; without it worker-ai says what is missing."""
        env = self.system.base_environment()
        command = self._setup_command("model", ["-m", "functions.ai.model_build", str(self.state.path / "model")], env)
        try:
            await self._run(command, set())
        except StartError as error:
            self.trouble(f"the classifier's model was not built: {error}")
        self.done["model"].set()

    async def _sample_data(self) -> None:
        """Import the samples once into a new database; what could not be is said and tried at the next start."""
        done = self.state.read_json("samples.json", dict[str, bool]) or {}
        await self.done["migrations"].wait()
        for folder, name, arguments in SAMPLES:
            service = self.system.services.get(folder)
            if service is None or done.get(name):
                continue
            env = self.system.environment(service)
            command = self._setup_command("samples", ["-m", "runtime.cli", "import", name, *arguments], env)
            try:
                await self._run(command, set())
            except StartError as error:
                self.trouble(f"no sample data for {name}: {error}")
                continue
            done[name] = True
            self.state.write_json("samples.json", done)

    def _setup_command(self, name: str, arguments: list[str], env: Mapping[str, str]) -> Command:
        return Command(name, [sys.executable, *arguments], env, self.system.log(name), cwd=ROOT)

    async def _run(self, command: Command, words: set[str], module: str = "") -> None:
        """Run a program (or a module's function, by the template) to its end; each of the words sets its event when it
        appears as a line of the log, and a line `! …` before that is told."""
        start = logged(command)
        process: Process = await self.template.fork(command, module, (), orders=False) if module else spawn(command)
        self._setup.append(process)
        reading = asyncio.create_task(self._read_words(command.log, start, words))
        await exited(process)
        if process.returncode != 0:
            reading.cancel()
            raise failure(command, process.returncode, start)
        await reading

    async def _read_words(self, log: Path, start: int, words: set[str]) -> None:
        left = set(words)
        if not left:
            return
        async for line in control.follow(log, start, pause=0.01):
            word = line.decode(errors="replace").strip()
            if word.startswith("! "):
                self.trouble(word[2:])
            if word in left:
                left.discard(word)
                self.done[word].set()
            if not left:
                return

    def trouble(self, line: str) -> None:
        if line not in self.troubles:
            self.troubles.append(line)
        self.say(line)

    # One part

    async def _keep(self, running: Running) -> None:
        """Start the part whenever it is not there, until told to stop."""
        part = running.part
        failures = 0
        while not self.stopping.is_set():
            await self.may_start.wait()
            for need in part.needs:
                await self._until(need)
            running.state = "restarting" if running.restarts else "starting"
            running.again.clear()
            running.replaced.clear()
            try:
                await self._launch(running)
                running.state, running.error, running.since = "ready", "", time.monotonic()
                if running.restarts:
                    self.say(f"{part.name} runs again")
                running.settled.set()
                await self.changed()
                await self._ended(running)
                if running.replaced.is_set() or running.replacing:
                    continue
                code = running.process.returncode if running.process is not None else None
                running.error = f"it ended with {_code(code)}"
            except StartError as error:
                running.error = str(error)
                if not running.settled.is_set() and part.kind in _ESSENTIAL:
                    self.fatal = error
                    self.stopping.set()
                    return
            if self.stopping.is_set():
                return
            failures = 0 if running.since and time.monotonic() - running.since > _SETTLED else failures + 1
            running.restarts += 1
            pause = _BACKOFF[min(max(failures - 1, 0), len(_BACKOFF) - 1)]
            if pause or not running.settled.is_set():
                running.state = "failed"
                running.settled.set()
            self.say(f"{part.name}: {running.error}; it is started again{f' in {pause:g} s' if pause else ''}")
            await self.changed()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(running.again.wait(), pause)

    async def _until(self, need: str) -> None:
        if need in self.done:
            await self.done[need].wait()
        else:
            await self.running[need].settled.wait()

    async def _launch(self, running: Running) -> None:
        part = running.part
        if part.name == "postgres":
            await self._make_cluster()
        elif part.name.startswith("redis-"):
            (self.system.broker if part.name == "redis-broker" else self.system.cache).prepare()
        for attempt in range(_ATTEMPTS):
            command = part.command()
            self._cut_log(command.log)
            running.log_start = logged(command)
            if part.module:
                if self.template.gone.is_set():
                    self.template = self._new_template()
                running.process = await self.template.fork(command, part.module, part.arguments, part.orders)
            else:
                running.process = spawn(command, orders=part.orders)
            if part.name == "postgres":
                assert isinstance(running.process, subprocess.Popen)
                self.system.postgres.process = running.process
            try:
                await self._until_ready(running, command)
                return
            except PortTaken:
                # Somebody was faster by a moment. A port of our own choice is chosen again.
                if attempt == _ATTEMPTS - 1 or part.name not in ("postgres", "redis-broker", "redis-cache"):
                    raise
                await self._another_port(part.name)
            except StillEnding:
                if attempt == _ATTEMPTS - 1:
                    raise
                await asyncio.sleep(0.05 * 2**attempt)

    async def _another_port(self, name: str) -> None:
        port = self.state.port(name)
        self.system.ports[name] = port
        if name == "postgres":
            self.system.postgres.port = port
        else:
            server = self.system.broker if name == "redis-broker" else self.system.cache
            server.port = port
            server.prepare()
        self.order_proxy()

    async def _until_ready(self, running: Running, command: Command) -> None:
        process = running.process
        assert process is not None
        within = _DEBUGGED_READY_WITHIN if running.part.debug else _READY_WITHIN
        deadline = time.monotonic() + within
        ending = asyncio.create_task(exited(process))
        try:
            if running.part.kind == "proxy":
                self.order_proxy()
            while True:
                asking = asyncio.ensure_future(running.part.ready())
                await asyncio.wait((asking, ending), return_when=asyncio.FIRST_COMPLETED)
                if ending.done():
                    asking.cancel()
                    raise failure(command, process.returncode, running.log_start)
                if asking.result():
                    return
                if time.monotonic() > deadline:
                    process.kill()
                    raise StartError(f"{command.name} was not ready within {within:.0f} s; see {command.log}")
                await asyncio.sleep(0.02)
        finally:
            ending.cancel()

    async def _ended(self, running: Running) -> None:
        assert running.process is not None
        ending = asyncio.create_task(exited(running.process))
        replaced = asyncio.create_task(running.replaced.wait())
        await asyncio.wait((ending, replaced), return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        replaced.cancel()

    async def replace(self, running: Running, overlapping: bool) -> None:
        """Put a new process in the place of the old, which finishes what it has begun; return when the new one is ready.

        A service's two processes overlap on one socket, so that no request meets nobody. A worker's journal has one owner,
        and so has a debugger's port: a debugged service's requests wait in the socket.
        """
        old = running.process
        overlapping = overlapping and not running.part.debug
        running.replacing = True
        try:
            if old is not None and old.poll() is None:
                old.send_signal(running.part.command().stop_signal)
                leaving = asyncio.create_task(self._see_off(old, running.part.grace + 2))
                self._leaving.add(leaving)
                leaving.add_done_callback(self._leaving.discard)
            running.state = "restarting"
            if overlapping:
                running.replaced.set()  # else the keeper goes on when the old one has ended
            running.again.set()
            async with self.moved:
                await self.moved.wait_for(lambda: running.process is not old and running.state in ("ready", "failed"))
        finally:
            running.replacing = False

    async def _see_off(self, process: Process, grace: float) -> None:
        try:
            await asyncio.wait_for(exited(process), grace)
        except TimeoutError:
            process.kill()

    async def renew_template(self) -> None:
        """Fork from newly imported libraries from now on; the old template goes with its last child."""
        old, self.template = self.template, self._new_template()
        await self.template.ready.wait()
        old.retire()
        self._retired.append(old)

    async def _make_cluster(self) -> None:
        try:
            making = self.system.postgres.begin_cluster()
        except OSError as error:
            raise StartError(f"postgres cannot use {self.state.path}: {error.strerror}") from None
        if making is not None:
            self.say("making the PostgreSQL cluster")
            await self._run(making, set())
            self.system.postgres.end_cluster()

    def _cut_log(self, log: Path) -> None:
        """Keep one older log: a part that has run for weeks must not fill the disk."""
        if log.exists() and log.stat().st_size > _LOG_LIMIT:
            log.replace(log.with_suffix(".log.1"))

    # Orders

    def order_proxy(self) -> None:
        """Tell the proxy what should hold now."""
        order = {"links": self.system.links(), "faults": self.faults.all()}
        self.order("proxy", json.loads(msgspec.json.encode(order)))

    def order(self, name: str, value: Any) -> None:
        """One line to a part's standard input, if it runs."""
        running = self.running.get(name)
        if running is not None and running.process is not None and running.process.stdin is not None:
            with contextlib.suppress(OSError):  # it is just ending; it is told again when it is back
                running.process.stdin.write(json.dumps(value).encode() + b"\n")
                running.process.stdin.flush()

    async def changed(self) -> None:
        """A part's state has changed: tell who waits, who finds us by our file, and the gateway."""
        async with self.moved:
            self.moved.notify_all()
        self.write_about()
        # While a service is away for longer, waiting in its socket helps nobody: the gateway says 503.
        self.order_gateway()

    def order_gateway(self) -> None:
        """Tell the gateway who is away and whose newest code does not load."""
        away = [name for name, running in self.running.items() if running.state == "failed"]
        self.order("gateway", {"away": away, "errors": self.reload_errors})

    # Stop

    async def _stop_everything(self) -> None:
        self.stopping.set()
        self.control.close()
        for process in self._setup:
            if process.poll() is None:
                process.kill()
        self.faults.end()
        self.order_proxy()
        if self._reloading is not None:
            self._reloading.cancel()
        for running in self.running.values():
            if running.task is not None:
                running.task.cancel()
        for kinds in _STOP_ORDER:
            chosen = [running for running in self.running.values() if running.part.kind in kinds]
            await asyncio.gather(*(self._stop_part(running) for running in reversed(chosen)))
        for template in [self.template, *self._retired]:
            template.close()
        for listener in [*self.system.listeners.values(), self.system.gateway]:
            listener.close()

    async def _stop_part(self, running: Running) -> None:
        process = running.process
        if process is None or process.poll() is not None:
            return
        if running.state == "paused":
            process.send_signal(signal.SIGCONT)
        process.send_signal(running.part.command().stop_signal)
        try:
            await asyncio.wait_for(exited(process), running.part.grace + 2)
        except TimeoutError:
            self.say(f"{running.part.name} did not stop within {running.part.grace + 2:.0f} s and was killed")
            process.kill()
            await exited(process)
        running.state = "stopped"

    def _kill_everything(self) -> None:
        processes: list[Process] = [*self._setup, *(r.process for r in self.running.values() if r.process is not None)]
        for process in processes:
            if process.poll() is None:
                process.kill()
        self.template.close()


def _code(code: int | None) -> str:
    if code is None:
        return "an unknown code"
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"
