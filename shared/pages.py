"""Keyset paging: a page goes on after the last row of the one before, however many rows came in between."""

import base64
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from shared.errors import BadInput

# One row of a person's is asked for by its key, and then whether it is theirs by IS NOT DISTINCT FROM, which no index answers:
# with `=` the planner would as soon go through all that the person has, taking it for a few rows.

T = TypeVar("T")
K = TypeVar("K")

CURSOR = "^[A-Za-z0-9_-]+$"
Cursor = Annotated[str, Meta(pattern=CURSOR, max_length=1000, examples=["WyIyMDI2LTAxLTAyVDAzOjA0OjA1WiIsIjAxOWEiXQ"])]


def row_behind(after: tuple[datetime, UUID] | None) -> tuple[datetime | str, UUID]:
    """For `(created_at, id) < (%s::timestamp, %s)`, newest first: the row that a page goes on behind.

    The first page goes on behind a row later than all there are. `%s IS NULL OR …` instead would, in a generic plan, keep the
    index from being entered at the row. Naive, because a cast from timestamptz would go through the connection's time zone.
    """
    return (after[0].replace(tzinfo=None), after[1]) if after else ("infinity", UUID(int=(1 << 128) - 1))


class Page(Struct, Generic[T]):
    """One page of a list.

    Attributes:
        items: what is on this page.
        next_cursor: `cursor` of the next page; null on the last one.
    """

    items: list[T]
    next_cursor: Cursor | None


class Paging(Struct, frozen=True):
    """What the client asked for: `limit` rows (1–100), after the row that `cursor` names."""

    limit: int = 20
    cursor: str | None = None

    def after(self, key: type[K]) -> K | None:
        """The sort key of the last row seen, such as `tuple[datetime, UUID]`; None on the first page.

        Raises:
            BadInput: when the cursor was not made by `of` for such a list.
        """
        if self.cursor is None:
            return None
        try:
            text = base64.urlsafe_b64decode(self.cursor + "=" * (-len(self.cursor) % 4))
            if base64.urlsafe_b64encode(text).decode().rstrip("=") != self.cursor:
                raise ValueError("another spelling")
            return msgspec.json.decode(text, type=key)
        except ValueError:  # of base64's or msgspec's
            raise BadInput("cursor", "take it from next_cursor of the page before, unchanged") from None

    def of(self, rows: Sequence[T], key: Callable[[T], Any]) -> Page[T]:
        """The page of `rows`, of which the query fetched one more than `limit` to see whether there are more."""
        if len(rows) <= self.limit:
            return Page(list(rows), None)
        kept = list(rows[: self.limit])
        text = base64.urlsafe_b64encode(msgspec.json.encode(key(kept[-1])))
        return Page(kept, text.decode().rstrip("="))
