"""What a comparison of two recordings names, and what it leaves out: each difference alone, in requests written by hand"""

import hashlib
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from emulator.recording import folder as recordings
from emulator.recording import form
from emulator.recording.align import Aligned
from emulator.recording.compare import Compared, Difference, Recorded, compare
from emulator.recording.form import Answer, Body, Exchange, Span
from emulator.state import version
from tests.emulator.recording.test_align import NEW, OTHER, START, TOKEN

JSON = ("content-type", "application/json")
STREAM = ("content-type", "text/event-stream")


def asked(id_: str = "a", method: str = "GET", at: float = START, **more: Any) -> Exchange:
    """A request; `content`, `status`, `headers`, `ended`, `seconds` and `body` are its answer's."""
    content = more.pop("content", b"")
    body = more.pop("body", None) or Body(len(content), content.decode())
    headers = more.pop("headers", [JSON])
    answer = Answer(more.pop("status", 200), headers, body, more.pop("seconds", 0.5), more.pop("ended", "whole"))
    return Exchange(id_, at, more.pop("to", "gateway"), method, f"/{id_}", [], Body(), f"trace-{id_}", answer)


def span(name: str, kind: str, id_: str = "", parent: str = "", trace: str = "trace-a", **attributes: Any) -> Span:
    return Span(trace, id_ or f"{kind} {name}", parent, "waste", name, kind, START, 400.0, attributes)


RUN = span("GET /x", "server", "run", request_id="a")


@pytest.fixture
def recorded(tmp_path: Path) -> Callable[..., Recorded]:
    """A recording of these exchanges and spans; `lost` spans of it are missing."""
    made: list[Path] = []

    def write(exchanges: list[Exchange], spans: list[Span] | None = None, lost: int = 0) -> Recorded:
        folder = tmp_path / str(len(made))
        made.append(folder)
        (folder / form.BODIES).mkdir(parents=True)
        (folder / form.REQUESTS).write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in exchanges))
        (folder / form.SPANS).write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in spans or [RUN]))
        about = version.mark() | {"at": START, "ended": "off"} | ({"spans_lost": lost} if lost else {})
        recordings.write_about(folder, about)
        return Recorded(folder)

    return write


def compared(was: Recorded, now: Recorded, only: set[str] | None = None) -> dict[str, Compared]:
    sent = {exchange.id for exchange in was.exchanges}
    return {one.id: one for one in compare(was, now, Aligned(START), {"GET /x": "waste/get_x"}, sent, only)}


def events(*blocks: dict[str, Any], kind: str = "progress") -> bytes:
    return b"".join(f"event: {kind}\ndata: {json.dumps(block)}\n\n".encode() for block in blocks)


@pytest.mark.parametrize(
    ("was", "now", "found"),
    [
        ({}, {"status": 404}, [Difference("status", 200, 404)]),
        (
            {"content": b'{"a": 1}'},
            {"content": b"gone", "headers": [("content-type", "text/plain")]},
            [Difference("body", {"a": 1}, "gone")],
        ),
        ({"content": b'{"a": 1}'}, {"content": b'{"a": 2}'}, [Difference("body.a", 1, 2)]),
        ({"content": b"[1"}, {"content": b"[2"}, [Difference("body", "[1", "[2")]),
        ({"headers": [JSON, ("allow", "GET")]}, {}, [Difference("header.allow", "GET", "(nothing)")]),
        ({}, {"headers": [JSON, ("location", "/y")]}, [Difference("header.location", "(nothing)", "/y")]),
        ({"headers": [JSON, ("date", "today")]}, {}, []),  # no promise
        ({"content": f'{{"id": "{NEW}"}}'.encode()}, {"content": f'{{"id": "{OTHER}"}}'.encode()}, []),
        ({"content": b'{"traceback": "/here"}'}, {"content": b'{"traceback": "/there"}'}, []),
        # Who was not told to the end knows nothing of it; its status was there before.
        ({"content": b'{"a": 1}', "ended": "left"}, {"content": b'{"a": 2}'}, []),
        ({"ended": "left"}, {"status": 500}, [Difference("status", 200, 500)]),
        # What is kept in part is compared by its size and hash.
        (
            {"body": Body(9, "begin", hash="x", cut=True)},
            {"body": Body(9, "begin", hash="y", cut=True)},
            [Difference("body", "9 bytes", "9 bytes, or others")],
        ),
        ({"body": Body(9, "begin", hash="x", cut=True)}, {"body": Body(9, "other", hash="x", cut=True)}, []),
        (
            {"body": Body(5, "whole")},
            {"body": Body(9, "begin", hash="y", cut=True)},
            [Difference("body", "5 bytes", "9 bytes, or others")],
        ),
        (
            {"body": Body(9, "begin", hash="y", cut=True)},
            {"body": Body(5, "whole")},
            [Difference("body", "9 bytes", "5 bytes, or others")],
        ),
        *(
            (
                {"content": json.dumps({"a": one}).encode()},
                {"content": json.dumps({"a": two}).encode()},
                [Difference("body.a", one, two)],
            )
            for one, two in itertools.permutations([{"b": 1}, [1], "1", 1, None], 2)
        ),
        # Of a stream only how it ended.
        (
            {"headers": [STREAM], "content": events({"part": 1}, {"part": 9})},
            {"headers": [STREAM], "content": events({"part": 9})},
            [],
        ),
        (
            {"headers": [STREAM], "content": events({"part": 1}, {"part": 9})},
            {"headers": [STREAM], "content": events({"part": 1}, {"part": 8}) + b": still here\n\n"},
            [Difference("body.last_event.data.part", 9, 8)],
        ),
        (
            {"headers": [STREAM], "content": events({"part": 9}, kind="done")},
            {"headers": [STREAM], "content": events({"part": 9}, kind="failed")},
            [Difference("body.last_event.event", "done", "failed")],
        ),
        (
            {"headers": [STREAM], "content": b"data: two\ndata:  lines\n\n"},
            {"headers": [STREAM]},
            [Difference("body.last_event.data", "two lines", "(nothing)")],
        ),
        (
            {"headers": [STREAM], "content": events({"part": 9}) + b"event: done\n\n"},
            {"headers": [STREAM], "content": events({"part": 9}) + b"event: failed\n\n"},
            [Difference("body.last_event.event", "done", "failed")],
        ),
        ({"headers": [STREAM], "content": events({"part": 1}), "ended": "left"}, {"headers": [STREAM]}, []),
    ],
)
def test_an_answer_is_compared_by_what_it_promises(
    recorded: Callable[..., Recorded], was: dict[str, Any], now: dict[str, Any], found: list[Difference]
) -> None:
    assert compared(recorded([asked(**was)]), recorded([asked(**now)]))["a"].differences == found


def test_a_body_that_is_no_text_is_compared_by_its_hash(recorded: Callable[..., Recorded]) -> None:
    def photo(content: bytes) -> Recorded:
        name = hashlib.sha256(content).hexdigest()
        made = recorded([asked(body=Body(len(content), file=name))])
        (made.folder / form.BODIES / name).write_bytes(content)
        return made

    one, other = b"\xff\xd8one", b"\xff\xd8other"
    assert compared(photo(one), photo(one))["a"].differences == []
    assert compared(photo(one), photo(other))["a"].differences == [
        Difference(
            "body",
            f"5 bytes, {hashlib.sha256(one).hexdigest()}",
            f"7 bytes, {hashlib.sha256(other).hexdigest()}",
        )
    ]


SQL = span("SELECT 1", "sql", parent="run")


@pytest.mark.parametrize(
    ("was", "now", "found"),
    [
        ([SQL], [], [Difference("sql GET /x", ["SELECT 1"], [])]),
        ([SQL], [SQL, SQL], [Difference("sql GET /x", [], ["SELECT 1"])]),
        ([SQL, span("SELECT 2", "sql", parent="run")], [span("SELECT 2", "sql", parent="run"), SQL], []),
        # A span between the run and its statement; what the runtime does for itself is under no run.
        (
            [],
            [span("COMMIT unit", "unit", "unit", "run"), span("SELECT 3", "sql", parent="unit")],
            [Difference("sql GET /x", [], ["SELECT 3"])],
        ),
        ([], [span("DELETE", "sql")], []),
        ([], [span("GET /guides", "server", "other", "run")], []),  # a service that was asked: no task
        ([], [span("waste/settled", "result", "s"), span("DELETE", "sql", parent="s")], []),
        ([span("storage/act", "enqueue")], [], [Difference("tasks", ["sent storage/act"], [])]),
        (
            [span("storage/act", "task")],
            [span("storage/act", "task", error="internal", status="failed")],
            [Difference("tasks", ["storage/act: success"], ["storage/act: internal"])],
        ),
        (
            [span("storage/act", "task", status="late")],
            [span("storage/act", "task")],
            [Difference("tasks", ["storage/act: late"], ["storage/act: success"])],
        ),
        ([], [span("PUT photos/x", "s3", parent="run")], [Difference("objects GET /x", [], ["PUT photos/x"])]),
        ([], [span("PUT photos/x", "s3")], [Difference("objects", [], ["PUT photos/x"])]),
        ([span(f"PUT photos/{NEW}", "s3", parent="run")], [span(f"PUT photos/{OTHER}", "s3", parent="run")], []),
    ],
)
def test_what_a_request_set_going_is_compared_as_sets(
    recorded: Callable[..., Recorded], was: list[Span], now: list[Span], found: list[Difference]
) -> None:
    assert compared(recorded([asked()], [RUN, *was]), recorded([asked()], [RUN, *now]))["a"].differences == found


@pytest.mark.parametrize("lost", [(1, 0), (0, 1)])
def test_no_statements_are_compared_where_spans_of_one_are_missing(
    recorded: Callable[..., Recorded], lost: tuple[int, int]
) -> None:
    was, now = recorded([asked()], [RUN, SQL], lost[0]), recorded([asked(status=404)], [RUN], lost[1])
    assert (was.lost, now.lost) == (bool(lost[0]), bool(lost[1]))
    assert compared(was, now)["a"].differences == [Difference("status", 200, 404)]


def test_nor_are_those_of_a_stream_which_looks_as_often_as_it_lives(recorded: Callable[..., Recorded]) -> None:
    stream = asked(headers=[STREAM])
    assert compared(recorded([stream], [RUN, SQL]), recorded([stream], [RUN]))["a"].differences == []


def test_of_what_read_while_work_was_under_way_only_the_status_counts_and_its_ids_are_learnt(
    recorded: Callable[..., Recorded],
) -> None:
    def day(seen: str, then: str, number: int, status: int, *did: Span) -> Recorded:
        read = asked("a", at=START + 0.1, status=status, content=f'{{"id": "{seen}", "n": {number}}}'.encode())
        stream = asked("s", at=START + 0.1, headers=[STREAM], content=events({"n": 0}))
        later = asked("later", at=START + 9, content=f'{{"id": "{then}"}}'.encode())
        return recorded([asked("post", "POST"), read, stream, later], [RUN, *did])

    was = day(NEW, NEW, 1, 200, SQL)
    assert [(one.id, one.raced, one.differences) for one in compared(was, day(OTHER, OTHER, 2, 404)).values()] == [
        ("post", False, []),
        ("a", True, [Difference("status", 200, 404)]),
        ("s", False, []),
        ("later", False, []),
    ]
    third = "01a224f0-2222-7aaa-b8d1-5d5171c46dc3"
    assert compared(was, day(OTHER, third, 1, 200))["later"].differences == [Difference("body.id", NEW, third)]


def test_a_request_is_compared_once_it_was_sent_alone_where_wanted_and_told_with_its_function_and_times(
    recorded: Callable[..., Recorded],
) -> None:
    was = recorded([asked("a", seconds=0.25), asked("b"), asked("c"), asked("o", to="s3"), asked("gone")])
    now = recorded([asked("a", seconds=0.75, status=404), asked("b", status=404), asked("c"), asked("o", to="s3")])
    found = compared(was, now)
    assert {id_: one.function for id_, one in found.items()} == {
        "a": "waste/get_x",
        "b": "gateway",
        "c": "gateway",
        "o": "object store",
        "gone": "gateway",
    }
    assert (found["a"].was, found["a"].now, found["a"].method, found["a"].path) == (0.25, 0.75, "GET", "/a")
    assert (found["gone"].now, found["gone"].differences) == (0.0, [Difference("status", 200, "(nothing)")])
    assert was.function(was.exchanges[0], {}) == "GET /x", "one that is not known by name is told by its route"
    assert set(compared(was, now, only={"b"})) == {"b"}
    assert [one.id for one in compare(was, now, Aligned(START), {}, {"c"})] == ["c"]


def test_what_one_request_was_answered_may_not_be_another_id_in_the_next(recorded: Callable[..., Recorded]) -> None:
    def day(first: str, second: str) -> Recorded:
        return recorded(
            [asked("a", content=json.dumps(first).encode()), asked("b", content=json.dumps(second).encode())]
        )

    found = compared(day(TOKEN, TOKEN), day(TOKEN[::-1], f"{TOKEN[::-1][:-1]}Q"))
    assert [bool(one.differences) for one in found.values()] == [False, True]
