"""A function's line against what it should be: a list in which whose turn it is gets looked up anew each time"""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from runtime.http import admission
from runtime.http.admission import Lane, Left, Place

PLACES, PEOPLE = 2, "abc"


class Waiting:
    """One who waits, the round of theirs, and the client, who may leave."""

    def __init__(self, lane: Lane, who: str, round_: int) -> None:
        self.who, self.round = who, round_
        self.left = asyncio.Event()
        self.turn = asyncio.ensure_future(lane.wait(who, self._gone))

    async def _gone(self) -> None:
        await self.left.wait()


class Line:
    """The line as the module's docstring has it: rounds, in each one of a person, in order of arrival."""

    def __init__(self) -> None:
        self.lane = Lane(PLACES)
        self.waiting: list[Waiting] = []
        self.served: list[Place] = []
        self.round = 0  # which is being served
        self.last: dict[str, int] = {}

    def comes(self, who: str) -> None:
        place = self.lane.take()
        assert (place is None) == (len(self.served) == PLACES), "who waits has the places that are free"
        if place is not None:
            self.served.append(place)
            return
        round_ = max(self.round, self.last.get(who, -1) + 1)
        self.last[who] = round_
        self.waiting.append(Waiting(self.lane, who, round_))

    async def goes(self, place: int) -> None:
        """Somebody is answered: the next is the first of the earliest round."""
        self.served.pop(place).leave()
        await settled()
        if self.waiting:
            next_ = min(self.waiting, key=lambda one: one.round)  # of equal ones the first
            self._leaves(next_)
            self.round = next_.round
            assert next_.turn.done(), f"not the turn of {next_.who} in round {next_.round}"
            self.served.append(next_.turn.result())

    async def gives_up(self, number: int, how: Callable[[Waiting], Any]) -> None:
        one = self.waiting[number]
        how(one)
        await settled()
        with pytest.raises((Left, asyncio.CancelledError)):
            one.turn.result()
        self._leaves(one)
        if one.who in self.last and self.last[one.who] == one.round:
            self.last[one.who] -= 1

    def _leaves(self, one: Waiting) -> None:
        self.waiting.remove(one)
        if not any(other.who == one.who for other in self.waiting):
            del self.last[one.who]


async def settled() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


@pytest.mark.parametrize("seed", range(6))
async def test_whoever_comes_goes_or_gives_up_the_next_is_who_should_be(seed: int) -> None:
    chance, line = random.Random(seed), Line()
    for _ in range(150):
        step = chance.random()
        if step < 0.55 or not line.served:
            line.comes(chance.choice(PEOPLE))
        elif step < 0.85 or not line.waiting:
            await line.goes(chance.randrange(len(line.served)))
        else:
            how = chance.choice([lambda one: one.left.set(), lambda one: one.turn.cancel()])
            await line.gives_up(chance.randrange(len(line.waiting)), how)
        await settled()
        assert line.lane.waiting == len(line.waiting)
        assert line.lane.taken == len(line.served)
        assert not any(one.turn.done() for one in line.waiting), "none but who should be"
    while line.served:
        await line.goes(0)
    assert (line.lane.taken, line.lane.waiting, line.waiting) == (0, 0, [])


async def test_a_line_holds_so_many_and_who_comes_then_is_told_when_to_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "MOST", 2)
    line = Line()
    for who in "ababa":
        if len(line.waiting) < 2:
            line.comes(who)
            await settled()
    with pytest.raises(admission.Overloaded):
        await line.lane.wait("c", asyncio.Event().wait)  # type: ignore[arg-type]  # what it returns is of no use
    while line.served:
        await line.goes(0)
