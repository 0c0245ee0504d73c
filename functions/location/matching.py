"""Which center of the database a row of a list is about.

The list gives its rows a running number, and no identity: the next edition, with a row more in the middle, gives every
later row another number. A number alone therefore proves nothing, and neither does a name alone (every town has a
중앙공원). Three facts are looked at: the number, the name and the place (address or point); **two that agree are the same
center**, so that a corrected address, a new name or a new numbering each leave it its id. The surest pairs are made first,
each center and each row are used once, and a number and a name count together only within one region, for two towns may
send lists of their own that both begin with 1.
"""

import re
import unicodedata
from collections.abc import Callable, Hashable, Iterable, Sequence

from functions.location.db import CenterRow

Key = Callable[[CenterRow], Hashable | None]


def _plain(text: str) -> str:
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", text).lower())


def _name(row: CenterRow) -> Hashable:
    # ① and ② are told apart by NFKC too: they become 1 and 2.
    return _plain(row.name)


def _address(row: CenterRow) -> Hashable:
    return re.sub(r"\s", "", row.address.lower())


def _point(row: CenterRow) -> Hashable | None:
    return None if row.latitude is None else (row.latitude, row.longitude)


def _together(*keys: Key) -> Key:
    """All of these, or None where one of them is missing."""

    def key(row: CenterRow) -> Hashable | None:
        values = tuple(each(row) for each in keys)
        return None if None in values else values

    return key


def _serial(row: CenterRow) -> Hashable | None:
    return row.source_serial


def _region(row: CenterRow) -> Hashable | None:
    return row.source_region


# From the surest to the least sure.
SAME: tuple[Key, ...] = (
    _together(_serial, _name, _address, _point),
    _together(_name, _address, _point),
    _together(_serial, _name, _address),
    _together(_name, _address),
    _together(_name, _point),
    _together(_serial, _name, _region),
    _together(_serial, _address),
    _together(_serial, _point),
)


def pair(rows: Sequence[CenterRow], known: Iterable[CenterRow]) -> list[CenterRow | None]:
    """For each row the center it is about, or None for a new one."""
    left = list(known)
    found: list[CenterRow | None] = [None] * len(rows)
    for key in SAME:
        if not left:
            break
        by_key: dict[Hashable, list[CenterRow]] = {}
        for center in reversed(left):
            if (value := key(center)) is not None:
                by_key.setdefault(value, []).append(center)
        taken = set()
        for index, row in enumerate(rows):
            if found[index] is None and (candidates := by_key.get(key(row) or ())):
                center = candidates.pop()
                found[index] = center
                taken.add(center.id)
        left = [center for center in left if center.id not in taken]
    return found


def repeats(rows: Sequence[CenterRow]) -> dict[int, int]:
    """Rows that tell of a center a second time: index to the index of the first.

    The same name at the same address, unless both have points and these differ: two machines on one site.
    """
    first: dict[Hashable, list[int]] = {}
    repeated: dict[int, int] = {}
    for index, row in enumerate(rows):
        earlier = first.setdefault((_name(row), _address(row)), [])
        for other in earlier:
            if _point(row) is None or _point(rows[other]) is None or _point(row) == _point(rows[other]):
                repeated[index] = other
                break
        else:
            earlier.append(index)
    return repeated
