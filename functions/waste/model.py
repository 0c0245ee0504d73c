"""What an analysis is, to clients and in the table."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from shared.fields import Share, Status, Time
from shared.waste_types import WasteType

_KEY = "images/019a0000-0000-7000-8000-000000000000/6ba5b4d395ac2dbf7017f6db06af1401-web.jpg"
_URL = f"https://cdn.example.com/{_KEY}"


GuideState = Annotated[
    Literal["complete", "missing"],
    Meta(title="GuideState", description="Whether a guide is there yet.", examples=["complete"]),
]


class Image(Struct):
    """A stored copy of the photo, without metadata.

    Attributes:
        s3_key: its key in the object store.
        cloudfront_url: where it can be fetched, by whoever has the address.
        uploaded_at: when it was stored.
    """

    s3_key: Annotated[str, Meta(examples=[_KEY])]
    cloudfront_url: Annotated[str, Meta(examples=[_URL])]
    uploaded_at: Time


class Candidate(Struct):
    """One possible answer of the classifier.

    Attributes:
        waste_type: what it may be.
        confidence: how likely; all candidates together are at most 1.
    """

    waste_type: Annotated[WasteType, Meta(examples=["plastic"])]
    confidence: Annotated[Share, Meta(examples=[0.8731])]


class NamedItem(Struct):
    """The very thing that the photo shows, as recycle-info knows it.

    Attributes:
        id: the item's.
        name: in Korean.
    """

    id: UUID
    name: Annotated[str, Meta(examples=["우산"])]


class Ask(Struct):
    """What the photo can't tell, and the person can.

    Attributes:
        question: in Korean, for the person.
        options: the possible answers: PATCH takes one of them as `waste_type`, and the guide follows it.
    """

    question: Annotated[str, Meta(examples=["유리병인가요, 투명 페트병인가요? 눌러서 들어가면 페트병이에요."])]
    options: Annotated[list[WasteType], Meta(examples=[["glass", "pet_clear"]])]


class Guide(Struct, kw_only=True):
    """How to dispose of it.

    Attributes:
        steps: what to do, in this order.
        do_not: what not to do.
        item_ids: the items that it is of.
        state: `missing` while recycle-info could not be asked; it is filled later.
    """

    steps: Annotated[list[str], Meta(examples=[["내용물을 비우고 물로 헹굽니다."]])] = []
    do_not: Annotated[list[str], Meta(examples=[["음식물이 묻은 채 배출하지 마세요."]])] = []
    item_ids: list[UUID] = []
    state: GuideState = "complete"


class AnalysisResult(Struct):
    """What the classifier saw, who answered, and what to do.

    Attributes:
        candidates: the likeliest first.
        provider, model: who answered.
        guide: what to do with it.
        item: the very thing; null where only the kind is known.
        ask: what the photo can't tell; null where nothing has to be asked.
        materials, contamination, parts: what a provider that looks closer says; the embedded one says nothing here.
    """

    candidates: list[Candidate]
    provider: Annotated[str, Meta(examples=["embedded"])]
    model: Annotated[str, Meta(examples=["efficientnet-lite2"])]
    guide: Guide
    item: NamedItem | None = None
    ask: Ask | None = None
    materials: Annotated[list[str], Meta(examples=[[]])] = []
    contamination: Annotated[str, Meta(examples=[""])] = ""
    parts: Annotated[list[str], Meta(examples=[[]])] = []


class Analysis(Struct, kw_only=True):
    """One photo's way from upload to answer.

    Attributes:
        id: the analysis's.
        status: how far it is.
        image_url: the photo, without metadata; null until it is checked.
        waste_type: the classifier's answer; null until there is one.
        corrected_type: the person's own word; null until they said one.
        confidence: how sure the classifier is.
        analysis_result: all that was found; null until then.
        error: why it failed, for the person; null unless it did.
        error_code: the same for programs.
        images: the stored copies.
        created_at: when it was asked for.
        completed_at: when it was done or had failed; null until then.
    """

    id: UUID
    status: Annotated[Status, Meta(examples=["success"])]
    image_url: Annotated[str | None, Meta(examples=[_URL])]
    waste_type: Annotated[WasteType | None, Meta(examples=["plastic"])]
    corrected_type: Annotated[WasteType | None, Meta(examples=[None])]
    confidence: Annotated[Share | None, Meta(examples=[0.8731])]
    analysis_result: AnalysisResult | None
    error: Annotated[str | None, Meta(examples=[None])]
    error_code: Annotated[str | None, Meta(examples=[None])]
    images: list[Image]
    created_at: Time
    completed_at: Time | None

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
