"""Spans become a timeline: rows below each other, what was waited for by name, failures where they are."""

from typing import Any

from emulator.dashboard.app import STATIC
from emulator.timeline import WAITS, Row, Timeline, build, of_task
from emulator.timeline_text import duration, lines

TRACE = "a" * 32


def span(id_: str, kind: str, name: str, at: float, ms: float, parent: str = "", **facts: Any) -> dict[str, Any]:
    """One span that begins `at` milliseconds after noon."""
    service = facts.pop("service", "waste")
    return {
        "trace": TRACE,
        "id": id_,
        "parent": parent,
        "service": service,
        "name": name,
        "kind": kind,
        "start": 43200 + at / 1000,
        "ms": ms,
        "attributes": facts,
    }


REQUEST = [
    span("g", "gateway", "POST → api-waste", 0, 30, status=202, request_id="r1", request_body='{"a":1}', path="/x"),
    span("s", "server", "POST /x", 1, 28, "g", status=202, path="/x", request_id="r1"),
    span("w", "wait", "database", 2, 12, "s"),
    span("q", "sql", "SELECT 1", 14, 3, "s"),
    span("e", "enqueue", "ai/look", 20, 0, "s", task="t1", subject="u1"),
]


def attempt(number: int, at: float, **ended: Any) -> list[dict[str, Any]]:
    return [
        span(f"p{number}", "publish", "ai/look", at, 0, "s", task="t1", attempt=number),
        span(f"j{number}", "journal", "look", at + 50, 0, "s", task="t1", status="pending", service="ai"),
        span(f"r{number}", "task", "ai/look", at + 60, 40, "s", task="t1", run=1, service="ai", **ended),
    ]


def shown(timeline: Timeline) -> list[tuple[int, str, str]]:
    return [(row.depth, row.kind, row.name) for row in timeline.rows]


def find(timeline: Timeline, kind: str, name: str) -> Row:
    (found,) = [row for row in timeline.rows if (row.kind, row.name) == (kind, name)]
    return found


def test_what_a_function_did_is_below_it_and_its_waiting_for_a_connection_has_a_name() -> None:
    timeline = build(REQUEST)
    assert shown(timeline)[:4] == [
        (0, "gateway", "POST → api-waste"),
        (1, "server", "POST /x"),
        (2, "gap", "database"),
        (2, "sql", "SELECT 1"),
    ]
    assert (timeline.title, timeline.status, timeline.failed) == ("POST /x", 202, False)
    assert timeline.ids == {"request_id": ["r1"], "task": ["t1"], "subject": ["u1"]}
    assert timeline.rows[0].texts == {"request_body": '{"a":1}'}


def test_a_tasks_attempts_and_runs_are_rows_with_what_was_waited_for_between_them() -> None:
    put_off = {"status": "put off", "error": "Unavailable", "said": "The objects is away"}
    spans = [*REQUEST, *attempt(1, 100, **put_off), *attempt(2, 900, status="success")]
    timeline = build(spans)
    of_task = [(kind, name) for depth, kind, name in shown(timeline) if depth > 2]
    assert of_task == [
        ("enqueue", "ai/look"),
        ("gap", "lease"),
        ("attempt", "1"),
        ("gap", "queue"),
        ("journal", "look"),
        ("gap", "thread"),
        ("run", "1"),
        ("gap", "attempt"),
        ("attempt", "2"),
        ("gap", "queue"),
        ("journal", "look"),
        ("gap", "thread"),
        ("run", "1"),
    ]
    assert find(timeline, "gap", "lease").ms == 80
    assert find(timeline, "gap", "attempt").ms == 700
    task = find(timeline, "task", "ai/look")
    assert (task.state, task.ms, task.facts["task"]) == ("", 980, "t1")
    assert [row.state for row in timeline.rows if row.kind == "run"] == ["again", ""]
    assert not timeline.failed


def test_one_task_alone_has_a_scale_of_its_own_and_not_the_tasks_that_it_set_going() -> None:
    result = span("o", "result", "waste/looked", 250, 20, "s", task="t1")
    next_ = span("n", "enqueue", "ai/tell", 260, 0, "o", task="t2")
    later = span("m", "publish", "ai/tell", 900, 0, "o", task="t2", attempt=1)
    timeline = build([*REQUEST, *attempt(1, 100, status="success"), result, next_, later])
    alone = of_task(timeline, "t1")
    assert [(row.depth, row.kind) for row in alone.rows if row.kind != "gap"] == [
        (0, "task"),
        (1, "enqueue"),
        (1, "attempt"),
        (2, "journal"),
        (2, "run"),
        (1, "result"),
    ]
    assert (alone.rows[0].at, alone.ms) == (0, 250)
    assert [row.name for row in of_task(timeline, "t2").rows if row.kind != "gap"] == ["ai/tell", "ai/tell", "1"]
    assert of_task(timeline, "t3").rows == []


def test_a_task_that_failed_is_red_and_the_request_that_accepted_it_is_not() -> None:
    timeline = build([*REQUEST, *attempt(1, 100, status="failure", error="internal", said="Something went wrong")])
    assert timeline.failed
    assert [(row.kind, row.name) for row in timeline.rows if row.state == "failed"] == [
        ("task", "ai/look"),
        ("run", "1"),
    ]
    assert "internal: Something went wrong" in find(timeline, "task", "ai/look").note


def test_a_statements_error_that_its_function_foresaw_is_no_failure() -> None:
    def made(status: int) -> Timeline:
        server = span("s", "server", "POST /y", 0, 10, status=status, path="/y", request_id="r2")
        return build([server, span("q", "sql", "INSERT", 1, 2, "s", error="UniqueViolation", said="duplicate key")])

    assert [row.state for row in made(409).rows if row.kind == "sql"] == ["refused"]
    assert not made(409).failed
    assert [row.state for row in made(500).rows if row.kind == "sql"] == ["failed"]


def test_a_span_whose_parent_was_lost_is_kept_below_the_request() -> None:
    timeline = build([*REQUEST, span("x", "sql", "SELECT 2", 25, 1, "lost")])
    assert (1, "sql", "SELECT 2") in shown(timeline)


def test_what_took_long_and_said_nothing_is_named_too() -> None:
    server = span("s", "server", "GET /z", 0, 100, status=200, path="/z")
    timeline = build([server, span("q", "sql", "SELECT 3", 70, 5, "s")])
    gaps = [(row.at, row.ms) for row in timeline.rows if row.kind == "gap"]
    assert gaps == [(0, 70), (75, 25)]


def test_an_event_stream_waits_and_does_not_work() -> None:
    server = span("s", "server", "GET /z/{id}/events", 0, 100, status=200, path="/z/1/events")
    timeline = build([server, span("q", "sql", "SELECT 3", 70, 5, "s")])
    assert [row.name for row in timeline.rows if row.kind == "gap"] == ["events", "events"]


def test_without_spans_there_is_nothing() -> None:
    assert build([]).rows == []


def test_the_terminal_shows_the_same_rows_with_marks_stacks_and_bodies() -> None:
    stack = "Traceback (most recent call last):\n" + "\n".join(f"line {n}" for n in range(100)) + "\nKeyError: 'x'"
    log = span("l", "log", "it broke", 26, 0, "s", level="error", stack=stack, source="> 12 here")
    timeline = build([*REQUEST, log, *attempt(1, 100, status="failure", error="internal")])
    text = list(lines(timeline, 120))
    whole = "\n".join(text)
    assert "POST /x → 202" in text[0]
    assert "FAILED" in text[0]
    for wanted in (
        "waiting for a database connection",
        "waiting in the queue",
        "KeyError: 'x'",
        "> 12 here",
        "request r1",
    ):
        assert wanted in whole or wanted.replace(" ", "  ") in whole, wanted
    assert "line 3\n" not in whole, "a long stack is cut at its beginning"
    assert any(line.endswith("✗ waste error: it broke") for line in text)
    assert all(len(line) <= 120 for line in text if "█" in line or "░" in line)
    assert "\x1b" not in whole
    assert "\x1b[31m" in "\n".join(lines(timeline, 120, colour=True))


def test_times_are_said_as_people_say_them() -> None:
    assert [duration(ms) for ms in (0.25, 42, 1500, 250_000)] == ["0.2 ms", "42 ms", "1.50 s", "4 min 10 s"]


def test_each_thing_that_is_waited_for_has_words_in_both_languages() -> None:
    words = (STATIC / "words.js").read_text(encoding="utf-8")
    assert [name for name in WAITS if words.count(f" gap_{name}: ") != 2] == []


def test_a_wait_for_a_lock_says_who_holds_it_and_where_that_is_seen() -> None:
    said = {"said": "api-waste: UPDATE analyses", "holder": "b" * 32}
    timeline = build([*REQUEST, span("l", "wait", "lock", 14.5, 2, "q", **said)])
    assert find(timeline, "gap", "lock").depth == find(timeline, "sql", "SELECT 1").depth + 1
    assert "┄ waiting for a lock held by api-waste: UPDATE analyses (trace bbbbbbbb)" in "\n".join(lines(timeline, 200))
