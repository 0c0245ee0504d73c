"""The chat_llm schema in SQL: conversations and their messages."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta, Struct
from psycopg import AsyncCursor
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from shared.db import Connection
from shared.fields import Count, Status, Time
from shared.ids import first_id, new_id
from shared.messages import Answered, Source, TaskError, Turn
from shared.pages import row_behind
from shared.together import later

Role = Annotated[Literal["user", "assistant"], Meta(title="Role", description="The person, or the assistant.")]


class Conversation(Struct):
    """A conversation.

    Attributes:
        id: the conversation's.
        title: the first question's beginning, until somebody gives another; null before the first.
        created_at: when it was begun.
        message_count: questions and replies.
    """

    id: UUID
    title: Annotated[str | None, Meta(examples=["우유팩은 어떻게 버려요?"])]
    created_at: Time
    message_count: Annotated[Count, Meta(examples=[2])]


class Message(Struct):
    """A question or a reply.

    Attributes:
        id: the message's.
        role: who says it.
        content: the text; a reply's is empty until it succeeds.
        status: how far a reply is; a question is a success.
        sources: the items that a reply rests on.
        position: its place in the conversation, from 1.
        language: in which it is, `ko` or `en`; null while that is not known.
        provider, model: who wrote a reply; null of a question.
        error: why a reply failed, for the person; null unless it did.
        error_code: the same for programs.
        created_at: when it was said, or asked for.
        completed_at: when a reply was done or had failed; null until then.
    """

    id: UUID
    role: Annotated[Role, Meta(examples=["assistant"])]
    content: Annotated[str, Meta(examples=["우유팩은 펼쳐서 씻고 말린 뒤 종이팩으로 배출합니다."])]
    status: Annotated[Status, Meta(examples=["success"])]
    sources: list[Source]
    position: Annotated[Count, Meta(examples=[2])]
    language: Annotated[str | None, Meta(examples=["ko"])]
    provider: Annotated[str | None, Meta(examples=["embedded"])]
    model: Annotated[str | None, Meta(examples=["eco2-grounded"])]
    error: Annotated[str | None, Meta(examples=[None])]
    error_code: Annotated[str | None, Meta(examples=[None])]
    created_at: Time
    completed_at: Time | None

    def __post_init__(self) -> None:
        # PostgreSQL gives them as JSON; what are Structs already stay as they are.
        self.sources = msgspec.convert(self.sources, list[Source])


async def insert_conversation(conn: Connection, conversation: Conversation, user_id: UUID) -> None:
    await later(
        conn,
        "INSERT INTO conversations (id, user_id, title, created_at) VALUES (%s, %s, %s, %s)",
        [conversation.id, user_id, conversation.title, conversation.created_at],
    )


async def select_conversation(conn: Connection, conversation_id: UUID, user_id: UUID) -> Conversation | None:
    async with conn.cursor(row_factory=class_row(Conversation)) as cursor:
        await cursor.execute(
            "SELECT id, title, created_at, message_count FROM conversations WHERE id = %s AND user_id IS NOT DISTINCT FROM %s",
            [conversation_id, user_id],
        )
        return await cursor.fetchone()


async def select_conversation_for_update(conn: Connection, conversation_id: UUID, user_id: UUID) -> Conversation | None:
    """The same, with the row locked: no message is added meanwhile."""
    async with conn.cursor(row_factory=class_row(Conversation)) as cursor:
        await cursor.execute(
            """
            SELECT id, title, created_at, message_count
            FROM conversations
            WHERE id = %s AND user_id IS NOT DISTINCT FROM %s
            FOR UPDATE
            """,
            [conversation_id, user_id],
        )
        return await cursor.fetchone()


async def select_conversations(
    conn: Connection, user_id: UUID, after: tuple[datetime, UUID] | None, limit: int
) -> list[Conversation]:
    """Newest first, from the row after `after`."""
    at, id_ = row_behind(after)
    async with conn.cursor(row_factory=class_row(Conversation)) as cursor:
        await cursor.execute(
            """
            SELECT id, title, created_at, message_count
            FROM conversations
            WHERE user_id = %s AND (created_at, id) < (%s::timestamp, %s)
            ORDER BY created_at DESC, id DESC
            LIMIT %s
            """,
            [user_id, at, id_, limit],
        )
        return await cursor.fetchall()


async def update_title(conn: Connection, conversation_id: UUID, title: str) -> None:
    await conn.execute("UPDATE conversations SET title = %s WHERE id = %s", [title, conversation_id])


async def update_for_exchange(conn: Connection, conversation_id: UUID, user_id: UUID, title: str | None) -> int | None:
    """Take the next two positions, and the title if there is none yet; the first position, or None without such a row.

    Holds the row's lock to the end of the transaction, so positions are given out in the order of the commits.
    """
    cursor = await conn.execute(
        """
        UPDATE conversations
        SET message_count = message_count + 2, title = COALESCE(title, %s)
        WHERE id = %s AND user_id IS NOT DISTINCT FROM %s
        RETURNING message_count - 1
        """,
        [title, conversation_id, user_id],
    )
    row = await cursor.fetchone()
    return row[0] if row else None


async def insert_exchange(
    conn: Connection, conversation_id: UUID, position: int, question: str, at: datetime, analysis_id: UUID | None = None
) -> tuple[Message, Message]:
    """Write a question at `position`, about a photo's analysis or none, and its pending reply behind it."""
    asked = Message(new_id(), "user", question, "success", [], position, None, None, None, None, None, at, at)
    reply = Message(new_id(), "assistant", "", "pending", [], position + 1, None, None, None, None, None, at, None)
    await later(
        conn,
        """
        INSERT INTO messages
            (id, conversation_id, role, content, status, position, created_at, completed_at, analysis_id)
        VALUES (%(asked)s, %(conversation)s, 'user', %(question)s, 'success', %(position)s, %(at)s, %(at)s, %(analysis)s),
               (%(reply)s, %(conversation)s, 'assistant', '', 'pending', %(position)s + 1, %(at)s, NULL, NULL)
        """,
        {
            "asked": asked.id,
            "reply": reply.id,
            "conversation": conversation_id,
            "question": question,
            "position": position,
            "at": at,
            "analysis": analysis_id,
        },
    )
    return asked, reply


async def select_messages(conn: Connection, conversation_id: UUID, after: int, limit: int) -> list[Message]:
    """Oldest first, from the position after `after`. Whose conversation it is, the caller has looked up."""
    async with conn.cursor(row_factory=class_row(Message)) as cursor:
        await cursor.execute(
            """
            SELECT id, role, content, status, sources, position, language, provider, model, error, error_code,
                   created_at, completed_at
            FROM messages
            WHERE conversation_id = %s AND position > %s
            ORDER BY position
            LIMIT %s
            """,
            [conversation_id, after, limit],
        )
        return await cursor.fetchall()


async def select_message(conn: Connection, conversation_id: UUID, message_id: UUID, user_id: UUID) -> Message | None:
    async with conn.cursor(row_factory=class_row(Message)) as cursor:
        await cursor.execute(
            """
            SELECT m.id, m.role, m.content, m.status, m.sources, m.position, m.language, m.provider, m.model,
                   m.error, m.error_code, m.created_at, m.completed_at
            FROM messages m
            JOIN conversations c ON c.id = m.conversation_id
            WHERE m.id = %s AND c.id = %s AND c.user_id IS NOT DISTINCT FROM %s
            """,
            [message_id, conversation_id, user_id],
        )
        return await cursor.fetchone()


async def select_photo(conn: Connection, conversation_id: UUID, limit: int) -> tuple[UUID, int] | None:
    """The analysis of the last photo among so many messages, and how many questions ago the next one finds it."""
    cursor = await conn.execute(
        """
        SELECT m.analysis_id, (c.message_count + 1 - m.position) / 2
        FROM messages m
        JOIN conversations c ON c.id = m.conversation_id
        WHERE m.conversation_id = %s AND m.position > c.message_count - %s AND m.analysis_id IS NOT NULL
        ORDER BY m.position DESC
        LIMIT 1
        """,
        [conversation_id, limit],
    )
    return await cursor.fetchone()


async def select_turns(conn: Connection, conversation_id: UUID, limit: int, characters: int) -> list[Turn]:
    """The last messages that say something, newest first, each cut to so many characters."""
    async with conn.cursor(row_factory=class_row(Turn)) as cursor:
        await cursor.execute(
            """
            SELECT role, left(content, %s) AS content
            FROM messages
            WHERE conversation_id = %s AND status = 'success'
            ORDER BY position DESC
            LIMIT %s
            """,
            [characters, conversation_id, limit],
        )
        return await cursor.fetchall()


async def select_reply_for_update(conn: Connection, message_id: UUID) -> AsyncCursor[Any]:
    """Lock a reply's row, with the next statement; the cursor has no row when it is gone."""
    return await later(conn, "SELECT 1 FROM messages WHERE id = %s AND role = 'assistant' FOR UPDATE", [message_id])


async def update_answered(conn: Connection, message_id: UUID, text: str, record: Answered, at: datetime) -> None:
    """End in success, also after an earlier failure; a second success changes nothing."""
    await later(
        conn,
        """
        UPDATE messages
        SET status = 'success', content = %s, sources = %s, language = %s, provider = %s, model = %s,
            error = NULL, error_code = NULL, completed_at = %s
        WHERE id = %s AND status <> 'success'
        """,
        [
            text,
            Jsonb(msgspec.to_builtins(record.sources)),
            record.language,
            record.provider,
            record.model,
            at,
            message_id,
        ],
    )


async def update_failed(conn: Connection, message_id: UUID, error: TaskError, at: datetime) -> None:
    """End in failure, unless it has ended already: states only rise."""
    await later(
        conn,
        """
        UPDATE messages
        SET status = 'failure', error = %s, error_code = %s, completed_at = %s
        WHERE id = %s AND status = 'pending'
        """,
        [error.message, error.code, at, message_id],
    )


async def delete_conversation(conn: Connection, conversation_id: UUID, user_id: UUID) -> list[UUID]:
    """Delete a conversation that the caller has locked; return the ids of its replies, which may have tasks."""
    replies = await _delete_conversations(conn, [conversation_id])
    # Answers kept for repeats hold the questions, and the title.
    await conn.execute(
        """
        DELETE FROM idempotency
        WHERE user_id = %s
            AND (scope LIKE '%%/conversations/' || %s::text || '/%%' OR answer ->> 'id' = %s::text)
        """,
        [user_id, conversation_id, conversation_id],
    )
    return replies


async def select_candidates_for_update(conn: Connection, behind: UUID, before: datetime, limit: int) -> list[UUID]:
    """The next conversations begun before then, in the order of their ids, those that nobody is adding to."""
    cursor = await conn.execute(
        """
        SELECT id
        FROM conversations
        WHERE id > %s AND id < %s
        ORDER BY id
        LIMIT %s
        FOR UPDATE SKIP LOCKED
        """,
        [behind, first_id(before), limit],
    )
    return [row[0] for row in await cursor.fetchall()]


async def delete_idle(conn: Connection, candidates: list[UUID], before: datetime) -> list[UUID]:
    """Delete those of these, which the caller has locked, whose last message is older; return the ids of their replies."""
    cursor = await conn.execute(
        """
        SELECT c.id
        FROM conversations c
        WHERE c.id = ANY(%s)
            AND COALESCE((SELECT m.created_at
                          FROM messages m
                          WHERE m.conversation_id = c.id
                          ORDER BY m.position DESC
                          LIMIT 1), c.created_at) < %s
        """,
        [candidates, before],
    )
    return await _delete_conversations(conn, [row[0] for row in await cursor.fetchall()])


async def _delete_conversations(conn: Connection, conversations: list[UUID]) -> list[UUID]:
    """Delete conversations that the caller has locked; return the ids of their replies, which may have tasks."""
    cursor = await conn.execute(
        """
        WITH gone AS (
            DELETE FROM messages
            WHERE conversation_id = ANY(%s)
            RETURNING id, role
        )
        SELECT id
        FROM gone
        WHERE role = 'assistant'
        """,
        [conversations],
    )
    replies = [row[0] for row in await cursor.fetchall()]
    await conn.execute("DELETE FROM conversations WHERE id = ANY(%s)", [conversations])
    return replies


async def delete_person(conn: Connection, user_id: UUID) -> list[UUID]:
    """Delete all that a person has here; return the ids of the replies, whose tasks and tokens the caller forgets."""
    # Locked first, and in one order: a question accepted at this moment comes before or finds its conversation gone.
    cursor = await conn.execute("SELECT id FROM conversations WHERE user_id = %s ORDER BY id FOR UPDATE", [user_id])
    replies = await _delete_conversations(conn, [row[0] for row in await cursor.fetchall()])
    await conn.execute("DELETE FROM idempotency WHERE user_id = %s", [user_id])
    return replies
