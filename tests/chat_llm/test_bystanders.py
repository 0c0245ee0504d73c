"""What the SQL changes and what it finds, beside rows that it does not name (tests/bystanders.py)"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from functions.chat_llm import db as chat
from shared.db import Database
from shared.ids import new_id
from shared.messages import Answered, Source, TaskError, Turn
from tests.bystanders import (
    LONG_AGO,
    NOW,
    PAST,
    PEOPLE,
    STATES,
    TIMES,
    Call,
    Case,
    Read,
    World,
    changes,
    each,
    each_read,
    finds,
    unread,
    without_bystanders,
)


async def of_chat(world: World) -> None:
    for who in PEOPLE:
        for number in "12":
            talk = f"{who}-{number}"
            await world.insert(
                "conversations",
                id=world.id(talk),
                user_id=world.id(who),
                title=talk if number == "1" else None,
                created_at=LONG_AGO,
            )
            for position, state in enumerate(STATES):
                await world.insert(
                    "messages",
                    id=world.id(f"{talk}-{state}"),
                    conversation_id=world.id(talk),
                    role="assistant",
                    content="",
                    status=state,
                    error="e" if state == "failure" else None,
                    error_code="c" if state == "failure" else None,
                    position=position,
                    created_at=NOW if number == "2" else LONG_AGO,
                )
            await world.kept(who, f"/api/v1/chat/conversations/{world.id(talk)}/messages")


def _talks(*names: str) -> set[str]:
    return {f"conversations {name}" for name in names} | {
        f"messages {name}-{state}" for name in names for state in STATES
    }


def _asked(*names: str) -> set[str]:
    return {f"idempotency kim POST /api/v1/chat/conversations/{name}/messages key" for name in names}


RECORD = Answered([Source(new_id(), "유리병")], "embedded", "m", "ko")
ANSWERED = "completed_at, content, language, model, provider, sources, status"
CASES: list[Case] = [
    ("update_title", lambda w: chat.update_title(w.conn, w.id("kim-1"), "new"), {"conversations kim-1: title"}),
    (
        "update_for_exchange",
        lambda w: chat.update_for_exchange(w.conn, w.id("kim-1"), w.id("kim"), "t"),
        {"conversations kim-1: message_count"},
    ),
    (
        "update_for_exchange",
        lambda w: chat.update_for_exchange(w.conn, w.id("kim-2"), w.id("kim"), "t"),
        {"conversations kim-2: message_count, title"},
    ),
    ("update_for_exchange", lambda w: chat.update_for_exchange(w.conn, w.id("kim-1"), w.id("lee"), "t"), set()),
    (
        "update_answered",
        lambda w: chat.update_answered(w.conn, w.id("kim-1-pending"), "t", RECORD, NOW),
        {f"messages kim-1-pending: {ANSWERED}"},
    ),
    (
        "update_answered",
        lambda w: chat.update_answered(w.conn, w.id("kim-1-failure"), "t", RECORD, NOW),
        {f"messages kim-1-failure: {ANSWERED.replace('language', 'error, error_code, language')}"},
    ),
    ("update_answered", lambda w: chat.update_answered(w.conn, w.id("kim-1-success"), "t", RECORD, NOW), set()),
    (
        "update_failed",
        lambda w: chat.update_failed(w.conn, w.id("kim-1-pending"), TaskError("a", "b"), NOW),
        {"messages kim-1-pending: completed_at, error, error_code, status"},
    ),
    ("update_failed", lambda w: chat.update_failed(w.conn, w.id("kim-1-success"), TaskError("a", "b"), NOW), set()),
    (
        "delete_conversation",
        lambda w: chat.delete_conversation(w.conn, w.id("kim-1"), w.id("kim")),
        _talks("kim-1") | _asked("kim-1"),
    ),
    (
        "delete_person",
        lambda w: chat.delete_person(w.conn, w.id("kim")),
        _talks("kim-1", "kim-2") | _asked("kim-1", "kim-2"),
    ),
    ("delete_idle", lambda w: chat.delete_idle(w.conn, [w.id("kim-1"), w.id("kim-2")], PAST), _talks("kim-1")),
    ("delete_idle", lambda w: chat.delete_idle(w.conn, [w.id("kim-1")], LONG_AGO), set()),
]


@each(CASES)
async def test_a_statement_changes_what_it_names_and_nothing_beside_it(
    call: Call, changed: set[str], db: Callable[[str], Awaitable[Database]]
) -> None:
    assert await changes(await db("chat_llm"), of_chat, call) == changed


def test_each_statement_that_changes_or_deletes_has_its_bystanders() -> None:
    assert without_bystanders("chat_llm", CASES) == set()


async def said(world: World) -> None:
    """Of each person four conversations; in the first six messages, the fourth under way, photos with the first and the third."""
    for who in PEOPLE:
        for number, at in TIMES.items():
            name = f"{who}-{number}"
            await world.insert(
                "conversations", id=world.id(name), user_id=world.id(who), created_at=at, message_count=6
            )
        for position in range(1, 7):
            await world.insert(
                "messages",
                id=world.id(f"{who}-1-{position}"),
                conversation_id=world.id(f"{who}-1"),
                role="user" if position % 2 else "assistant",
                content=str(position) * 9,
                status="pending" if position == 4 else "success",
                position=position,
                analysis_id=world.id(f"photo-{position}") if position in (1, 3) else None,
            )


def _message(conversation: str, who: str) -> Call:
    return lambda w: chat.select_message(w.conn, w.id(conversation), w.id("kim-1-3"), w.id(who))


def _reply(position: int) -> Call:
    async def locked(world: World) -> int:
        cursor = await chat.select_reply_for_update(world.conn, world.id(f"kim-1-{position}"))
        await world.conn.execute("SELECT 1")
        return cursor.rowcount

    return locked


READS: list[Read] = [
    *(
        (one.__name__, lambda w, one=one, who=who: one(w.conn, w.id("kim-1"), w.id(who)), found)
        for one in (chat.select_conversation, chat.select_conversation_for_update)
        for who, found in (("kim", "kim-1"), ("lee", None))
    ),
    (
        "select_conversations",
        lambda w: chat.select_conversations(w.conn, w.id("kim"), None, 3),
        ["kim-3", "kim-2", "kim-4"],
    ),
    (
        "select_conversations",
        lambda w: chat.select_conversations(w.conn, w.id("kim"), (NOW, w.id("kim-3")), 10),
        ["kim-2", "kim-4", "kim-1"],
    ),
    (
        "select_messages",
        lambda w: chat.select_messages(w.conn, w.id("kim-1"), 2, 3),
        ["kim-1-3", "kim-1-4", "kim-1-5"],
    ),
    ("select_message", _message("kim-1", "kim"), "kim-1-3"),
    ("select_message", _message("kim-2", "kim"), None),
    ("select_message", _message("kim-1", "lee"), None),
    ("select_photo", lambda w: chat.select_photo(w.conn, w.id("kim-1"), 6), ["photo-3", 2]),
    ("select_photo", lambda w: chat.select_photo(w.conn, w.id("kim-1"), 4), ["photo-3", 2]),
    ("select_photo", lambda w: chat.select_photo(w.conn, w.id("kim-1"), 3), None),
    (
        "select_turns",
        lambda w: chat.select_turns(w.conn, w.id("kim-1"), 3, 5),
        [Turn("assistant", "66666"), Turn("user", "55555"), Turn("user", "33333")],
    ),
    ("select_reply_for_update", _reply(4), 1),
    ("select_reply_for_update", _reply(3), 0),
    (
        "select_candidates_for_update",
        lambda w: chat.select_candidates_for_update(w.conn, w.id("kim-1"), NOW + timedelta(days=1), 2),
        ["kim-2", "kim-3"],
    ),
    ("select_candidates_for_update", lambda w: chat.select_candidates_for_update(w.conn, w.id("kim-1"), PAST, 2), []),
]


@each_read(READS)
async def test_a_statement_finds_what_it_names_in_its_order_and_nothing_beside_it(
    call: Call, expected: Any, db: Callable[[str], Awaitable[Database]]
) -> None:
    assert await finds(await db("chat_llm"), said, call) == expected


def test_each_statement_that_reads_is_looked_at() -> None:
    assert unread("chat_llm", READS) == set()
