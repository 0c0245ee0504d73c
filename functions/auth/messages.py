"""What auth sends to itself, and the outcomes that it takes of its tasks."""

from typing import ClassVar
from uuid import UUID

from shared.messages import Message, Outcome


class AnnounceRevocations(Message, frozen=True):
    """Announce these sessions' end once the broker's Redis is back."""

    actor: ClassVar[str] = "auth/announce_revocations"
    time_limit: ClassVar[int] = 10_000
    session_ids: list[UUID]


class ErasureConfirmed(Outcome, frozen=True):
    """A service's, of an ErasePerson: that it is done."""

    actor: ClassVar[str] = "auth/erasure_confirmed"
    time_limit: ClassVar[int] = 10_000
