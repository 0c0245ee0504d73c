"""Keyset pages."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from shared.errors import BadInput
from shared.pages import Paging

KEY = tuple[datetime, UUID]


def test_a_page_goes_on_after_the_last_row() -> None:
    rows = [(datetime(2026, 1, day, tzinfo=UTC), uuid4()) for day in range(1, 4)]
    page = Paging(limit=2).of(rows, key=lambda row: row)
    assert page.items == rows[:2]
    assert Paging(limit=2, cursor=page.next_cursor).after(KEY) == rows[1]


def test_the_last_page_says_so() -> None:
    assert Paging(limit=2).of([1, 2], key=lambda row: row).next_cursor is None
    assert Paging().after(KEY) is None


@pytest.mark.parametrize("cursor", ["", "x", "한글", "eyJ4IjoxfQ", "a" * 5000, "\x00", "W10", "bnVsbA"])
def test_a_cursor_of_somebodys_own_making_is_bad_input(cursor: str) -> None:
    with pytest.raises(BadInput) as raised:
        Paging(cursor=cursor).after(KEY)
    assert raised.value.errors[0].field == "cursor"


def test_a_cursor_has_one_spelling() -> None:
    cursor = Paging(limit=1).of(["a", "b"], lambda row: (datetime(2026, 1, 2, tzinfo=UTC), UUID(int=1))).next_cursor
    assert cursor is not None
    assert Paging(cursor=cursor).after(KEY) is not None
    for other in (cursor + "=", cursor + "\n", cursor[:5] + "!" + cursor[5:], cursor + "$$$"):
        with pytest.raises(BadInput):
            Paging(cursor=other).after(KEY)
