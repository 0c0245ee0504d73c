"""How many requests a function answers at once, who waits for that, in which order, and who is asked to come again.

Each function has its own places, so that a store which is slow for one leaves the others alone; a place is taken for the time
until the answer begins (an event stream goes on without one). Who finds none waits in the function's line: in rounds, one
request of each person a round, in order of arrival, so that no one's thousand requests stand before another's first. Who would
wait longer than a client does is told at once when to come again, and those that are told so, one after another.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable

from shared.errors import Problem, Unavailable

# Seconds until an answer: of the ten that a client waits, because what is reckoned is a mean.
PATIENCE = 8.0
# A wait that took so many seconds longer than it should was a freeze: a laptop that slept, a container that was paused.
FREEZE = 1.0
# However quick the answers: so many wait at the most, with what they sent in memory.
MOST = 1000
# No one is told to come again later than this, in seconds.
LATEST = 120.0
# What one more answer weighs in the mean of their times.
_WEIGHT = 0.1

Line = OrderedDict["asyncio.Future[None]", Hashable]


class Overloaded(Unavailable):
    """More people ask for this at the moment than can be answered: come again after the seconds of Retry-After."""

    type = "urn:eco2:overloaded"

    def __init__(self, retry_after: float) -> None:
        super().__init__(retry_after=math.ceil(retry_after))


class Left(Problem):
    """The client has left before its turn came, or its body."""

    status = 408
    type = "urn:eco2:request-timeout"


class Place:
    """What a request is answered in."""

    __slots__ = ("_lane", "_since")

    def __init__(self, lane: Lane) -> None:
        self._lane: Lane | None = lane
        self._since = time.monotonic()

    def leave(self) -> None:
        """Give it to the next; once is enough."""
        lane, self._lane = self._lane, None
        if lane is not None:
            lane.left(time.monotonic() - self._since)


class Lane:
    """A function's places and its line. Used from one event loop only."""

    def __init__(self, places: int, away: Callable[[], bool] = bool) -> None:
        """`away` says whether what those in the places wait for does not answer at all: then no one waits in line for it."""
        self.places = places
        self.taken = 0
        self.waiting = 0
        self._away = away
        self._seconds = 0.0  # that a place is taken for, in the mean
        # The line: rounds[0] is the one that is being served, and has the number `_first`.
        self._rounds: deque[Line] = deque()
        self._first = 0
        # Of each person who waits: the number of their last round, and how many of theirs wait.
        self._last: dict[Hashable, tuple[int, int]] = {}
        self._promised = 0.0  # the moment that the last one who was refused was told

    def take(self) -> Place | None:
        """A place that is free and that no one waits for."""
        if self.taken >= self.places or self.waiting:
            return None
        self.taken += 1
        return Place(self)

    async def wait(self, who: Hashable, gone: Callable[[], Awaitable[None]]) -> Place:
        """A place when it is this request's turn; `who` is whose it is, `gone` returns when the client has left.

        Raises:
            Overloaded: its turn would come too late, or does.
            Unavailable: what those before it wait for is away.
            Left: the client has.
        """
        if self._away():
            raise Unavailable("database")
        last, theirs = self._last.get(who, (-1, 0))
        number = max(self._first, last + 1)
        before = sum(len(line) for line in list(self._rounds)[: number - self._first + 1])
        late = (before + 1) * self._seconds / self.places + self._seconds - PATIENCE
        if late > 0 or self.waiting >= MOST:
            raise Overloaded(self._promise(late))
        while len(self._rounds) <= number - self._first:
            self._rounds.append(OrderedDict())
        turn = asyncio.get_running_loop().create_future()
        self._rounds[number - self._first][turn] = who
        self._last[who] = (number, theirs + 1)
        self.waiting += 1
        leaving = asyncio.ensure_future(gone())
        try:
            since, patience = time.monotonic(), max(1.0, PATIENCE - self._seconds)
            await asyncio.wait((turn, leaving), timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if not (turn.done() or leaving.done()) and time.monotonic() - since > patience + FREEZE:
                # This process stood still, and no one's turn could come: that is not the time that a client gives it.
                await asyncio.wait((turn, leaving), timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if not turn.done():
                raise Left if leaving.done() else Overloaded(self._promise(self._seconds))
        except BaseException:
            self._give_up(turn, number)
            raise
        finally:
            leaving.cancel()
        turn.result()
        return Place(self)

    def left(self, seconds: float) -> None:
        """A place is free again after so many seconds; the next have it."""
        self._seconds = self._seconds + (seconds - self._seconds) * _WEIGHT if self._seconds else seconds
        self.taken -= 1
        if self.waiting and self._away():
            while self.waiting:
                self._next().set_exception(Unavailable("database"))
        while self.waiting and self.taken < self.places:
            self.taken += 1
            self._next().set_result(None)

    def _promise(self, late: float) -> float:
        """The seconds after which one who is refused should come again: each a little after the one before."""
        now = time.monotonic()
        self._promised = min(max(now + late, self._promised + self._seconds / self.places), now + LATEST)
        return self._promised - now

    def _next(self) -> asyncio.Future[None]:
        while not self._rounds[0]:
            self._rounds.popleft()
            self._first += 1
        turn, who = self._rounds[0].popitem(last=False)
        self._count_out(who)
        return turn

    def _give_up(self, turn: asyncio.Future[None], number: int) -> None:
        if turn.done():  # its turn came in the same moment: the place goes on
            if not turn.cancelled() and turn.exception() is None:
                self.left(0.0)
            return
        who = self._rounds[number - self._first].pop(turn)
        self._count_out(who, number)

    def _count_out(self, who: Hashable, number: int = -1) -> None:
        """One of a person's waits no more; where it gave up a place in their last round, that is free for their next."""
        self.waiting -= 1
        last, theirs = self._last[who]
        if theirs == 1:
            del self._last[who]
        else:
            self._last[who] = (last - (last == number), theirs - 1)
