"""What must be there before parts start: keys, roles and migrations, the classifier's model; and sample data after."""

import asyncio
from collections.abc import Callable

from emulator.launcher import Launcher
from emulator.process import StartError, known_cause
from emulator.system import System

# The service's folder, and the command function with its arguments.
SAMPLES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("recycle_info", "items", ()),
    ("location", "centers", ("--sample",)),
)


class Setup:
    """The set-up of one emulator.

    Attributes:
        steps: `keys`, `migrations` and `model`, each set when it is done.
    """

    def __init__(self, system: System, launcher: Launcher, say: Callable[[str], None]) -> None:
        self.steps = {name: asyncio.Event() for name in ("keys", "migrations", "model")}
        self._troubles: list[str] = []
        self._system = system
        self._launcher = launcher
        self._say = say

    async def run(self) -> None:
        """All of it. StartError when the databases can't be prepared."""
        await asyncio.gather(self.prepare(), self.build_model(), self._import_samples())

    async def prepare(self) -> None:
        """Make keys, roles and passwords, and bring every schema up to date. StartError, in the server's own words."""
        env = self._system.environments.owner() | {"SUPERUSER_DSN": self._system.superuser_dsn}
        log = self._system.log("postgres")
        start = log.stat().st_size if log.exists() else 0
        try:
            await self._launcher.run(self._launcher.program("prepare", [], env), "emulator.prepare:main", self._heard)
        except StartError:
            if known := known_cause("postgres", log, start):
                raise known from None
            raise

    def _heard(self, line: str) -> None:
        if line.startswith("! "):
            self.trouble(line[2:])
        elif line in self.steps:
            self.steps[line].set()

    async def build_model(self) -> None:
        """Build the classifier's files where they are not those of this code; without them worker-ai says what is missing."""
        arguments = ["-m", "functions.ai.model_build", str(self._system.state.path / "model")]
        try:
            await self._launcher.run(self._launcher.program("model", arguments, self._system.environments.base()))
        except StartError as error:
            self.trouble(f"the classifier's model was not built: {error}")
        self.steps["model"].set()

    async def _import_samples(self) -> None:
        """Import the samples once into a new database; what could not be is said and tried at the next start."""
        state = self._system.state
        done = state.read_json("samples.json", dict[str, bool]) or {}
        await self.steps["migrations"].wait()
        for folder, name, arguments in SAMPLES:
            service = self._system.services.get(folder)
            if service is None or done.get(name):
                continue
            env = self._system.environments.service(service)
            command = self._launcher.program("samples", ["-m", "runtime.cli", "import", name, *arguments], env)
            try:
                await self._launcher.run(command)
            except StartError as error:
                self.trouble(f"no sample data for {name}: {error}")
                continue
            done[name] = True
            state.write_json("samples.json", done)

    @property
    def troubles(self) -> list[str]:
        """What could not be done, a line each, for `status`."""
        return [*self._troubles, *(f"left out: {error}" for error in self._system.left_out.values())]

    def trouble(self, line: str) -> None:
        if line not in self._troubles:
            self._troubles.append(line)
        self._say(line)
