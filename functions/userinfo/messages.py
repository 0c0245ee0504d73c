"""The outcomes that userinfo takes of its tasks."""

from typing import ClassVar

from shared.messages import Outcome


class AvatarProcessed(Outcome, frozen=True):
    """The storage worker's, of a ProcessPhoto: a ProcessedPhoto."""

    actor: ClassVar[str] = "userinfo/avatar_processed"
