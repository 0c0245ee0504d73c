"""What an analysis is, to clients and in the table."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from shared.waste_types import WasteType

_KEY = "images/019a0000-0000-7000-8000-000000000000/6ba5b4d395ac2dbf7017f6db06af1401-web.jpg"
_URL = f"https://cdn.example.com/{_KEY}"


class Image(Struct):
    """A stored copy of the photo, without metadata, and where it can be fetched."""

    s3_key: Annotated[str, Meta(examples=[_KEY])]
    cloudfront_url: Annotated[str, Meta(examples=[_URL])]
    uploaded_at: datetime


class Candidate(Struct):
    """One possible answer of the classifier."""

    waste_type: Annotated[WasteType, Meta(examples=["plastic"])]
    confidence: Annotated[float, Meta(examples=[0.8731])]


class NamedItem(Struct):
    """The very thing that the photo shows, as recycle-info knows it."""

    id: UUID
    name: Annotated[str, Meta(examples=["우산"])]


class Ask(Struct):
    """What the photo can't tell: PATCH takes one of the options as the person's choice, and the guide follows it."""

    question: Annotated[str, Meta(examples=["유리병인가요, 투명 페트병인가요? 눌러서 들어가면 페트병이에요."])]
    options: Annotated[list[WasteType], Meta(examples=[["glass", "pet_clear"]])]


class Guide(Struct, kw_only=True):
    """How to dispose of it. `state` is `missing` while recycle-info could not be asked; it is filled later."""

    steps: Annotated[list[str], Meta(examples=[["내용물을 비우고 물로 헹굽니다."]])] = []
    do_not: Annotated[list[str], Meta(examples=[["음식물이 묻은 채 배출하지 마세요."]])] = []
    item_ids: list[UUID] = []
    state: Annotated[Literal["complete", "missing"], Meta(examples=["complete"])] = "complete"


class AnalysisResult(Struct):
    """What the classifier saw, who answered, and what to do."""

    candidates: list[Candidate]
    provider: Annotated[str, Meta(examples=["embedded"])]
    model: Annotated[str, Meta(examples=["efficientnet-lite2"])]
    guide: Guide
    item: NamedItem | None = None
    ask: Ask | None = None
    # What a provider that looks closer says of it; the embedded one says nothing here.
    materials: Annotated[list[str], Meta(examples=[[]])] = []
    contamination: Annotated[str, Meta(examples=[""])] = ""
    parts: Annotated[list[str], Meta(examples=[[]])] = []


class Analysis(Struct, kw_only=True):
    """One photo's way from upload to answer. `image_url` is null until the photo is checked."""

    id: UUID
    status: Annotated[Literal["pending", "success", "failure"], Meta(examples=["success"])]
    image_url: Annotated[str | None, Meta(examples=[_URL])]
    waste_type: Annotated[WasteType | None, Meta(examples=["plastic"])]
    corrected_type: Annotated[WasteType | None, Meta(examples=[None])]
    confidence: Annotated[float | None, Meta(examples=[0.8731])]
    analysis_result: AnalysisResult | None
    error: Annotated[str | None, Meta(examples=[None])]
    error_code: Annotated[str | None, Meta(examples=[None])]
    images: list[Image]
    created_at: datetime
    completed_at: datetime | None

    def __post_init__(self) -> None:
        # PostgreSQL gives both as JSON; what are Structs already stay as they are.
        self.analysis_result = msgspec.convert(self.analysis_result, AnalysisResult | None)
        self.images = msgspec.convert(self.images, list[Image])

    @property
    def item_id(self) -> UUID | None:
        """The item that the classifier saw, also where its name could not be fetched yet."""
        result = self.analysis_result
        if result is None:
            return None
        if result.item is not None:
            return result.item.id
        return next(iter(result.guide.item_ids), None) if result.guide.state == "missing" else None
