"""Saving a file restarts the services whose import closure holds it, and no others; an error in it keeps the old code serving."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.process import Command, StartError, libc
from emulator.state.folder import State
from runtime.services import ROOT, Service

if TYPE_CHECKING:
    from emulator.supervisor import Running, Supervisor

WATCHED = ("functions", "shared", "runtime")
_ENDINGS = (".py", ".toml", ".json", ".csv", ".txt", ".sql")
_EVERY = 0.2
# IN_MODIFY, IN_CLOSE_WRITE, IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE
_CHANGES = 0x2 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200
_SETTLE = 0.03  # an editor writes in steps


class Reloader:
    """Watches the checkout's own files for one supervisor."""

    def __init__(self, supervisor: "Supervisor") -> None:
        self.supervisor = supervisor
        self.seen: dict[str, tuple[int, int]] = {}
        # Service folder to the files of its closure, as computed by the last `reach`.
        self.closures: dict[str, set[str]] = {}
        # What is wrong with a file that was saved, until it is saved without.
        self.errors: dict[str, str] = {}
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
            changed = self._changed()
            if changed:
                await asyncio.sleep(_SETTLE)
                changed |= self._changed()
                watch.follow(ROOT)
                try:
                    await self._reload(changed)
                except StartError as error:
                    self.supervisor.say(f"reload: {error}")

    def _changed(self) -> set[str]:
        now = scan(ROOT)
        changed = {file for file in now.keys() | self.seen.keys() if now.get(file) != self.seen.get(file)}
        self.seen = now
        return changed

    async def _reach(self) -> None:
        """Compute the closures, in a process of its own: it parses every file."""
        code, _ = await self._ask("reach", [], self.supervisor.system.base_environment())
        found = self.supervisor.state.read_json("closures.json", dict[str, list[str]]) if code == 0 else None
        if found is not None:
            self.closures = {folder: set(files) for folder, files in found.items()}

    async def _reload(self, changed: set[str]) -> None:
        broken = {file: error for file in changed if (error := syntax_error(ROOT / file))}
        self.errors = {file: error for file, error in self.errors.items() if file not in changed} | broken
        affected = self._affected(changed)
        if broken:
            for error in broken.values():
                self.supervisor.say(f"not reloaded: {error}; the old code goes on")
            self._tell(affected, "; ".join(broken.values()))
            return
        if not affected and not any(map(_is_migration, changed)):
            return
        template = self.supervisor.template
        if any(str(ROOT / file) in template.files for file in changed):
            # What the template has imported itself is new only in a new one.
            await self.supervisor.renew_template()
        say = self.supervisor.say
        # Tables come before the code that asks for them.
        await self._migrate(changed)
        affected = sorted({*affected, *self.unmigrated})
        failed = await asyncio.gather(*(self._check(folder) for folder in affected))
        good = [folder for folder, error in zip(affected, failed, strict=True) if not error]
        for folder, error in zip(affected, failed, strict=True):
            self._tell([folder], error or self.edited.get(folder, ""))
            if error:
                say(f"not reloaded: {folder}: {error}; the old code goes on")
        parts = [r for r in self.supervisor.running.values() if r.part.folder in good]
        await asyncio.gather(*(self._swap(running) for running in parts))
        if parts:
            names = ", ".join(running.part.name for running in parts)
            say(f"reloaded {names} ({', '.join(sorted(changed)[:3])}{' …' if len(changed) > 3 else ''})")
        if any(not file.startswith("functions/") or file not in self._known() for file in changed):
            await self._reach()

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
                found |= set(self.supervisor.system.services)
        return sorted(found & set(self.supervisor.system.services))

    async def _migrate(self, changed: set[str]) -> None:
        """Apply the migrations there are, if one was saved or did not go in before."""
        saved = {file for file in changed if _is_migration(file)}
        if not saved and not self.unmigrated:
            return
        code, said = await self._ask("migrate", [], self.supervisor.system.owner_environment())
        applied = [line.removeprefix("applied ") for line in said if line.startswith("applied ")]
        if applied:
            self.supervisor.say(f"migrated {', '.join(applied)}")
        self.edited = {}
        for line in [line.removeprefix("edited ") for line in said if line.startswith("edited ")]:
            self.supervisor.say(line)
            self.edited |= dict.fromkeys(self._meant(line), line)
        error = said[-1] if code and said else f"the migrations ended with code {code}" if code else ""
        # One that failed stands before those of others that were saved with it.
        others = {file.split("/")[1] for file in saved} & set(self.supervisor.system.services)
        self.unmigrated = dict.fromkeys({*self._meant(error), *others}, error) if error else {}

    def _meant(self, line: str) -> list[str]:
        """The folders of the services that a line about a migration (`waste.0003_x: …`) concerns: all where it names none."""
        services = self.supervisor.system.services
        schema = line.partition(".")[0]
        return [folder for folder, s in services.items() if s.database.schema == schema] or sorted(services)

    async def _check(self, folder: str) -> str:
        """Load the service in a child that then ends; the error's line, or nothing."""
        if folder in self.unmigrated:
            return self.unmigrated[folder]
        code, said = await self._ask("check", [folder], self.supervisor.system.environment(self._service(folder)))
        return "" if code == 0 else said[-1] if said else f"it ended with code {code}"

    async def _ask(self, function: str, arguments: list[str], environment: Mapping[str, str]) -> tuple[int, list[str]]:
        """The exit code and the lines of a function of this module, run in a child."""
        log = self.supervisor.state.path / "logs" / f"reload.{'-'.join([function, *arguments])}"
        log.unlink(missing_ok=True)
        command = Command("reload", [], environment, log, cwd=ROOT)
        run = f"emulator.reload:{function}"
        child = await self.supervisor.template.fork(command, run, tuple(arguments), orders=False)
        await child.ended.wait()
        return child.returncode or 0, log.read_text(errors="replace").strip().splitlines()

    def _service(self, folder: str) -> Service:
        return self.supervisor.system.services[folder]

    async def _swap(self, running: "Running") -> None:
        await self.supervisor.replace(running, overlapping=running.part.kind == "service")

    def _tell(self, folders: Iterable[str], error: str) -> None:
        for folder in folders:
            name = self._service(folder).name
            self.supervisor.reload_errors.pop(name, None)
            if error:
                self.supervisor.reload_errors[name] = error
        self.supervisor.order_gateway()


class Watch:
    """Says when something in the watched folders is touched: by inotify, so that an idle emulator does not look all the time;
    five times a second where there is none."""

    def __init__(self) -> None:
        self.file = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC) if libc is not None else -1
        self.event = asyncio.Event()
        if self.file >= 0:
            asyncio.get_running_loop().add_reader(self.file, self._heard)

    def follow(self, root: Path) -> None:
        """Watch every folder that is there now; one that is watched already stays so."""
        if self.file >= 0:
            for name in WATCHED:
                for folder, inner, _ in os.walk(root / name):
                    inner[:] = [each for each in inner if not each.startswith((".", "__pycache__"))]
                    libc.inotify_add_watch(self.file, os.fsencode(folder), _CHANGES)  # type: ignore[union-attr]

    def _heard(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.file, 65536)
        self.event.set()

    async def touched(self) -> None:
        if self.file < 0:
            await asyncio.sleep(_EVERY)
            return
        await self.event.wait()
        self.event.clear()

    def close(self) -> None:
        if self.file >= 0:
            asyncio.get_running_loop().remove_reader(self.file)
            os.close(self.file)


def scan(root: Path) -> dict[str, tuple[int, int]]:
    """Every watched file with its time and size, by path below the root."""
    found: dict[str, tuple[int, int]] = {}
    folders = [root / name for name in WATCHED]
    while folders:
        folder = folders.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue
        for entry in entries:
            if entry.name.startswith((".", "__pycache__")):
                continue
            try:
                if entry.is_dir():
                    folders.append(Path(entry.path))
                elif entry.name.endswith(_ENDINGS):
                    status = entry.stat()
                    found[os.path.relpath(entry.path, root)] = (status.st_mtime_ns, status.st_size)
            except OSError:  # gone meanwhile
                continue
    return found


def _is_migration(file: str) -> bool:
    return file.endswith(".sql") and "/migrations/" in file


def syntax_error(file: Path) -> str:
    """`path, line N: message` for a Python file that does not parse, else nothing."""
    if file.suffix != ".py" or not file.exists():
        return ""
    try:
        compile(file.read_bytes(), str(file), "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 0
        return f"{os.path.relpath(file, ROOT)}, line {line}: {getattr(error, 'msg', error)}"
    return ""


# Run in children of the template


def check(arguments: list[str]) -> int:
    """Load everything of a service as its process would; the last line of the log is the reason when it cannot be."""
    from runtime.loader import LoadError, discover, load_http, load_queue_functions
    from runtime.services import find

    service = find(arguments[0])
    try:
        if not service.is_worker:
            from runtime.http.host import build

            build([service.folder], os.environ, background=False)
            load_http(service)
        if any(function.trigger == "queue" for function in discover(service)):
            from dramatiq.brokers.stub import StubBroker

            load_queue_functions(service, StubBroker())
    except LoadError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def reach() -> int:
    """Write the files of each service's closure to the state folder."""
    from runtime.closure import Checkout, ClosureError

    checkout = Checkout()
    found = {}
    for folder, service in checkout.services.items():
        try:
            found[folder] = sorted({file for closure in checkout.functions(service) for file in closure.files()})
        except ClosureError as error:
            print(f"closure of {folder}: {error}", file=sys.stderr)
    State(Path(os.environ["ECO2_STATE"])).write_json("closures.json", found, durable=False)
    return 0


def migrate() -> int:
    """Apply what is not applied: a line `applied NAME` each, then `edited …` for what was written into a file too late; the
    last line of a failure is its reason."""
    import psycopg

    from runtime.migrate import EDITED, MigrationError, apply, edited

    # Somebody's console may hold a lock on the table: that is said, not waited for without end.
    os.environ["PGOPTIONS"] = "-c lock_timeout=5s"
    dsn = os.environ["MIGRATION_DB_URL"]
    try:
        for name in apply(dsn):
            print("applied", name)
        for name in edited(dsn):
            print("edited", EDITED.format(name))
    except (MigrationError, psycopg.Error) as error:
        print(" ".join(str(error).split()))
        return 1
    return 0
