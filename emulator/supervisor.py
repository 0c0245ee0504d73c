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

from emulator import control, probe, snapshots
from emulator.forks import Forked, Process, Template, template_command
from emulator.parts import Part, System
from emulator.process import Command, PortTaken, StartError, StillEnding, alive, failure, logged, spawn
from emulator.proxy import Fault
from emulator.reload import Reloader
from emulator.state import State
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
        self.faults: dict[str, tuple[Fault, float | None]] = {}  # with their end on the monotonic clock
        self.fault_count = 0
        self.stopping = asyncio.Event()
        self.fatal: StartError | None = None
        self.control = control.ControlServer(self._handle)
        self.started_at = time.monotonic()
        self.handlers: dict[str, control.Handler] = {
            "status": self._status,
            "environment": self._environment,
            "stop": self._stop_asked,
            "restart": self._restart_asked,
            "kill": self._kill_asked,
            "pause": self._pause_asked,
            "resume": self._pause_asked,
            "fault-add": self._fault_asked,
            "fault-clear": self._fault_clear_asked,
            "fault-list": self._fault_list_asked,
            "snapshot-save": self._snapshot_save,
            "snapshot-restore": self._snapshot_restore,
        }
        self.moved = asyncio.Condition()  # a part's state has changed
        self.reload_errors: dict[str, str] = {}
        self.one_snapshot = asyncio.Lock()
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
        if not (self.state.path / "clock").exists():
            clock.write_offset(str(self.state.path / "clock"), 0.0)
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
        setup = [asyncio.create_task(work()) for work in (self._prepare, self._build_model, self._sample_data)]
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
        about = self.state.read_json(control.FILE)
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

    # Setting up

    async def _prepare(self) -> None:
        env = self.system.base_environment()
        superuser = self.environ.get("DATABASE_URL") or self.system.postgres.superuser_dsn
        env |= {"SUPERUSER_DSN": superuser, "MIGRATION_DB_URL": self.system.dsn("migrator", "")}
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
        done: dict[str, bool] = self.state.read_json("samples.json") or {}
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
        appears as a line of the log."""
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
            if word in left:
                left.discard(word)
                self.done[word].set()
            if not left:
                return

    def trouble(self, line: str) -> None:
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
                await self._changed()
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
            await self._changed()
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
        await self.order_proxy()

    async def _until_ready(self, running: Running, command: Command) -> None:
        process = running.process
        assert process is not None
        within = _DEBUGGED_READY_WITHIN if running.part.debug else _READY_WITHIN
        deadline = time.monotonic() + within
        ending = asyncio.create_task(exited(process))
        try:
            if running.part.kind == "proxy":
                await self.order_proxy()
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

    async def order_proxy(self) -> None:
        """Tell the proxy what should hold now."""
        order = {"links": self.system.links(), "faults": [fault for fault, _ in self.faults.values()]}
        self.order("proxy", json.loads(msgspec.json.encode(order)))

    def order(self, name: str, value: Any) -> None:
        """One line to a part's standard input, if it runs."""
        running = self.running.get(name)
        if running is not None and running.process is not None and running.process.stdin is not None:
            with contextlib.suppress(OSError):  # it is just ending; it is told again when it is back
                running.process.stdin.write(json.dumps(value).encode() + b"\n")
                running.process.stdin.flush()

    async def _changed(self) -> None:
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
        self.faults.clear()
        await self.order_proxy()
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

    # Control

    async def _handle(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        handler = self.handlers.get(str(request.get("do")))
        if handler is None:
            raise StartError(f"this emulator does not know {request.get('do')!r}; is it of another version?")
        return await handler(request, say)

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

    async def _status(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        return {"about": self.about(), "troubles": self.troubles}

    async def _environment(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        name = request.get("service")
        if name:
            if name not in self.system.services:
                raise StartError(f"there is no service {name}")
            return {"environment": self.system.environment(self.system.services[name])}
        return {"environment": self.system.outside_environment()}

    async def _stop_asked(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        self.say("stopping: asked by `eco2 down`")
        asyncio.get_running_loop().call_later(0.05, self.stopping.set)
        return {"pid": os.getpid()}

    def pick(self, name: str) -> Running:
        """The part of that name. StartError with the names there are."""
        import difflib

        if name not in self.running:
            near = difflib.get_close_matches(name, self.running, 1)
            raise StartError(
                f"there is no part {name}"
                + (f": did you mean {near[0]}?" if near else f"; there are {', '.join(self.running)}")
            )
        return self.running[name]

    async def _restart_asked(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        running = self.pick(str(request.get("part")))
        await self.replace(running, overlapping=running.part.kind == "service")
        return {"part": running.about()}

    async def _kill_asked(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        running = self.pick(str(request.get("part")))
        if running.process is not None and running.process.poll() is None:
            running.process.kill()
        return {"part": running.about()}

    async def _pause_asked(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        running = self.pick(str(request.get("part")))
        pausing = request["do"] == "pause"
        if running.process is None or running.process.poll() is not None or running.state not in ("ready", "paused"):
            raise StartError(f"{running.part.name} is {running.state}")
        os.killpg(running.process.pid, signal.SIGSTOP if pausing else signal.SIGCONT)
        running.state = "paused" if pausing else "ready"
        await self._changed()
        return {"part": running.about()}

    # Snapshots

    def _no_existing_servers(self) -> None:
        if self.system.existing.urls:
            raise StartError(
                f"snapshots need the embedded servers, and {', '.join(self.system.existing.urls)} is your own"
            )

    async def _snapshot_save(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        self._no_existing_servers()
        name = str(request["name"])
        async with self.one_snapshot:
            fresh = snapshots.begin(self.state, name)
            # Redis may keep what it has answered in memory for the moment of a background flush; not from here on.
            await self._redis_flush("always")
            # Clients first: what servers are asked then is answered, and they rest.
            kinds = ("service", "worker", "syncer", "server")
            chosen = [r for kind in kinds for r in self.running.values() if r.part.kind == kind]
            pids = [
                r.process.pid
                for r in chosen
                if r.process is not None and r.process.poll() is None and r.state != "paused"
            ]
            frozen = snapshots.freeze(pids)
            try:
                await asyncio.to_thread(snapshots.copy, self.state, fresh)
            finally:
                snapshots.thaw(frozen)
                await self._redis_flush("everysec")
            about = await asyncio.to_thread(snapshots.finish, self.state, fresh, name)
        self.say(f"snapshot {name} was saved")
        return {"said": f"{name} is saved: {about['bytes'] / 1e6:.1f} MB"}

    async def _redis_flush(self, how: str) -> None:
        broker = self.system.broker
        order = f"AUTH {broker.password}\r\nCONFIG SET appendfsync {how}\r\nPING\r\n".encode()
        await probe.ask(broker.port, order, b"+PONG\r\n", timeout=2)

    async def _snapshot_restore(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        self._no_existing_servers()
        name = str(request["name"])
        async with self.one_snapshot:
            await asyncio.to_thread(snapshots.stage, self.state, name)
            chosen = [r for r in self.running.values() if r.part.kind in ("service", "worker", "syncer", "server")]
            self.may_start.clear()
            try:
                for running in chosen:
                    running.replaced.set()
                    running.again.set()
                    if running.process is not None and running.process.poll() is None:
                        # As a crash would: what they hold is of the state that goes.
                        number = signal.SIGQUIT if running.part.name == "postgres" else signal.SIGKILL
                        running.process.send_signal(signal.SIGCONT)
                        running.process.send_signal(number)
                        running.state = "restarting"
                old = [running.process for running in chosen]
                await asyncio.gather(*(exited(process) for process in old if process is not None))
                await asyncio.to_thread(snapshots.swap, self.state)
                self.done["migrations"].clear()
            finally:
                self.may_start.set()
            # Roles' passwords are this state's, and migrations those of this checkout.
            await self._prepare()
            async with self.moved:
                await self.moved.wait_for(
                    lambda: all(r.process not in old and r.state in ("ready", "failed") for r in chosen)
                )
        self.say(f"snapshot {name} was restored")
        return {"said": f"{name} is restored"}

    # Faults

    async def _fault_asked(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        self.fault_count += 1
        fault = msgspec.convert({**request["fault"], "id": f"f{self.fault_count}"}, Fault)
        links = self.system.links()
        if not any(fault.hits(link) for link in links):
            known = sorted({link.target for link in links if fault.source in (None, link.source)})
            whence = f" from {fault.source}" if fault.source else ""
            raise StartError(f"no connection{whence} to {fault.target}; there are {', '.join(known) or 'none'}")
        seconds = request.get("seconds")
        self.faults[fault.id] = (fault, time.monotonic() + seconds if seconds else None)
        if seconds:
            # Of the machine's time: a fault is part of the test, not of the system.
            asyncio.get_running_loop().call_later(seconds, lambda: asyncio.ensure_future(self.clear_fault(fault.id)))
        await self.order_proxy()
        self.say(f"fault {self._fault_line(fault.id)}")
        return {"faults": [self._fault_line(fault.id)], "id": fault.id}

    async def clear_fault(self, wanted: str | None) -> None:
        """End one fault, or all."""
        for name in [name for name in self.faults if wanted in (None, name)]:
            self.say(f"fault {name} is over")
            del self.faults[name]
        await self.order_proxy()

    async def _fault_clear_asked(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        wanted = request.get("id")
        if wanted is not None and wanted not in self.faults:
            raise StartError(f"there is no fault {wanted}")
        await self.clear_fault(wanted)
        return await self._fault_list_asked(request, say)

    async def _fault_list_asked(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        return {"faults": [self._fault_line(name) for name in self.faults]}

    def _fault_line(self, name: str) -> str:
        fault, end = self.faults[name]
        amount = {
            "latency": f" {fault.seconds * 1000:g}ms±{fault.spread * 1000:g}",
            "throttle": f" {fault.rate / 1000:g}KB/s",
            "reset": f" {fault.chance * 100:g}%",
            "swallow": f" {fault.chance * 100:g}%",
        }.get(fault.kind, "")
        whence = f" from {fault.source}" if fault.source else ""
        left = f", {max(0.0, end - time.monotonic()):.0f} s left" if end else ""
        return f"{name}: {fault.target} {fault.kind}{amount}{whence}{left}"


# Sample data: the service's folder, and the command function with its arguments.
SAMPLES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("recycle_info", "items", ()),
    ("location", "centers", ("--sample",)),
)


async def exited(process: Process) -> None:
    """Return when the process has ended (and is reaped)."""
    if process.poll() is not None:
        return
    if isinstance(process, Forked):
        await process.ended.wait()
        return
    if not hasattr(os, "pidfd_open"):
        while process.poll() is None:  # noqa: ASYNC110 (macOS: nothing to wait on)
            await asyncio.sleep(0.05)
        return
    try:
        file = os.pidfd_open(process.pid)
    except ProcessLookupError:
        process.wait()
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(file, ended.set)
    try:
        await ended.wait()
        process.wait()
    finally:
        loop.remove_reader(file)
        os.close(file)


def born(pid: int) -> str | None:
    """A process's start time: with its id, the process itself and no later one of the same number."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else fields[19]


def _code(code: int | None) -> str:
    if code is None:
        return "an unknown code"
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"


__all__ = ["Supervisor", "alive", "born", "exited"]
