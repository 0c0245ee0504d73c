"""The ai worker's answer: the reply's text and sources, or why there is none."""

import dramatiq
from msgspec import Struct

from functions.chat_llm import db as sql
from shared import progress
from shared.db import database
from shared.messages import Answered, Outcome, convert
from shared.redis import broker
from shared.tasks import settle


class Text(Struct):
    """The payload of an answer."""

    text: str


@dramatiq.actor(queue_name="chat_llm", time_limit=30_000)
async def answered(*, outcome: Outcome) -> None:
    async with database().transaction() as conn:
        kept = await sql.select_reply_for_update(conn, outcome.subject)
        if kept and outcome.status == "success":
            record, text = convert(outcome.record, Answered), convert(outcome.payload, Text).text
            await sql.update_answered(conn, outcome.subject, text, record, outcome.completed_at)
        elif kept and outcome.error is not None:
            await sql.update_failed(conn, outcome.subject, outcome.error, outcome.completed_at)
        await settle(conn, outcome)
    if kept:
        await progress.ended(outcome.subject)
    else:
        # Deleted meanwhile: the tokens that the run went on to send are nobody's.
        await progress.forget(broker(), outcome.subject)
