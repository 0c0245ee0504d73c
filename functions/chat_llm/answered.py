"""The ai worker's answer: the reply's text and sources, or why there is none."""

from msgspec import Struct

from functions.chat_llm import db as sql
from functions.chat_llm.messages import QuestionAnswered
from shared.messages import Answered, Outcome, convert
from shared.parts import Broker, Db, Progress
from shared.progress import forget
from shared.tasks import settle_later
from shared.triggers import queue


class Text(Struct):
    """The payload of an answer."""

    text: str


@queue(QuestionAnswered)
async def answered(outcome: Outcome, db: Db, broker: Broker, progress: Progress) -> None:
    async with db.transaction() as conn:
        # All in one exchange with PostgreSQL: what is done to a reply that is gone changes nothing.
        reply = await sql.select_reply_for_update(conn, outcome.subject)
        if outcome.status == "success":
            record, text = convert(outcome.record, Answered), convert(outcome.payload, Text).text
            await sql.update_answered(conn, outcome.subject, text, record, outcome.completed_at)
        elif outcome.error is not None:
            await sql.update_failed(conn, outcome.subject, outcome.error, outcome.completed_at)
        await settle_later(conn, outcome)
    if reply.rowcount:
        await progress.ended()
    else:
        # Deleted meanwhile: the tokens that the run went on to send are no one's.
        await forget(broker, outcome.subject)
