"""What a question's photo shows: the person's own analysis, fetched with their own token. The worker gets no photo."""

from uuid import UUID

import msgspec
from msgspec import Struct

from shared.calls import Calls, Missing
from shared.errors import NotFound, Unavailable
from shared.messages import Candidate, Photo


class _Item(Struct):
    id: UUID


class _Ask(Struct):
    question: str


class _Result(Struct):
    candidates: list[Candidate] = []
    item: _Item | None = None
    ask: _Ask | None = None


class _Analysis(Struct):
    status: str
    waste_type: str | None
    corrected_type: str | None
    confidence: float | None
    analysis_result: _Result | None


async def seen_before(calls: Calls, before: tuple[UUID, int] | None, token: str) -> Photo | None:
    """The photo of an earlier question, which this one may be about; None where it is gone, or api-waste is away."""
    if before is None:
        return None
    analysis_id, turns_ago = before
    try:
        return msgspec.structs.replace(await seen(calls, analysis_id, token), turns_ago=turns_ago)
    except (NotFound, Unavailable):
        return None


async def seen(calls: Calls, analysis_id: UUID, token: str) -> Photo:
    """What api-waste answers its owner.

    Raises:
        NotFound: there is no such analysis, or it is another person's.
        Unavailable: api-waste is away: without the photo the question means nothing.
    """
    try:
        found = await calls.get("api-waste", f"/api/v1/waste/analyses/{analysis_id}", _Analysis, token=token)
    except Missing:
        raise NotFound from None
    result = found.analysis_result or _Result()
    return Photo(
        status=found.status,
        waste_type=found.corrected_type or found.waste_type,
        confidence=found.confidence,
        chosen=found.corrected_type is not None,
        candidates=result.candidates,
        item_id=result.item.id if result.item else None,
        ask=result.ask.question if result.ask and found.corrected_type is None else "",
    )
