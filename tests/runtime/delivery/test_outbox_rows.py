"""What each of the relay's statements makes of a row: every column, of rows just inside and just outside of what it is for"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from runtime.delivery import outbox
from runtime.delivery.outbox import Row
from shared.wake import HANDED

Columns = dict[str, Any]
Connection = psycopg.Connection[Any]

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
ALLOWANCE, LONGEST = timedelta(seconds=30), timedelta(minutes=15)
ROW: Columns = {
    "actor": "storage/act",
    "message": '{"a": 1}',
    "reply": "waste/done",
    "subject": UUID(int=7),
    "traceparent": "trace",
    "created_at": NOW - HOUR,
    "due_at": NOW,
    "time_limit": MINUTE,
    "attempts": 0,
    "retries": 2,
    "published_to": None,
    "person": "person",
}


@pytest.fixture
def conn(environment: dict[str, str]) -> Iterator[Connection]:
    """The outbox of a service, empty; nothing of what a test does there stays."""
    with psycopg.connect(environment["API_RECYCLE_DB_URL"]) as made:
        for table in ("outbox", "failed_tasks", "schedule_slots", "idempotency"):
            made.execute(f"DELETE FROM {table}")
        yield made
        made.rollback()


def put(conn: Connection, *rows: Columns) -> None:
    """Rows with the ids 1, 2 and so on, each like `ROW` but for what is given."""
    for number, row in enumerate(rows, 1):
        whole = {"id": UUID(int=number)} | ROW | row
        places = ", ".join(f"%({name})s" for name in whole)
        conn.execute(f"INSERT INTO outbox ({', '.join(whole)}) VALUES ({places})", whole)


def rows(conn: Connection) -> list[Columns]:
    with conn.cursor(row_factory=dict_row) as cursor:
        query = "SELECT *, message::text AS message FROM outbox ORDER BY id"
        return [{name: row[name] for name in ROW} for row in cursor.execute(query)]


def taken(conn: Connection, **options: Any) -> list[int]:
    return [row.id.int for row in outbox.take(conn, NOW, "life", **options)]


@pytest.mark.parametrize(
    ("attempts", "limit", "wait"),
    [
        (0, MINUTE, MINUTE + ALLOWANCE),
        (1, MINUTE, 2 * (MINUTE + ALLOWANCE)),
        (3, MINUTE, 8 * (MINUTE + ALLOWANCE)),
        (4, MINUTE, LONGEST),
        (1000, MINUTE, LONGEST),
        (0, HOUR, HOUR + ALLOWANCE),
        (5, HOUR, HOUR + ALLOWANCE),
    ],
)
def test_what_is_taken_is_due_again_when_its_answer_is_overdue(
    conn: Connection, attempts: int, limit: timedelta, wait: timedelta
) -> None:
    before = ROW | {"attempts": attempts, "time_limit": limit}
    put(conn, before)
    [row] = outbox.take(conn, NOW, "life")
    named = {name: before[name] for name in ("actor", "message", "reply", "subject", "traceparent", "created_at")}
    assert row == Row(
        id=UUID(int=1), **named, time_limit=limit, person="person", attempts=attempts + 1, retries=2, late=False
    )
    assert rows(conn) == [before | {"attempts": attempts + 1, "published_to": "life", "due_at": NOW + wait}]


def test_what_is_due_is_taken_and_is_late_when_it_has_been_for_a_while(conn: Connection) -> None:
    fresh = timedelta(seconds=15)
    put(
        conn, *({"due_at": due} for due in (NOW - fresh - SECOND, NOW - fresh, NOW - fresh + SECOND, NOW, NOW + SECOND))
    )
    found = outbox.take(conn, NOW, "life")
    assert sorted((row.id.int, row.late) for row in found) == [(1, True), (2, True), (3, False), (4, False)]


def test_people_are_taken_in_turn_and_each_one_s_as_they_are_due(conn: Connection) -> None:
    persons = ("one", "one", "one", "other", None)
    put(conn, *({"person": person, "due_at": NOW - (9 - number) * SECOND} for number, person in enumerate(persons)))
    assert taken(conn) == [1, 4, 5, 2, 3]


def test_whichever_function_works_on_it_each_person_s_first_comes_first(conn: Connection) -> None:
    put(conn, *({"actor": actor} for actor in ("ai/act", "ai/act", "waste/act")))
    assert taken(conn)[2] == 2


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({}, []),
        ({"closed": ["storage"]}, ["new"]),
        ({"closed_late": ["storage"]}, ["late"]),
        ({"closed": ["storage.bulk"]}, []),
        ({"closed": ["storage.bulk"], "bulk": ["storage/act"]}, ["new"]),
        ({"closed_late": ["storage.bulk"], "bulk": ["storage/act"]}, ["late"]),
        ({"closed": ["storage"], "bulk": ["storage/act"]}, []),
        ({"disabled": ["storage/act"]}, ["late", "new"]),
        ({"disabled": ["storage/other"]}, []),
    ],
    ids=str,
)
def test_what_has_no_room_and_what_is_off_is_left(conn: Connection, options: Columns, left: list[str]) -> None:
    put(conn, {"due_at": NOW - MINUTE}, {}, *({"actor": f"{queue}/act"} for queue in ("ai", "auth", "waste")))
    names = {1: "late", 2: "new", 3: "before it", 4: "in between", 5: "behind it"}
    assert sorted(names[number] for number in set(names) - set(taken(conn, **options))) == left


@pytest.mark.parametrize(("attempts", "fewer"), [(3, 2), (1, 0), (0, 0)])
def test_what_is_given_back_is_as_if_it_had_not_been_taken(conn: Connection, attempts: int, fewer: int) -> None:
    published = ROW | {"attempts": attempts, "published_to": "life", "due_at": NOW + HOUR}
    put(conn, published, published)
    outbox.give_back(conn, [UUID(int=1)])
    given_back = {"attempts": fewer, "published_to": None, "due_at": ROW["created_at"]}
    assert rows(conn) == [published | given_back, published]


def test_what_was_handed_over_is_confirmed_once_and_what_an_operator_moved_is_left(conn: Connection) -> None:
    handed = ROW | {"due_at": ROW["created_at"] + HANDED}
    others = [handed | {"attempts": 1}, handed | {"due_at": NOW}, handed]
    put(conn, handed, *others)
    outbox.confirm(conn, "life", [UUID(int=number) for number in (1, 2, 3)])
    due = ROW["created_at"] + MINUTE + ALLOWANCE
    assert rows(conn) == [handed | {"attempts": 1, "published_to": "life", "due_at": due}, *others]


@pytest.mark.parametrize(
    ("row", "mended"),
    [
        ({"created_at": NOW + HOUR, "due_at": NOW + HOUR + HANDED}, True),
        ({"created_at": NOW + HOUR, "due_at": NOW + HOUR + HANDED + SECOND}, False),
        ({"created_at": NOW - SECOND, "due_at": NOW + SECOND}, False),
        # Accepted behind `now` and before the look, on a machine that is late: its relay has been handed it.
        ({"created_at": NOW + HANDED, "due_at": NOW + 2 * HANDED}, False),
        ({"created_at": NOW + HANDED + SECOND, "due_at": NOW + 2 * HANDED + SECOND}, True),
        ({"attempts": 1, "due_at": NOW + LONGEST + ALLOWANCE + SECOND}, True),
        ({"attempts": 1, "due_at": NOW + LONGEST + ALLOWANCE}, False),
        ({"attempts": 1, "due_at": NOW + HOUR + 2 * ALLOWANCE + SECOND, "time_limit": HOUR}, True),
        ({"attempts": 1, "due_at": NOW + HOUR + 2 * ALLOWANCE, "time_limit": HOUR}, False),
    ],
    ids=str,
)
def test_only_times_that_no_right_clock_writes_are_mended(conn: Connection, row: Columns, mended: bool) -> None:
    put(conn, row)
    outbox.mend_times(conn, NOW)
    assert rows(conn) == [ROW | row | ({"due_at": NOW} if mended else {})]


@pytest.mark.parametrize(
    ("row", "lost"),
    [
        ({"published_to": "another"}, True),
        ({"published_to": "life"}, False),
        ({"published_to": None}, False),
        ({"published_to": "another", "due_at": NOW - HOUR}, False),
    ],
    ids=str,
)
def test_what_another_life_of_the_broker_had_is_due_now(conn: Connection, row: Columns, lost: bool) -> None:
    before = ROW | {"due_at": NOW + HOUR} | row
    put(conn, before)
    outbox.publish_lost(conn, NOW, "life")
    assert rows(conn) == [before | ({"due_at": NOW} if lost else {})]


@pytest.mark.parametrize(
    ("row", "parked"),
    [
        ({"actor": "storage/off"}, True),
        ({"reply": "storage/off"}, True),
        ({"reply": None}, False),
        ({"actor": "storage/off", "published_to": None}, False),
        ({"actor": "storage/off", "due_at": NOW - HOUR}, False),
    ],
    ids=str,
)
def test_what_was_parked_for_a_function_is_due_when_it_is_on_again(
    conn: Connection, row: Columns, parked: bool
) -> None:
    before = ROW | {"due_at": NOW + HOUR, "published_to": "life"} | row
    put(conn, before)
    outbox.publish_enabled(conn, NOW, ["storage/off"])
    assert rows(conn) == [before | ({"due_at": NOW} if parked else {})]


def sweep(conn: Connection, slot: int, number: int) -> None:
    outbox.insert_scheduled(conn, UUID(int=number), "waste/sweep", slot, NOW, MINUTE)


@pytest.mark.parametrize(
    ("slots", "accepted"),
    [
        ((7,), [7]),
        ((7, 7), [7]),
        ((7, 8), [7, 8]),
        ((7, 6), [7]),
        ((7, 5), [7, 5]),  # seven was a wrong clock's
    ],
)
def test_a_schedule_s_task_is_accepted_once_a_slot(
    conn: Connection, slots: tuple[int, ...], accepted: list[int]
) -> None:
    found = []
    for number, slot in enumerate(slots, 1):
        sweep(conn, slot, number)
        found += [slot] * conn.execute("DELETE FROM outbox").rowcount
    assert found == accepted
    assert conn.execute("SELECT name, slot FROM schedule_slots").fetchall() == [("sweep", accepted[-1])]


def test_a_schedule_s_task_is_whole_and_one_that_waits_counts_for_the_next_slots(conn: Connection) -> None:
    put(conn, {"actor": "waste/swee"}, {"actor": "waste/sweep_else"})
    for slot in (7, 8):
        sweep(conn, slot, slot)
    made = {"actor": "waste/sweep", "message": "{}", "subject": UUID(int=7), "created_at": NOW, "due_at": NOW}
    made |= {"reply": None, "traceparent": None, "retries": 0, "person": None}
    assert rows(conn)[2:] == [ROW | made]
    assert conn.execute("SELECT slot FROM schedule_slots").fetchall() == [(8,)]


def test_what_waits_is_counted_and_the_oldest_is_the_first_or_one_that_was_tried_often(conn: Connection) -> None:
    assert outbox.state(conn, NOW) == outbox.State(0, 0.0, 0)
    put(conn, {"created_at": NOW - 2 * SECOND}, {"attempts": 2}, {"attempts": 2})
    assert outbox.state(conn, NOW) == outbox.State(3, 2.0, 0)
    conn.execute("UPDATE outbox SET attempts = 3 WHERE id = %s", [UUID(int=3)])
    assert outbox.state(conn, NOW) == outbox.State(3, 3600.0, 1)
    conn.execute("UPDATE outbox SET attempts = 3, created_at = %s WHERE id = %s", [NOW - SECOND, UUID(int=2)])
    assert outbox.state(conn, NOW) == outbox.State(3, 3600.0, 2)


def test_keys_and_failures_are_swept_when_their_time_is_over(conn: Connection) -> None:
    row = "gen_random_uuid(), 'a/b', '{}', NULL, gen_random_uuid(), NULL, %(at)s, '1 s', 1, 0, NULL, NULL, %(at)s"
    for table, column, values, age in (
        ("idempotency", "created_at", "gen_random_uuid(), 'scope', 'key', '', 200, '{}', NULL, %(at)s", HOUR),
        ("failed_tasks", "failed_at", row, timedelta(days=7)),
    ):
        for at in (NOW - age - SECOND, NOW - age):
            conn.execute(f"INSERT INTO {table} VALUES ({values})", {"at": at})
        outbox.sweep(conn, NOW, HOUR)
        assert conn.execute(f"SELECT {column} FROM {table}").fetchall() == [(NOW - age,)], table
