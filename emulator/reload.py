"""Saving a file restarts the services whose import closure holds it, and no others; an error in it keeps the old code serving."""

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Set
from pathlib import Path

from emulator.fleet import Fleet
from emulator.launcher import Launcher
from emulator.newcomers import Newcomers
from emulator.process import Command, StartError
from emulator.setup import Setup
from emulator.system import System
from emulator.watch import Watch, scan
from runtime.services import ROOT

_SETTLE = 0.03  # an editor writes in steps
# Says which revision of the classifier's files its code reads: with another one the new worker would do no photo.
_MODEL = "functions/ai/variants.py"


class Reloader:
    """Watches the checkout's own files for one emulator."""

    def __init__(
        self,
        system: System,
        fleet: Fleet,
        launcher: Launcher,
        setup: Setup,
        newcomers: Newcomers,
        say: Callable[[str], None],
    ) -> None:
        self.system = system
        self.fleet = fleet
        self.launcher = launcher
        self.setup = setup
        self.newcomers = newcomers
        self.say = say
        self.seen: dict[str, tuple[int, int]] = {}
        # Service folder to the files of its closure, as computed by the last `reach`.
        self.closures: dict[str, set[str]] = {}
        # What was saved and is not taken over yet: whatever comes between, it is tried again with what is saved next.
        self.pending: set[str] = set()
        # What is wrong with a file that was saved, until it is saved without.
        self.errors: dict[str, str] = {}
        # By folder of service: why its newest code does not run.
        self.waiting: dict[str, str] = {}
        # By folder of service: why its migrations did not go in, so that its new code waits; what was written too late.
        self.unmigrated: dict[str, str] = {}
        self.edited: dict[str, str] = {}

    async def run(self) -> None:
        """Watch until cancelled."""
        watch = Watch()
        try:
            watch.follow(ROOT)
            self.seen = scan(ROOT)
            await self._reach()
            await self._go_on(watch)
        finally:
            watch.close()

    async def _go_on(self, watch: "Watch") -> None:
        while True:
            await watch.touched()
            watch.follow(ROOT)
            changed = self._changed()
            if changed:
                await asyncio.sleep(_SETTLE)
                watch.follow(ROOT)
                self.pending |= changed | self._changed()
                try:
                    self.pending = set(await self._reload(self.pending))
                except StartError as error:
                    self.say(f"reload: {error}")

    def _changed(self) -> set[str]:
        now = scan(ROOT)
        changed = {file for file in now.keys() | self.seen.keys() if now.get(file) != self.seen.get(file)}
        self.seen = now
        return changed

    async def _reach(self) -> None:
        """Compute the closures, in a process of its own: it parses every file."""
        code, _ = await self._ask("reach", [], self.system.environments.base())
        found = self.system.state.read_json("closures.json", dict[str, list[str]]) if code == 0 else None
        if found is not None:
            self.closures = {folder: set(files) for folder, files in found.items()}

    async def _reload(self, changed: Set[str]) -> Set[str]:
        """Take over what was saved; return the files that wait for another one to be mended."""
        self._read(changed)
        if self.newcomers.behind or any(file.endswith("/service.toml") for file in changed):
            new = await self.newcomers.follow()
            changed = {file for file in changed if file.split("/")[1] not in new}
            await self._reach()
        # What the template has imported itself is new only in a new one, and one with an error would be none.
        files = self.launcher.living_template().files
        held = {file for file in changed if str(ROOT / file) in files}
        if not any(str(ROOT / file) in files for file in self.errors):
            if held:
                await self.launcher.renew_template()
            held = set()
        changed = changed - (held - self.errors.keys())
        # Tables come before the code that asks for them.
        await self._migrate(changed)
        if _MODEL in changed:
            await self.setup.build_model()
        affected = sorted({*self._affected(changed), *self.unmigrated, *self.waiting} & self.system.services.keys())
        failed = await asyncio.gather(*(self._check(folder) for folder in affected))
        self._tell(dict(zip(affected, failed, strict=True)))
        good = [folder for folder, error in zip(affected, failed, strict=True) if not error]
        parts = [keeper for folder in good for keeper in self.fleet.of_service(folder)]
        await asyncio.gather(*(keeper.renew(overlapping=keeper.part.kind == "service") for keeper in parts))
        if parts:
            names = ", ".join(keeper.part.name for keeper in parts)
            self.say(f"reloaded {names} ({', '.join(sorted(changed)[:3])}{' …' if len(changed) > 3 else ''})")
        if any(not file.startswith("functions/") or file not in self._known() for file in changed):
            await self._reach()
        return held

    def _read(self, changed: Set[str]) -> None:
        """Look for errors that a file has by itself, and say each once."""
        broken = {file: error for file in changed if (error := syntax_error(ROOT / file))}
        for file, error in broken.items():
            if self.errors.get(file) != error:
                self.say(f"not reloaded: {error}; the old code goes on")
        self.errors = {file: error for file, error in self.errors.items() if file not in changed} | broken

    def _known(self) -> set[str]:
        return set().union(*self.closures.values()) if self.closures else set()

    def _affected(self, changed: Iterable[str]) -> list[str]:
        """The folders of the services whose closure holds a changed file. Without closures yet, a shared file is everybody's."""
        found = set()
        for file in changed:
            first, _, rest = file.partition("/")
            if first == "functions":
                found.add(rest.partition("/")[0])
            for folder, files in self.closures.items():
                if file in files:
                    found.add(folder)
            if not self.closures and first != "functions":
                found |= set(self.system.services)
        return sorted(found & set(self.system.services))

    async def _migrate(self, changed: Set[str]) -> None:
        """Apply the migrations there are, if one was saved or did not go in before."""
        saved = {file for file in changed if _is_migration(file)}
        if not saved and not self.unmigrated:
            return
        code, said = await self._ask("migrate", [], self.system.environments.owner())
        applied = [line.removeprefix("applied ") for line in said if line.startswith("applied ")]
        if applied:
            self.say(f"migrated {', '.join(applied)}")
        self.edited = {}
        for line in [line.removeprefix("edited ") for line in said if line.startswith("edited ")]:
            self.say(line)
            self.edited |= dict.fromkeys(self._meant(line), line)
        error = said[-1] if code and said else f"the migrations ended with code {code}" if code else ""
        # One that failed comes before those of others that were saved with it.
        others = {file.split("/")[1] for file in saved} & set(self.system.services)
        self.unmigrated = dict.fromkeys({*self._meant(error), *others}, error) if error else {}

    def _meant(self, line: str) -> list[str]:
        """The folders of the services that a line about a migration (`waste.0003_x: …`) concerns: all where it names none."""
        services = self.system.services
        schema = line.partition(".")[0]
        return [folder for folder, s in services.items() if s.database.schema == schema] or sorted(services)

    def _broken(self, folder: str) -> list[str]:
        """The errors of files that the service holds; `_read` has said each."""
        return [error for file, error in self.errors.items() if folder in self._affected([file])]

    async def _check(self, folder: str) -> str:
        """Load the service in a child that then ends; the error's line, or nothing."""
        if broken := self._broken(folder):
            return "; ".join(broken)
        if folder in self.unmigrated:
            return self.unmigrated[folder]
        code, said = await self._ask("check", [folder], self.system.environments.service(self.system.services[folder]))
        return "" if code == 0 else said[-1] if said else f"it ended with code {code}"

    async def _ask(self, function: str, arguments: list[str], environment: Mapping[str, str]) -> tuple[int, list[str]]:
        """The exit code and the lines of a function of this module, run in a child."""
        log = self.system.state.path / "logs" / f"reload.{'-'.join([function, *arguments])}"
        log.unlink(missing_ok=True)
        command = Command("reload", [], environment, log, cwd=ROOT)
        child = await self.launcher.living_template().fork(command, f"emulator.trials:{function}", tuple(arguments))
        await child.ended.wait()
        return child.returncode or 0, log.read_text(errors="replace").strip().splitlines()

    def _tell(self, errors: Mapping[str, str]) -> None:
        """Say why the newest code of a service does not run, once, and keep it for `status` and its answers."""
        for folder, error in errors.items():
            if error and error != self.waiting.get(folder) and not self._broken(folder):
                self.say(f"not reloaded: {folder}: {error}; the old code goes on")
            for keeper in self.fleet.of_service(folder):
                keeper.stale = error or self.edited.get(folder, "")
        self.waiting = {folder: error for folder, error in {**self.waiting, **errors}.items() if error}
        self.fleet.touch()


def _is_migration(file: str) -> bool:
    return file.endswith(".sql") and "/migrations/" in file


def syntax_error(file: Path) -> str:
    """`path, line N: message` for a Python file that does not parse, else nothing."""
    if file.suffix != ".py" or not file.exists():
        return ""
    try:
        compile(file.read_bytes(), str(file), "exec")
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 0
        return f"{os.path.relpath(file, ROOT)}, line {line}: {getattr(error, 'msg', error)}"
    return ""
