"""What auth sends to itself, and the outcomes that it takes of its tasks."""

from typing import ClassVar, Literal
from uuid import UUID

from shared.messages import Message, Outcome


class AnnounceRevocations(Message, frozen=True):
    """Announce these sessions' end once the broker's Redis is back."""

    actor: ClassVar[str] = "auth/announce_revocations"
    time_limit: ClassVar[int] = 10_000
    session_ids: list[UUID]


class SendMail(Message, frozen=True):
    """Write to a person's address. The one-time token is made when the mail is: a message that lies about holds none."""

    actor: ClassVar[str] = "auth/send_mail"
    time_limit: ClassVar[int] = 60_000
    user_id: UUID
    purpose: Literal["verify", "reset"]


class ErasureConfirmed(Outcome, frozen=True):
    """A service's, of an ErasePerson: that it is done."""

    actor: ClassVar[str] = "auth/erasure_confirmed"
    time_limit: ClassVar[int] = 10_000
