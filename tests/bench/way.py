"""The whole way under as much as it takes: photos and questions a second, from a person's request to the end of its event stream.

All parts, all stores and the people (this process) share the machine's processors. So each is told twice: as it was, which other
work of the machine and the people's own share make less, and by the processor time of all parts for one, which says what the
same parts would do on two processors of their own.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.bench import photographs
from tests.bench.costs import SMALL, THINGS, Scene
from tests.emulator.conftest import Emulator, make
from tests.load.users import Photos, Try, User, crowd, outcomes
from tests.support import Keys

# So many at once keep both workers busy, and stay far below what a service lets in.
PEOPLE = 24
SECONDS = 20.0
CORES = 2
PICTURES = 120
CHAT = "/api/v1/chat/conversations"


class Asker(User):
    """Asks one question after the other, each in a conversation of its own."""

    asked = 0

    async def once(self, one: Try) -> None:
        self.asked += 1
        conversation = (await self._ask(one, "POST", CHAT, json={})).json()["id"]
        content = {"content": f"{THINGS[self.asked % len(THINGS)]} {self.asked}개는 어떻게 버려요?"}
        path = f"{CHAT}/{conversation}/messages"
        reply = (await self._ask(one, "POST", path, json=content)).json()["reply"]["id"]
        while await self._follow(one, f"{path}/{reply}") is None:
            pass


def _measured(emulator: Emulator, kind: type[User]) -> tuple[float, float, float]:
    """Ends a second, and milliseconds of processor for one: of all parts, and of the people."""
    keys = Keys(emulator.folder / "keys" / "signing.json", emulator.folder / "keys" / "jwks.json")

    photos = Photos(pictures=photographs.pictures(PICTURES, SMALL))

    def live(people: int, seconds: float) -> tuple[list[Try], float]:
        begun = time.monotonic()
        clock: Callable[[], float] = lambda: time.monotonic() - begun  # noqa: E731 - a parameter of one line
        tries = asyncio.run(crowd(emulator.url, people, keys, seconds, clock, kind, photos))
        return tries, clock()

    live(2, 2.0)  # the first of each loads what it needs
    scene, me = Scene(emulator), psutil.Process()
    parts, people = sum(scene.spent().values()), sum(me.cpu_times()[:2])
    tries, seconds = live(PEOPLE, SECONDS)
    ended = outcomes(tries)
    if set(ended) != {"success"}:
        raise RuntimeError(f"not all of them came to a good end: {dict(ended)}")
    parts, people = sum(scene.spent().values()) - parts, (sum(me.cpu_times()[:2]) - people) * 1000
    return len(tries) / seconds, parts / len(tries), people / len(tries)


def run() -> list[dict[str, Any]]:
    emulator = make(Path("build/no-model"))
    rows: list[dict[str, Any]] = []
    try:
        emulator.up()
        for what, kind, budget in (("photos", User, 30), ("answers", Asker, 80)):
            rate, parts, people = _measured(emulator, kind)
            note = (
                f"{PEOPLE} people at once, who took {people:.0f} ms of processor for each beside the parts' {parts:.0f}"
            )
            note += f"; {photographs.KIND}" if kind is User else ""
            rows.append(
                {"name": f"{what} a second, the whole way", "ours": round(rate, 1), "unit": "1/s", "note": note}
                | {"budget": f"≥ {budget}"}
            )
            rows.append(
                {
                    "name": f"{what} a second by the processor time of all parts, on {CORES} cores",
                    "ours": round(CORES * 1000 / parts, 1),
                    "unit": "1/s",
                    "budget": f"≥ {budget}",
                }
            )
    finally:
        emulator.destroy()
    return rows
