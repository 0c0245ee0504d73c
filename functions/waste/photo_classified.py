"""The ai worker's answer: what the photo shows. The guide is fetched; the raw upload goes within a minute (`drop_uploads`)."""

from functions.waste import db as sql
from functions.waste.asking import ask
from functions.waste.guides import Guides
from functions.waste.messages import PhotoClassified
from functions.waste.model import AnalysisResult, Candidate, Guide
from shared.messages import Classification, DeleteObjects, Outcome, convert
from shared.parts import Cache, Calls, Db, Progress
from shared.tasks import enqueue, settle
from shared.triggers import queue


@queue(PhotoClassified)
async def photo_classified(outcome: Outcome, db: Db, calls: Calls, cache: Cache, progress: Progress) -> None:
    analysis_id = outcome.subject
    result = None
    if outcome.status == "success":
        answer = convert(outcome.record, Classification)
        result = await _result(answer, Guides(calls, cache))
    async with db.transaction() as conn:
        found = await sql.select_owner_later(conn, analysis_id)
        still_open = await settle(conn, outcome)
        owner = await found.fetchone()
        if owner is None:
            await enqueue(conn, DeleteObjects(prefixes=[f"images/{analysis_id}"]), subject=analysis_id)
        elif still_open:
            if result is not None:
                if owner.corrected_type not in (None, answer.waste_type):
                    # The person was faster than we: the guide is of another kind now, and filled with the next ones.
                    result.guide = Guide(state="missing", item_ids=[answer.item_id] if answer.item_id else [])
                at = outcome.completed_at
                await sql.update_succeeded(conn, analysis_id, answer.waste_type, answer.confidence, result, at)
            elif outcome.error is not None:
                error = outcome.error
                await sql.update_failed(conn, analysis_id, error.code, error.message, outcome.completed_at)
    await progress.ended()


async def _result(answer: Classification, guides: Guides) -> AnalysisResult:
    # Over HTTP, so before the transaction; an analysis does not wait for recycle-info.
    advice = await guides.advise(answer.waste_type, answer.item_id)
    return AnalysisResult(
        candidates=[Candidate(c.waste_type, c.confidence) for c in answer.candidates],  # type: ignore[arg-type]  # the message's `str` is one of the waste types
        provider=answer.provider,
        model=answer.model,
        guide=advice.guide,
        item=advice.item,
        ask=ask(answer.ask),
        materials=answer.materials,
        contamination=answer.contamination,
        parts=answer.parts,
    )
