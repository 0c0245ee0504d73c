"""What an analysis is, to clients and in the table."""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec
from msgspec import Struct

from shared.waste_types import WasteType


class Image(Struct):
    """A stored copy of the photo, without metadata, and where it can be fetched."""

    s3_key: str
    cloudfront_url: str
    uploaded_at: datetime


class Candidate(Struct):
    """One possible answer of the classifier."""

    waste_type: WasteType
    confidence: float


class Guide(Struct, kw_only=True):
    """How to dispose of it. `state` is `missing` while recycle-info could not be asked; it is filled later."""

    steps: list[str] = []
    do_not: list[str] = []
    item_ids: list[UUID] = []
    state: Literal["complete", "missing"] = "complete"


class AnalysisResult(Struct):
    """What the classifier saw, who answered, and what to do."""

    candidates: list[Candidate]
    provider: str
    model: str
    guide: Guide
    # What a provider that looks closer says of it; the embedded one says nothing here.
    materials: list[str] = []
    contamination: str = ""
    parts: list[str] = []


class Analysis(Struct, kw_only=True):
    """One photo's way from upload to answer. `image_url` is null until the photo is checked."""

    id: UUID
    status: Literal["pending", "success", "failure"]
    image_url: str | None
    waste_type: WasteType | None
    corrected_type: WasteType | None
    confidence: float | None
    analysis_result: AnalysisResult | None
    error: str | None
    error_code: str | None
    images: list[Image]
    created_at: datetime
    completed_at: datetime | None

    def __post_init__(self) -> None:
        # PostgreSQL gives both as JSON; what are Structs already stay as they are.
        self.analysis_result = msgspec.convert(self.analysis_result, AnalysisResult | None)
        self.images = msgspec.convert(self.images, list[Image])
