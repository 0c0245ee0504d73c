"""Messages of another version of the code: what is new has a default, what is unknown is counted, a rename waits."""

import logging
from pathlib import Path
from typing import Any, ClassVar

import pytest

from runtime import telemetry
from runtime.binding import Call
from runtime.delivery.consumer import observe
from runtime.forms import Form, Refused
from shared.messages import AnswerQuestion, ClassifyPhoto, DeleteObjects, Message, Outcome
from tests.runtime.owner import Owner, call, eventually, sending, worker

PHOTO = {"image_key": "images/1/web.jpg", "content_hash": "0" * 64, "thumbnail_key": "t", "spender": "abc"}


class Pay(Message, frozen=True):
    actor: ClassVar[str] = "x/pay"
    payer: str
    note: str = ""


def test_a_field_that_the_sender_does_not_know_yet_has_its_default() -> None:
    assert Form(Pay).read({"payer": "me"}) == Pay("me", "")


def test_a_field_that_this_version_does_not_know_is_left_out_counted_and_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    form = Form(Pay)
    with caplog.at_level(logging.WARNING, "eco2.worker"):
        for _ in range(3):
            assert form.read({"payer": "me", "note": "", "colour": "red"}) == Pay("me")
    assert form.unknown == 3
    assert [record.getMessage() for record in caplog.records] == [
        "Pay has a field that this version does not know: colour"
    ]


def test_what_0_1_0_sends_is_read_and_its_language_left_out() -> None:
    form = Form(ClassifyPhoto)
    assert form.read(PHOTO | {"language": "ko"}) == ClassifyPhoto(**PHOTO)
    assert form.unknown == 1


@pytest.mark.parametrize(
    ("form", "fields", "says"),
    [
        # Without a default, and with one: either way the work would be done for no one, or not at all.
        (Pay, {"spender": "me", "note": ""}, "payer seems to be called spender now"),
        (Pay, {"payer": "me", "remark": "loud"}, "note seems to be called remark now"),
        (DeleteObjects, {"objects": ["a"], "prefixes": []}, "keys seems to be called objects now"),
        (Pay, {"note": ""}, "missing required field `payer`"),
        (Pay, {"payer": {"id": 1}}, "Expected `str`, got `object` - at `$.payer`"),
        (
            AnswerQuestion,
            {"question": "?", "spender": "", "history": [{"role": "user", "text": "캔은?"}]},
            "history.content seems to be called text now",
        ),
        (
            AnswerQuestion,
            {
                "question": "?",
                "spender": "",
                "place": {"title": "집", "municipality": "마포구", "latitude": 37.5, "longitude": 127.0},
            },
            "place.name seems to be called title now",
        ),
        (Outcome, {}, "missing required field"),
    ],
)
def test_what_would_be_read_as_something_else_is_refused(form: Any, fields: dict[str, Any], says: str) -> None:
    with pytest.raises(Refused, match=says.replace("$", r"\$").replace("(", r"\(")):
        Form(form).read(fields)


def test_a_field_inside_of_another_counts_too() -> None:
    form = Form(AnswerQuestion)
    turn = {"role": "user", "content": "캔은?", "mood": "curious"}
    assert form.read({"question": "?", "spender": "", "history": [turn, turn]}).history[0].content == "캔은?"
    assert form.unknown == 2


def test_a_renamed_field_waits_for_code_that_knows_it(
    owner: Owner, broker_url: str, queue: str, tmp_path: Path
) -> None:
    class Renamed(Message, frozen=True):
        actor: ClassVar[str] = f"{queue}/count"
        count: int = 0

    runs: list[int] = []

    def count(*, number: int) -> None:
        runs.append(number)

    functions = {"count": call(count)}
    with worker(broker_url, tmp_path / "old", queue, functions) as old:
        (renamed,) = owner.accept(Renamed(3))
        owner.enqueue(f"{queue}/count", 7)
        eventually(lambda: old.refused == 1 and old.held == 0)
        eventually(
            lambda: runs == [7] and owner.outbox() == 1, "what it can read is done, the other is still accepted work"
        )
        observe(old, old.broker, functions)
        assert f'eco2_messages_refused_total{{service="{queue}"}} 1.0' in telemetry.exposition().decode()
    newer = {"count": Call(lambda given, task: runs.append(given.count), Form(Renamed), 60.0, asynchronous=False)}
    with worker(broker_url, tmp_path / "new", queue, newer):
        owner.ask_again(renamed)
        eventually(lambda: owner.outbox() == 0)
    assert runs == [7, 3]


def test_an_api_function_that_can_not_read_its_message_leaves_it_to_the_relay(owner: Owner) -> None:
    done: list[int] = []

    async def count(*, number: int) -> None:
        done.append(number)

    owner.consumer._functions["count"] = call(count)

    class Renamed(sending(f"{owner.name}/count"), frozen=True):  # type: ignore[misc]  # the base class is made at run time
        number: str = "many"

    owner.accept(Renamed())
    eventually(lambda: owner.consumer.refused == 1 and owner.consumer.held == 0)
    assert done == []
    assert owner.outbox() == 1
