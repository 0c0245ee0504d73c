"""What a recording keeps of an exchange, in which order it is read, and what came before what in it"""

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from emulator.process import CalledWrongly, StartError
from emulator.recording import folder as recordings
from emulator.recording import form
from emulator.recording.form import Answer, Body, Exchange, Log, Span
from emulator.recording.opened import mark_open, open_one
from emulator.recording.order import Order, is_run, person_of, sets_going
from emulator.state import version
from emulator.state.folder import State

BINARY = b"\xff\xd8" * 9


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / form.BODIES).mkdir()
    return tmp_path


@pytest.fixture
def log(folder: Path) -> Iterator[Log]:
    made = Log(folder)
    yield made
    made.close()


def exchange(id_: str, at: float = 0.0, method: str = "GET", seconds: float = 1.0, **more: Any) -> Exchange:
    answer = Answer(200, more.pop("answered", []), Body(), seconds)
    values: dict[str, Any] = {
        "to": "gateway",
        "path": "/x",
        "headers": [],
        "body": Body(),
        "trace": f"trace-{id_}",
        "answer": answer,
    }
    return Exchange(id=id_, at=at, method=method, **(values | more))


@pytest.mark.parametrize(
    "content", [b"", b"a text", "한글".encode(), b"x" * (16 * 1024)], ids=["none", "text", "korean", "long"]
)
def test_a_short_text_is_kept_in_its_line(log: Log, folder: Path, content: bytes) -> None:
    body = log.keep(content)
    assert body == Body(size=len(content), text=content.decode())
    assert form.content_of(folder, body) == content
    assert form.content_of(folder, Body()) == b""
    assert list((folder / form.BODIES).iterdir()) == []


@pytest.mark.parametrize("content", [BINARY, b"x" * (16 * 1024 + 1)], ids=["binary", "longer"])
def test_what_is_binary_or_long_is_a_file_of_its_own_once(log: Log, folder: Path, content: bytes) -> None:
    bodies = [log.keep(content) for _ in range(2)]
    name = hashlib.sha256(content).hexdigest()
    assert bodies == [Body(size=len(content), file=name)] * 2
    assert form.content_of(folder, bodies[0]) == content
    assert [path.name for path in (folder / form.BODIES).iterdir()] == [name]


def test_of_what_was_cut_the_size_and_the_hash_are_the_whole_s(log: Log) -> None:
    assert log.keep(b"begin", 9, "hash") == Body(size=9, text="begin", hash="hash", cut=True)
    assert log.keep(b"whole", 5, "hash") == Body(size=5, text="whole")


def test_a_recording_that_is_full_takes_no_more(log: Log, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log.write(exchange("one"))
    size = (folder / form.REQUESTS).stat().st_size
    monkeypatch.setattr(form, "LARGEST", 2 * size + len(BINARY))
    log.write(exchange("two"))
    log.keep(BINARY)
    log.write(exchange("six"))
    assert [one.id for one in form.read_exchanges(folder)] == ["one", "two"]
    assert (folder / form.REQUESTS).stat().st_mode & 0o777 == 0o600


def test_exchanges_are_read_as_they_began_and_an_id_that_came_twice_is_told_apart(log: Log, folder: Path) -> None:
    written = [exchange("b", 2.0), exchange("a", 1.0), exchange("b", 3.0), exchange("b", 4.0)]
    for one in written:
        log.write(one)
    with (folder / form.REQUESTS).open("ab") as file:
        file.write(b'\n{"half": ')
    found = form.read_exchanges(folder)
    assert [(one.id, one.given_id, one.at) for one in found] == [
        ("a", "a", 1.0),
        ("b", "b", 2.0),
        ("b~2", "b", 3.0),
        ("b~3", "b", 4.0),
    ]
    assert msgspec.structs.replace(found[0], id="a") == written[1]


def test_spans_are_read_by_their_trace_and_a_recording_without_any_has_none(folder: Path) -> None:
    assert form.read_spans(folder) == {}
    spans = [span("one", "a", 0.0, 1.0), span("two", "b", 0.0, 1.0), span("one", "c", 0.0, 1.0)]
    (folder / form.SPANS).write_bytes(b"\n".join(map(msgspec.json.encode, spans)) + b"\nno span\n")
    assert form.read_spans(folder) == {"one": [spans[0], spans[2]], "two": [spans[1]]}


def test_an_exchange_ends_when_its_answer_does_and_knows_its_headers() -> None:
    one = exchange("a", 5.0, seconds=2.5, headers=[("accept", "x"), ("accept", "y")])
    assert (one.end, one.header("accept"), one.header("range")) == (7.5, "x", "")
    assert not one.is_stream
    assert not exchange("c", answered=[("x-was", "text/event-stream")]).is_stream
    assert exchange("b", answered=[("content-type", "text/event-stream; charset=utf-8")]).is_stream


def span(
    trace: str, service: str, start: float, ms: float, kind: str = "server", name: str = "run", **about: Any
) -> Span:
    return Span(trace, "id", "", service, name, kind, start, ms, about)


@pytest.mark.parametrize(
    ("kind", "name", "runs"),
    [
        ("server", "GET /x", True),
        ("task", "storage/act", True),
        ("result", "waste/done", True),
        ("result", "waste/settled", False),
        ("sql", "SELECT", False),
        ("gateway", "GET", False),
    ],
)
def test_only_a_function_s_run_is_one(kind: str, name: str, runs: bool) -> None:
    assert is_run(span("trace", "waste", 0, 1, kind, name)) is runs


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("GET", False),
        ("HEAD", False),
        ("OPTIONS", False),
        ("POST", True),
        ("PUT", True),
        ("PATCH", True),
        ("DELETE", True),
    ],
)
def test_only_what_may_change_something_sets_work_going(method: str, changes: bool) -> None:
    assert sets_going(exchange("a", method=method)) is changes


def token(claims: Any) -> str:
    part = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"head.{part}.signature"


@pytest.mark.parametrize(
    ("authorization", "person"),
    [
        (f"Bearer {token({'sub': 'mina'})}", "mina"),
        (f"bearer {token({'sub': 'mina', 'a': 1})}", "mina"),
        (f"Basic {token({'sub': 'mina'})}", ""),
        (f"Bearer {token({})}", ""),
        (f"Bearer {token([1])}", ""),
        ("Bearer a", ""),
        (f"Bearer {token({'sub': 'mina'})}.more", ""),
        ("Bearer a.!.c", ""),
        ("", ""),
    ],
)
def test_who_asked_is_in_the_token(authorization: str, person: str) -> None:
    assert person_of(exchange("a", headers=[("authorization", authorization)])) == person


def as_(person: str, id_: str, at: float, method: str = "GET", **more: Any) -> Exchange:
    return exchange(id_, at, method, headers=[("authorization", f"Bearer {token({'sub': person})}")], **more)


@pytest.mark.parametrize(
    ("read_at", "person", "service", "raced"),
    [
        (0.5, "mina", "waste", True),  # while it was answered
        (1.5, "mina", "waste", True),  # answered, and its result was still being written
        (3.0, "mina", "waste", False),  # it has ended in its service
        (3.0, "mina", None, True),  # of whose service nothing is known: of all of them
        (5.0, "mina", None, False),
        (1.5, "mina", "auth", False),  # of another's tables
        (1.5, "jun", "waste", False),
        (-1.0, "mina", "waste", False),
        (0.0, "mina", "waste", False),  # at the same moment, and not behind it
    ],
)
def test_who_reads_while_their_own_work_is_under_way_sees_what_is_a_matter_of_moments(
    read_at: float, person: str, service: str | None, raced: bool
) -> None:
    change, read = as_("mina", "change", 0.0, "POST"), as_(person, "read", read_at, seconds=0.1)
    spans = {
        change.trace: [
            span(change.trace, "waste", 0.0, 900, request_id="change"),
            span(change.trace, "waste", 1.0, 2000, "result"),
            span(change.trace, "storage", 1.0, 4000, "task"),
            span(change.trace, "waste", 1.0, 9000, "result", "waste/settled"),
            span(change.trace, "auth", 0.0, 50, request_id="of a call to another service"),
            span(change.trace, "auth", 0.0, 50, "sql", request_id="change"),
        ],
        read.trace: [
            span(read.trace, "recycle_info", read_at, 50, "task", request_id="read"),
            *([span(read.trace, service, read_at, 50, request_id="read")] if service else []),
            span(read.trace, "storage", read_at, 50, request_id="of a call to another service"),
        ],
    }
    order = Order([change, read], spans)
    assert order.raced(read) is raced
    assert not order.raced(change), "what changes something is compared whole"


def about(folder: Path, at: float, **more: Any) -> Path:
    recordings.write_about(folder, version.mark() | {"at": at, "ended": "open"} | more)
    return folder


def test_recordings_are_begun_once_found_by_name_and_listed_newest_first(tmp_path: Path) -> None:
    state = State(tmp_path)
    first, second, damaged = (recordings.begin(state, name) for name in ("first", "second", "damaged"))
    about(first, 1.0)
    about(second, 2.0)
    assert damaged.stat().st_mode & 0o777 == recordings.home(state).stat().st_mode & 0o777 == 0o700
    with pytest.raises(StartError, match="there is a recording first already"):
        recordings.begin(state, "first")
    assert recordings.find(state, "second") == second
    with pytest.raises(StartError, match="there is no recording secon"):
        recordings.find(state, "secon")
    with pytest.raises(CalledWrongly, match="can't be a recording's name"):
        recordings.find(state, "../first")
    found = recordings.every(state)
    assert [(one["name"], one.get("damaged", False)) for one in found] == [
        ("second", False),
        ("first", False),
        ("damaged", True),
    ]
    mark_open(state, first, requests=True)
    with pytest.raises(StartError, match="the recording first is still open; `eco2 record off` ends it"):
        recordings.delete(state, "first")
    mark_open(state, second, requests=True)
    recordings.delete(state, "first")
    assert not first.exists()
    assert (second / form.BODIES).is_dir()
    about(second, 3.0, format=version.FORMAT + 1)
    with pytest.raises(StartError, match=r"the recording second was made by a newer Eco²"):
        recordings.read_about(second)


def test_which_recording_is_open_and_whether_it_takes_requests_is_said_to_every_process(tmp_path: Path) -> None:
    state, folder = State(tmp_path), tmp_path / "one"
    assert open_one(state) is None
    mark_open(state, folder, requests=True)
    assert open_one(state) is None, "its folder is gone"
    folder.mkdir()
    assert open_one(state) == open_one(state, requests=True) == folder
    mark_open(state, folder, requests=False)
    assert (open_one(state), open_one(state, requests=True)) == (folder, None)


def test_a_recording_that_has_ended_vouches_for_its_files_and_one_that_is_open_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = about(recordings.begin(State(tmp_path), "one"), 1.0)
    (made / form.SNAPSHOT).mkdir()
    (made / form.SNAPSHOT / "large").write_bytes(bytes(5000))
    log = Log(made)
    log.write(exchange("a"))
    log.close()
    with pytest.raises(StartError, match="is still open"):
        recordings.check(made)
    ended = recordings.finish(made, "off", 9.0)
    assert (ended["ended"], ended["until"], ended["requests"]) == ("off", 9.0, 1)
    assert ended["bytes"] >= 5000
    assert recordings.check(made) == ended
    (made / form.REQUESTS).write_text("")
    with pytest.raises(StartError, match=r"the recording one is damaged: .*requests.jsonl"):
        recordings.check(made)
    about(made, 1.0)
    monkeypatch.setattr(form, "LARGEST", 5000)
    assert recordings.finish(made, "off", 9.0)["ended"] == "off", "a snapshot does not count"
    monkeypatch.setattr(form, "LARGEST", 10)
    assert recordings.finish(made, "off", 9.0)["ended"] == "full"
