"""The outcomes that waste takes of its tasks."""

from typing import ClassVar

from shared.messages import Outcome


class PhotoProcessed(Outcome, frozen=True):
    """The storage worker's, of a ProcessPhoto: a ProcessedPhoto."""

    actor: ClassVar[str] = "waste/photo_processed"


class PhotoClassified(Outcome, frozen=True):
    """The ai worker's, of a ClassifyPhoto: a Classification."""

    actor: ClassVar[str] = "waste/photo_classified"


class StrangersFound(Outcome, frozen=True):
    """userinfo's, of a FindStrangers: Strangers."""

    actor: ClassVar[str] = "waste/strangers_found"
