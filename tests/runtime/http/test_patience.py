"""How long each client is waited for, on a loop whose time goes on by itself from one due moment to the next"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from runtime.http import patience
from runtime.http.patience import BODY_WITHIN, HEAD_WITHIN, IDLE, STALLED, Patience


class Timer:
    def __init__(self, due: float, look: Callable[[], None]) -> None:
        self.due, self.look, self.cancelled = due, look, False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """The time, and the timers that were set."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[Timer] = []

    def monotonic(self) -> float:
        return self.now

    def get_running_loop(self) -> Any:
        return self

    def call_later(self, delay: float, look: Callable[[], None]) -> Timer:
        self.timers.append(Timer(self.now + delay, look))
        return self.timers[-1]

    @property
    def due(self) -> list[Timer]:
        return [timer for timer in self.timers if not timer.cancelled]

    def pass_(self, seconds: float, late: float = 0.0) -> None:
        """Let so much time pass, with each timer `late` after it was due."""
        end = self.now + seconds
        while timers := [timer for timer in self.due if timer.due <= end]:
            timer = min(timers, key=lambda one: one.due)
            self.timers.remove(timer)
            self.now = max(self.now, timer.due + late)
            timer.look()
        self.now = max(self.now, end)


class Client:
    def __init__(self, loop: Loop) -> None:
        self.loop, self.begun = loop, loop.now
        self.left_after: float | None = None

    def give_up(self) -> None:
        assert self.left_after is None, "it is left once"
        self.left_after = self.loop.now - self.begun


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    made = Loop()
    monkeypatch.setattr(patience, "time", made)
    monkeypatch.setattr(patience, "asyncio", made)
    assert asyncio.get_running_loop is not made.get_running_loop
    return made


@pytest.mark.parametrize(
    ("begins", "seconds"),
    [(Patience.head, HEAD_WITHIN), (Patience.body, BODY_WITHIN), (Patience.idle, IDLE), (Patience.stalled, STALLED)],
)
def test_each_is_waited_for_as_long_as_is_said_and_then_left(
    loop: Loop, begins: Callable[[Patience, Client], None], seconds: float
) -> None:
    waits, client = Patience(), Client(loop)
    begins(waits, client)
    loop.pass_(seconds - 0.001)
    assert client.left_after is None
    loop.pass_(0.001)
    assert client.left_after == seconds
    assert loop.due == [], "who waits for no one has no timer"


@pytest.mark.parametrize(("begins", "seconds"), [(Patience.head, HEAD_WITHIN), (Patience.body, BODY_WITHIN)])
def test_a_piece_now_and_then_prolongs_nothing(
    loop: Loop, begins: Callable[[Patience, Client], None], seconds: float
) -> None:
    waits, client = Patience(), Client(loop)
    for _ in range(round(seconds)):
        begins(waits, client)
        loop.pass_(0.9)
    loop.pass_(seconds)
    assert client.left_after == seconds


def test_with_its_first_byte_an_idle_client_has_a_head_s_time_and_one_whose_time_ends_no_more_than_that(
    loop: Loop,
) -> None:
    waits, early, late = Patience(), Client(loop), Client(loop)
    for client in (early, late):
        waits.idle(client)
    loop.pass_(5)
    waits.head(early)
    loop.pass_(IDLE - 10)
    waits.head(late)
    loop.pass_(IDLE)
    assert (early.left_after, late.left_after) == (5 + HEAD_WITHIN, IDLE)


def test_between_two_requests_an_idle_client_has_its_time_anew(loop: Loop) -> None:
    waits, client = Patience(), Client(loop)
    for _ in range(3):
        waits.idle(client)
        loop.pass_(IDLE - 1)
    assert client.left_after is None
    loop.pass_(1)
    assert client.left_after == 3 * (IDLE - 1) + 1


@pytest.mark.parametrize(
    ("begins", "ends", "left"),
    [
        (Patience.head, Patience.met, False),
        (Patience.stalled, Patience.moving, False),
        (Patience.head, Patience.forget, False),
        (Patience.stalled, Patience.forget, False),
        # One is not the other.
        (Patience.stalled, Patience.met, True),
        (Patience.head, Patience.moving, True),
    ],
)
def test_what_has_come_is_waited_for_no_more(
    loop: Loop, begins: Callable[[Patience, Client], None], ends: Callable[[Patience, Client], None], left: bool
) -> None:
    waits, client = Patience(), Client(loop)
    ends(waits, client)  # also where there is nothing to end
    begins(waits, client)
    ends(waits, client)
    loop.pass_(100)
    assert (client.left_after is not None) is left
    assert loop.due == []


def test_one_timer_is_set_to_the_first_that_is_due_and_each_is_left_in_its_own_second(loop: Loop) -> None:
    waits, clients = Patience(), [Client(loop) for _ in range(4)]
    waits.idle(clients[0])
    waits.stalled(clients[1])
    waits.head(clients[2])
    assert [timer.due - loop.now for timer in loop.due] == [HEAD_WITHIN]
    loop.pass_(0.5)
    waits.head(clients[3])
    loop.pass_(IDLE)
    # Those of about the same moment together.
    assert [client.left_after for client in clients] == [IDLE, STALLED, HEAD_WITHIN, HEAD_WITHIN + 1.0]


@pytest.mark.parametrize(("late", "after"), [(0.25, HEAD_WITHIN + 0.25), (5.0, HEAD_WITHIN + 10.0)])
@pytest.mark.parametrize("begins", [Patience.head, Patience.stalled])
def test_time_in_which_the_process_stood_still_counts_against_no_client(
    loop: Loop, monkeypatch: pytest.MonkeyPatch, begins: Callable[[Patience, Client], None], late: float, after: float
) -> None:
    monkeypatch.setattr(patience, "STALLED", HEAD_WITHIN)
    waits, client = Patience(), Client(loop)
    begins(waits, client)
    loop.pass_(HEAD_WITHIN, late)
    assert (client.left_after is None) is (late > 0.25)
    loop.pass_(100)
    assert client.left_after is not None
    assert client.left_after <= after


def test_who_was_not_heard_has_a_second_at_least_to_be(loop: Loop) -> None:
    waits, client = Patience(), Client(loop)
    waits.head(client)
    loop.pass_(HEAD_WITHIN, 0.5)
    assert [timer.due - loop.now for timer in loop.due] == [1.0]
    loop.pass_(1.0)
    assert client.left_after == HEAD_WITHIN + 1.5
