"""What a message carries: of a task on its way to its function, and of an outcome on the way back"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from runtime.delivery.envelope import (
    SETTLED,
    bulk_actors,
    bulk_queue,
    envelope,
    outcome_message,
    queue_of,
    storable,
    task_message,
)
from runtime.delivery.outbox import Row
from shared import clock
from shared.messages import Message
from shared.wake import Accepted

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
TASK: dict[str, Any] = {
    "id": UUID(int=1),
    "actor": "storage/process_photo",
    "message": {"number": 1},
    "reply": "waste/photo_processed",
    "subject": UUID(int=2),
    "traceparent": "00-1-2-01",
    "created_at": NOW - timedelta(hours=1),
    "time_limit": timedelta(seconds=60),
    "person": "someone",
}
ROW = Row(**TASK | {"message": '{"number": 1}', "attempts": 3, "retries": 2, "late": True})


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)
    monkeypatch.setattr(clock, "time", NOW.timestamp)


@pytest.mark.parametrize(("task", "attempt", "retries"), [(Accepted(**TASK), 1, 0), (ROW, 3, 2)])
def test_a_task_says_how_often_it_was_tried_and_until_when_this_copy_may_run(
    task: Accepted, attempt: int, retries: int
) -> None:
    message = task_message("waste", task)
    sent = envelope(message)
    assert (sent.attempt, sent.retries) == (attempt, retries)
    assert sent.deadline == "2026-11-30T12:01:00+00:00", "of this publication, not of when it was accepted"
    assert sent.queued_at == "2026-11-30T11:00:00+00:00"
    assert (sent.service, sent.reply, sent.person) == ("waste", "waste/photo_processed", "someone")
    assert (message.queue_name, message.actor_name) == ("storage", "process_photo")
    assert message.kwargs == {"number": 1}
    assert message.message_timestamp == 1_796_040_000_000, "in milliseconds, as Dramatiq has it"
    assert not sent.is_outcome


@pytest.mark.parametrize(
    ("reply", "goes_to"), [("chat_llm/answered", ("chat_llm", "answered")), (None, ("waste", SETTLED))]
)
def test_an_outcome_goes_to_who_takes_it_and_no_longer_has_a_turn_or_an_end(
    reply: str | None, goes_to: tuple[str, str]
) -> None:
    sent = msgspec.structs.replace(envelope(task_message("waste", ROW)), reply=reply)
    message = outcome_message(sent, {"status": "success"})
    assert (message.queue_name, message.actor_name) == goes_to
    assert message.kwargs == {"outcome": {"status": "success"}}
    back = envelope(message)
    assert (back.is_outcome, back.deadline, back.person) == (True, "", "")
    assert (back.id, back.attempt, back.traceparent) == (sent.id, 3, "00-1-2-01")


def test_a_message_under_another_task_s_id_was_made_by_no_relay() -> None:
    message = task_message("waste", ROW)
    with pytest.raises(msgspec.ValidationError, match="its id is not its task's"):
        envelope(message.copy(message_id=str(UUID(int=7))))
    with pytest.raises(msgspec.ValidationError):
        envelope(message.copy(options={"task": None}))


def test_bulk_work_has_a_queue_of_its_own_however_its_message_came_about() -> None:
    class Heavy(Message, frozen=True):
        actor = "storage/heavy"
        bulk = True

    class Heavier(Heavy, frozen=True):
        actor = "storage/heavier"

    found = bulk_actors()
    assert {Heavy.actor, Heavier.actor} <= found
    assert "storage/process_photo" not in found
    assert queue_of("storage/heavier", found) == bulk_queue("storage") == "storage.bulk"
    assert queue_of("storage/process_photo", found) == "storage"


def test_what_is_said_to_a_person_can_be_stored_anywhere() -> None:
    assert storable("a\x00b\ud800c") == "ab?c"
    assert len(storable("가" * 2001)) == 2000
