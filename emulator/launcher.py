"""Starts processes, from the warm template where it can, and runs programs to their end.

One event loop on the main thread spawns everything (see emulator/process.py for why), so no process outlives this one.
"""

import asyncio
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from emulator.early import Early
from emulator.forks import Process, Template, exited
from emulator.part import Part
from emulator.process import Command, failure, logged, spawn
from runtime.services import ROOT

_LOG_LIMIT = 20 * 1024 * 1024
# A program that a signal ended is run again so many times: the out-of-memory killer, or somebody's kill -9.
_TRIES = 3


class Launcher:
    """The processes of one emulator. `logs` is the folder of their logs, `environment` the template's."""

    def __init__(self, environment: Mapping[str, str], logs: Path, early: Early | None = None) -> None:
        self._environment = environment
        self.logs = logs
        self.template = self._new_template(early)
        self._retired: list[Template] = []
        self._programs: set[Process] = set()
        self._stopped = False

    def _new_template(self, early: Early | None = None) -> Template:
        argv = [sys.executable, "-m", "emulator.template"]
        template = Template(Command("template", argv, self._environment, self.logs / "template.log", cwd=ROOT), early)
        template.start()
        return template

    def living_template(self) -> Template:
        """The template; a new one where it has gone, with all its children."""
        if self.template.gone.is_set():
            self.template = self._new_template()
        return self.template

    async def renew_template(self) -> None:
        """Fork from newly imported libraries from now on; the old template goes with its last child."""
        old, self.template = self.template, self._new_template()
        await self.template.ready.wait()
        old.retire()
        self._retired = [one for one in self._retired if not one.gone.is_set()] + [old]

    async def start(self, part: Part, command: Command) -> Process:
        """A new process of the part. StartError when there is none."""
        _cut_log(command.log)
        if part.module:
            return await self.living_template().fork(command, part.module, part.arguments, part.orders)
        return spawn(command)

    def program(self, name: str, arguments: list[str], env: Mapping[str, str]) -> Command:
        """A Python program that has an end, with a log of its own."""
        return Command(name, [sys.executable, *arguments], env, self.logs / f"{name}.log", cwd=ROOT)

    async def run(self, command: Command, module: str = "", on_line: Callable[[str], None] | None = None) -> None:
        """Run a program, or by the template a module's function, to its end; `on_line` gets each line of its log meanwhile.

        Raises:
            StartError: it failed; a cause found in its log. One that a signal ended is run again before.
        """
        for tries in range(_TRIES):
            start = logged(command)
            process = await self._to_its_end(command, module, on_line, start)
            if process.returncode == 0:
                return
            if (process.returncode or 0) > 0 or tries == _TRIES - 1 or self._stopped:
                raise failure(command, process.returncode, start)

    async def _to_its_end(
        self, command: Command, module: str, on_line: Callable[[str], None] | None, start: int
    ) -> Process:
        process: Process = await self.living_template().fork(command, module, ()) if module else spawn(command)
        self._programs.add(process)
        ending = asyncio.create_task(exited(process))
        try:
            if on_line is None:
                await ending
            else:
                lines = _Lines(command.log, start, on_line)
                while not ending.done():
                    await asyncio.wait({ending}, timeout=0.01)
                    lines.read()
        finally:
            ending.cancel()
            self._programs.discard(process)
            if process.poll() is None:  # no one waits for it any more
                process.kill()
        return process

    def stop_programs(self) -> None:
        """Kill the programs that run; none of them is run again."""
        self._stopped = True
        for process in self._programs:
            process.kill()

    def close(self) -> None:
        """End the templates, and with them whatever they have forked."""
        for template in [self.template, *self._retired]:
            template.close()


class _Lines:
    """Hands on the whole lines that a log gets."""

    def __init__(self, log: Path, start: int, on_line: Callable[[str], None]) -> None:
        self._log, self._at, self._on_line = log, start, on_line

    def read(self) -> None:
        if self._log.exists() and self._log.stat().st_size > self._at:
            with self._log.open("rb") as file:
                file.seek(self._at)
                *lines, rest = file.read().split(b"\n")
                self._at = file.tell() - len(rest)
            for line in lines:
                self._on_line(line.decode(errors="replace").strip())


def _cut_log(log: Path) -> None:
    """Keep one older log: a part that has run for weeks must not fill the disk."""
    if log.exists() and log.stat().st_size > _LOG_LIMIT:
        log.replace(log.with_suffix(".log.1"))
