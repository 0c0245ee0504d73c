"""What the SQL changes, beside rows that it does not name (tests/bystanders.py)"""

from collections.abc import Awaitable, Callable

from functions.chat_llm import db as chat
from shared.db import Database
from shared.messages import Answered, TaskError
from tests.bystanders import LONG_AGO, NOW, PAST, PEOPLE, STATES, Call, Case, World, changes, each, without_bystanders


async def of_chat(world: World) -> None:
    for who in PEOPLE:
        for number in "12":
            talk = f"{who}-{number}"
            await world.insert(
                "conversations", id=world.id(talk), user_id=world.id(who), title=talk, created_at=LONG_AGO
            )
            for position, state in enumerate(STATES):
                await world.insert(
                    "messages",
                    id=world.id(f"{talk}-{state}"),
                    conversation_id=world.id(talk),
                    role="assistant",
                    content="",
                    status=state,
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


RECORD = Answered([], "embedded", "m", "ko")
CASES: list[Case] = [
    ("update_title", lambda w: chat.update_title(w.conn, w.id("kim-1"), "new"), {"conversations kim-1"}),
    (
        "update_for_exchange",
        lambda w: chat.update_for_exchange(w.conn, w.id("kim-1"), w.id("kim"), "t"),
        {"conversations kim-1"},
    ),
    ("update_for_exchange", lambda w: chat.update_for_exchange(w.conn, w.id("kim-1"), w.id("lee"), "t"), set()),
    (
        "update_answered",
        lambda w: chat.update_answered(w.conn, w.id("kim-1-pending"), "t", RECORD, NOW),
        {"messages kim-1-pending"},
    ),
    (
        "update_answered",
        lambda w: chat.update_answered(w.conn, w.id("kim-1-failure"), "t", RECORD, NOW),
        {"messages kim-1-failure"},
    ),
    ("update_answered", lambda w: chat.update_answered(w.conn, w.id("kim-1-success"), "t", RECORD, NOW), set()),
    (
        "update_failed",
        lambda w: chat.update_failed(w.conn, w.id("kim-1-pending"), TaskError("a", "b"), NOW),
        {"messages kim-1-pending"},
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
