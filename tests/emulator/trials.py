"""A launcher whose children are not processes: what each was asked to do, and how it ended."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from emulator.forks import Forked
from emulator.process import Command, StartError


class Trials:
    """Stands in for the launcher and its template.

    Attributes:
        asked: what was run, in turn: a function with its arguments, or a program's name with them.
        answers: the exit code of each, and the lines that it says; nothing and none unless told.
        files: what the template has imported.
    """

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.asked: list[str] = []
        self.answers: dict[str, tuple[int, Sequence[str]]] = {}
        self.files: set[str] = set()
        self.environments: list[dict[str, str]] = []
        self.renewed = 0

    def living_template(self) -> "Trials":
        return self

    async def renew_template(self) -> None:
        self.renewed += 1

    async def fork(self, command: Command, module: str, arguments: tuple[str, ...]) -> Forked:
        child, words = Forked(0, None), [module.rpartition(":")[2], *arguments]
        # As one that takes a moment.
        asyncio.get_running_loop().call_soon(lambda: child.end(self._answer(command, words)))
        return child

    def program(self, name: str, arguments: list[str], env: Any) -> Command:
        return Command(name, arguments, env, self.logs / f"{name}.log")

    async def run(self, command: Command, module: str = "", on_line: Callable[[str], None] | None = None) -> None:
        code = self._answer(command, [command.name, *command.argv], on_line or (lambda line: None))
        if code:
            raise StartError(f"{command.name} did not start (exit {code})")

    def _answer(self, command: Command, words: list[str], on_line: Callable[[str], None] = lambda line: None) -> int:
        self.asked.append(" ".join(words))
        self.environments.append(dict(command.env))
        code, lines = self.answers.get(self.asked[-1], (0, ()))
        command.log.parent.mkdir(exist_ok=True)
        with command.log.open("a") as log:
            log.writelines(f"{line}\n" for line in lines)
        for line in lines:
            on_line(line)
        return code
