"""People in turn: everybody's first, then everybody's second, so that one's many do not make another's one wait."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

T = TypeVar("T")


def in_turn(waiting: Iterable[T], person: Callable[[T], Hashable]) -> list[T]:
    """The same in the order in which they are served; each person's own stay in theirs."""
    counts: Counter[Hashable] = Counter()
    ranked = []
    for one in waiting:
        whose = person(one)
        counts[whose] += 1
        ranked.append((counts[whose], one))
    if len(counts) > 1:
        ranked.sort(key=lambda pair: pair[0])
    return [one for _, one in ranked]
