"""The journal writes before the work and before the ack, once, in groups, and gives no one an answer while it can't."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runtime.journal import journal as journals
from runtime.journal import schema
from runtime.journal.file import JournalUnusable, open_file, written
from runtime.journal.journal import Journal
from runtime.journal.results import NotJson, checked_json
from runtime.journal.states import Ended, Start
from runtime.journal.writer import JournalClosed, Operation
from shared import clock
from shared.ids import new_id


def start(task_id: str | None = None, retries: int = 0) -> Start:
    return Start(task_id or str(new_id()), "act", str(new_id()), clock.now().isoformat(), retries)


def ended(begun: Start, status: str = "success", payload: str | None = None, error: str | None = None) -> Ended:
    return Ended(begun.task_id, begun.run_id, status, clock.now().isoformat(), "hash", '{"a": 1}', payload, error)  # type: ignore[arg-type]  # a test's own `str` as the status


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "worker.db"


def test_a_new_task_is_to_be_worked_on_and_an_ended_one_is_answered_again(path: Path) -> None:
    journal = Journal(path)
    begun = start()
    assert journal.begin([begun]).result() == [None]
    journal.end(ended(begun, payload='{"text": "x"}'), begun, begun.queued_at).result()
    (again,) = journal.begin([start(begun.task_id)]).result()
    assert again is not None
    assert (again.run_id, again.status, again.payload) == (begun.run_id, "success", '{"text": "x"}')
    journal.close()


def test_who_is_told_of_a_commit_is_told_once_before_the_group_ends_and_stumbles_alone(path: Path) -> None:
    journal = Journal(path)
    told: list[Any] = []
    holding, held = threading.Event(), threading.Event()
    # One group holds the thread, the next one has all three.
    journal.submit(lambda db: (holding.set(), held.wait(30)))
    assert holding.wait(30)
    journal.after_group(lambda: told.append("group"))
    begun = [start() for _ in range(3)]
    for number, one in enumerate(begun):

        def tell(error: Exception | None, number: int = number) -> None:
            told.append((number, error))
            if number == 1:
                raise RuntimeError("it stumbles")

        journal.end_then(ended(one), one, one.queued_at, tell)
    held.set()
    journal.submit(lambda db: None).result()
    journal.close()
    assert [one for one in told if one != "group"] == [(0, None), (1, None), (2, None)]
    assert told[:5] == ["group", (0, None), (1, None), (2, None), "group"]
    refused: list[Exception | None] = []
    journal.end_then(ended(begun[0]), begun[0], begun[0].queued_at, refused.append)
    assert [type(error) for error in refused] == [JournalClosed]


def test_many_threads_share_commits(path: Path) -> None:
    journal = Journal(path)

    def work() -> None:
        for _ in range(25):
            begun = start()
            journal.begin([begun]).result()
            journal.end(ended(begun), begun, begun.queued_at).result()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert journal.commits < 8 * 25 * 2
    journal.close()


def test_a_second_worker_on_the_same_file_is_refused_with_one_line(path: Path) -> None:
    journal = Journal(path)
    with pytest.raises(JournalUnusable, match="another worker runs on") as refused:
        Journal(path)
    assert "\n" not in str(refused.value)
    journal.close()
    Journal(path).close()


def test_a_start_waits_a_while_for_the_life_before_to_be_gone(path: Path) -> None:
    journal = Journal(path)
    began: list[Journal] = []
    starting = threading.Thread(target=lambda: began.append(Journal(path, wait=60)))
    starting.start()
    starting.join(0.1)
    assert (starting.is_alive(), began) == (True, [])
    journal.close()
    starting.join()
    assert began[0].begin([start()]).result() == [None]
    began[0].close()


def test_a_task_that_its_worker_died_with_five_times_fails_with_the_reason_and_those_that_waited_do_not(
    path: Path,
) -> None:
    poison, innocent = start(), start()
    for _ in range(5):
        journal = Journal(path)
        poison, innocent = start(poison.task_id), start(innocent.task_id)
        assert journal.begin([poison, innocent]).result() == [None, None]
        journal.working(0, poison.run_id)
        # What a kill leaves: the note of what was under way is in the file, nothing was closed.
        journal._slots._map.flush()
        saved = Path(f"{path}.running").read_bytes()
        journal.close()
        Path(f"{path}.running").write_bytes(saved)
    journal = Journal(path)
    failed, fine = journal.begin([start(poison.task_id), start(innocent.task_id)]).result()
    assert failed is not None
    assert failed.error == "interrupted: The worker stopped during this task five times."
    assert fine is None
    journal.close()


def test_a_failure_runs_again_only_when_an_operator_wants_it(path: Path) -> None:
    journal = Journal(path)
    begun = start()
    journal.begin([begun]).result()
    journal.end(ended(begun, "failure", error="no-image: x"), begun, begun.queued_at).result()
    assert journal.begin([start(begun.task_id)]).result() != [None]
    again = start(begun.task_id, retries=1)
    assert journal.begin([again]).result() == [None]
    journal.end(ended(again, "failure", error="no-image: x"), again, again.queued_at).result()
    assert journal.begin([start(begun.task_id, retries=1)]).result() != [None]
    noted = journal.submit(lambda db: db.execute("SELECT count(*) FROM local_again").fetchone()).result()
    assert noted == (0,), "a run that has ended leaves no note"
    journal.close()


def test_a_retry_that_takes_its_worker_along_five_times_is_not_tried_a_sixth_time(path: Path) -> None:
    journal = Journal(path)
    begun = start()
    journal.begin([begun]).result()
    journal.end(ended(begun, "failure", error="no-image: x"), begun, begun.queued_at).result()
    journal.close()

    def die_while_trying(retries: int) -> None:
        journal = Journal(path)
        again = start(begun.task_id, retries=retries)
        assert journal.begin([again]).result() == [None]
        journal.working(0, again.run_id)
        journal._slots._map.flush()
        saved = Path(f"{path}.running").read_bytes()
        journal.close()
        Path(f"{path}.running").write_bytes(saved)

    for _ in range(5):
        die_while_trying(retries=1)
    journal = Journal(path)
    (stands,) = journal.begin([start(begun.task_id, retries=1)]).result()
    assert stands is not None
    assert stands.status == "failure"
    journal.close()
    # An operator who wants it all the same gets five tries more.
    die_while_trying(retries=2)


def test_a_success_is_answered_again_and_not_run_again_even_if_an_operator_wants_it(path: Path) -> None:
    journal = Journal(path)
    begun = start()
    journal.begin([begun]).result()
    journal.end(ended(begun), begun, begun.queued_at).result()
    (found,) = journal.begin([start(begun.task_id, retries=3)]).result()
    assert found is not None
    assert (found.status, found.run_id) == ("success", begun.run_id)
    journal.close()


def test_a_success_is_never_replaced_by_a_failure(path: Path) -> None:
    journal = Journal(path)
    begun = start()
    journal.begin([begun]).result()
    journal.end(ended(begun), begun, begun.queued_at).result()
    late = start(begun.task_id)
    journal.end(ended(late, "failure", error="x: y"), late, late.queued_at).result()
    (found,) = journal.begin([start(begun.task_id)]).result()
    assert found is not None
    assert found.status == "success"
    journal.close()


def test_a_payload_is_forgotten_after_a_day_and_leaves_no_trace_in_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(path)
    # As most builds of SQLite are; some overwrite without being told to.
    journal.submit(lambda db: db.execute("PRAGMA secure_delete=OFF").fetchall()).result()
    begun = start()
    journal.begin([begun]).result()
    monkeypatch.setattr(journals, "PAYLOAD_LIFETIME", timedelta(seconds=-1))
    journal.end(
        ended(begun, payload='{"text": "' + "nobody-may-read-this " * 500 + '"}'), begun, begun.queued_at
    ).result()
    assert journal.forget_payloads().result() == 1
    # Its owner never got it, or it would not be asked for: it is worked out anew.
    assert journal.begin([start(begun.task_id)]).result() == [None]
    # Neither in the file nor in its log, and that while the worker runs.
    assert not [file for file in path.parent.iterdir() if b"nobody-may-read-this" in file.read_bytes()]
    journal.close()


def test_while_the_disk_is_full_nobody_gets_an_answer_and_then_everybody(path: Path) -> None:
    journal = Journal(path)
    pages = journal.submit(lambda db: db.execute("PRAGMA page_count").fetchone()[0]).result()
    # Kept over the reopening after each failure, as a full disk is.
    full = threading.Event()
    full.set()
    reopen = journal._file.reopen

    def reopen_while_full() -> None:
        reopen()
        if full.is_set():
            journal._file.db.execute(f"PRAGMA max_page_count={pages}").fetchall()

    journal._file.reopen = reopen_while_full  # type: ignore[method-assign]  # keeps the disk full after a reopening
    journal.submit(lambda db: db.execute(f"PRAGMA max_page_count={pages}").fetchall()).result()
    begun = [start() for _ in range(200)]
    future = journal.begin(begun)
    while not journal.trouble:
        time.sleep(0.005)
    assert "full" in journal.trouble
    assert not future.done()
    full.clear()
    assert future.result(60) == [None] * 200
    assert journal.trouble == ""
    journal.close()


def test_what_can_not_be_written_before_the_end_is_not_acked(path: Path) -> None:
    journal = Journal(path)
    journal.submit(lambda db: db.execute("PRAGMA max_page_count=1").fetchall()).result()
    journal._file.reopen = lambda: None  # type: ignore[method-assign]  # a reopening would lift the limit
    future = journal.begin([start() for _ in range(500)])
    while not journal.trouble:
        time.sleep(0.005)
    waits: list[tuple[float, ...]] = []
    stop = journal._writer._loop.stop

    def stopped(*seconds: float) -> None:
        waits.append(seconds)
        if not seconds:
            stop()

    journal._writer._loop.stop = stopped  # type: ignore[method-assign] # tells how long it is waited for
    journal.close()
    assert waits == [()], "a full disk is not waited for"
    with pytest.raises(JournalClosed):
        future.result()
    journal.close()  # once more is nothing more


class Held:
    """The journal's queue, in front of which an operation waits until it may `go`."""

    def __init__(self, queue: Any) -> None:
        self.queue = queue
        self.reached, self.go = threading.Event(), threading.Event()

    def put(self, operation: Any) -> None:
        if operation is not None:
            self.reached.set()
            self.go.wait(60)
        self.queue.put(operation)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.queue, name)


def test_whatever_is_submitted_while_the_journal_closes_is_answered(path: Path) -> None:
    journal = Journal(path)
    held = Held(journal._writer._queue)
    journal._writer._queue = held  # type: ignore[assignment] # a queue that the test holds
    futures: list[Future[str]] = []
    submitting = threading.Thread(target=lambda: futures.append(journal.submit(lambda db: "written")))
    submitting.start()
    assert held.reached.wait(60)
    closing = threading.Thread(target=journal.close)
    closing.start()
    closing.join(0.2)  # its mark must not overtake what is before the queue already
    held.go.set()
    submitting.join()
    closing.join()
    assert futures[0].result(60) == "written"
    with pytest.raises(JournalClosed):
        journal.submit(lambda db: None).result(60)


def failing(code: int) -> Callable[[sqlite3.Connection], str]:
    """An operation that SQLite refuses once with this result code, and then does."""
    error = sqlite3.OperationalError(f"code {code}")
    error.sqlite_errorcode = code
    errors = [error]

    def run(_: sqlite3.Connection) -> str:
        if errors:
            raise errors.pop()
        return "done"

    return run


# SQLite's primary codes, and two with an extension.
@pytest.mark.parametrize(
    ("codes", "anew"),
    [((3, 5, 6, 7, 8, 9, 10, 13, 14, 15, 10 | 1 << 8), False), ((11, 26, 11 | 1 << 8), True)],
    ids=["it may pass", "the file is damaged"],
)
def test_what_may_pass_is_tried_again_and_a_damaged_file_is_left(
    path: Path, codes: tuple[int, ...], anew: bool
) -> None:
    journal = Journal(path)
    for number, code in enumerate(codes, 1):
        assert journal.submit(failing(code)).result(60) == "done", code
        assert len(journal.recovered) == (number if anew else 0), code
    for own in (1, 4, 12, 19, 20, 25):
        with pytest.raises(sqlite3.OperationalError, match=f"code {own}$"):
            journal.submit(failing(own)).result(60)
    journal.close()


def test_what_fails_for_a_moment_while_the_journal_closes_is_written(path: Path) -> None:
    journal = Journal(path)
    locked = failing(5)

    def run(db: sqlite3.Connection) -> str:
        while not journal._writer._closed:
            time.sleep(0.005)
        return locked(db)

    future = journal.submit(run)
    journal.close()
    assert future.result(60) == "done"


def test_a_log_that_somebody_reads_is_emptied_when_he_has_done(path: Path) -> None:
    journal = Journal(path)
    begun = start()
    journal.begin([begun]).result()
    with contextlib.closing(open_file(path, readonly=True)) as reading:
        reading.execute("BEGIN")
        reading.execute("SELECT count(*) FROM local_tasks").fetchall()
        journal._writer.truncate_log()
        journal.begin([start()]).result()
    log = path.with_name(f"{path.name}-wal")
    assert log.stat().st_size
    assert journal.submit(lambda db: db.execute("PRAGMA busy_timeout").fetchone()[0]).result() == 30_000
    # Of the next group; the one after that comes when it is done.
    journal.submit(lambda db: None).result()
    assert not log.stat().st_size
    journal.close()


def test_one_operation_s_own_fault_does_not_touch_its_group(path: Path) -> None:
    journal = Journal(path)
    bad = start("lone surrogate \ud800")
    futures = [journal.begin([start()]), journal.begin([bad]), journal.begin([start()])]
    assert futures[0].result() == [None]
    with pytest.raises(UnicodeEncodeError):
        futures[1].result()
    assert futures[2].result() == [None]
    journal.close()


def test_a_row_that_can_not_be_read_is_the_asker_s_trouble_and_not_the_disk_s(path: Path) -> None:
    journal = Journal(path)
    bad, good = start(), start()
    for begun in (bad, good):
        journal.begin([begun]).result()
        journal.end(ended(begun), begun, begun.queued_at).result()
    journal.submit(
        lambda db: db.execute(
            "UPDATE local_tasks SET error = CAST(? AS TEXT) WHERE task_id = ?", [b"\xff\xfe", bad.task_id]
        )
    ).result()
    futures = [journal.begin([start(begun.task_id)]) for begun in (bad, good)]
    with pytest.raises(sqlite3.OperationalError, match="UTF-8"):
        futures[0].result(60)
    assert futures[1].result(60) != [None]
    assert (journal.trouble, journal.stalled()) == ("", 0.0)
    journal.close()


def test_a_file_damaged_under_a_running_worker_is_set_aside_and_the_work_goes_on(path: Path) -> None:
    journal = Journal(path)
    worker_id = journal.worker_id
    begun = [start() for _ in range(300)]
    journal.begin(begun).result()
    journal.submit(lambda db: None).result()
    with written(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    # Another connection's mark on the file makes SQLite read it anew.
    with written(path) as db:
        db.execute("PRAGMA user_version=2")
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    futures = [journal.end(ended(one), one, one.queued_at) for one in begun]
    for future in futures:
        future.result(20)
    assert "damaged" in journal.recovered[-1]
    assert journal.trouble == ""
    (found,) = journal.begin([start(begun[7].task_id)]).result()
    assert found is not None
    assert found.status == "success"
    with written(path) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",), "whoever reads holds up no one who writes"
    journal.close()
    again = Journal(path)
    assert again.worker_id == worker_id
    again.close()
    assert len(list(path.parent.glob("worker.db.damaged-*"))) >= 1


def test_a_volume_that_is_empty_is_begun(tmp_path: Path) -> None:
    Journal(tmp_path / "volume" / "storage" / "worker.db").close()
    assert (tmp_path / "volume" / "storage" / "worker.db").stat().st_mode & 0o077 == 0


def test_a_file_of_a_newer_program_is_refused(path: Path) -> None:
    journal = Journal(path)
    journal.submit(lambda db: db.execute("PRAGMA user_version=99").fetchall()).result()
    journal.close()
    with pytest.raises(JournalUnusable, match="newer version"):
        Journal(path)


def test_a_path_with_signs_that_mean_something_in_an_address_is_just_a_path(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a?b#c%20d.db")
    assert journal.begin([start()]).result() == [None]
    journal.close()
    assert (tmp_path / "a?b#c%20d.db").exists()


# Version 2 as the program 0.1.0 left it, but for what it adds to every file.
def _as_0_1_0(db: sqlite3.Connection) -> None:
    db.execute("DROP TABLE local_again")


def _as_the_seed(db: sqlite3.Connection) -> None:
    for table in ("local_tasks", "local_events", "local_again", "meta"):
        db.execute(f"DROP TABLE {table}")
    db.executescript(schema.SEED)
    db.execute(
        "INSERT INTO local_tasks (id, task_id, task_name, status, result, started_at, completed_at)"
        " VALUES ('a', 'a', 'act', 'success', '{}', '2026-01-02T03:04:05+00:00', '2026-01-02T03:04:06+00:00')"
    )
    db.execute("PRAGMA user_version=1")


@pytest.mark.parametrize("older", [_as_0_1_0, _as_the_seed])
def test_a_file_of_an_older_program_is_brought_up_and_keeps_its_tasks(
    path: Path, older: Callable[[sqlite3.Connection], None]
) -> None:
    journal = Journal(path)
    begun = start("a")
    journal.begin([begun]).result()
    journal.end(ended(begun), begun, begun.queued_at).result()
    journal.close()
    with written(path) as db:
        older(db)
    journal = Journal(path)
    assert not [said for said in journal.recovered if "damaged" in said]
    (found,) = journal.begin([start("a")]).result()
    assert found is not None
    assert found.status == "success"
    failed = start()
    journal.begin([failed]).result()
    journal.end(ended(failed, "failure", error="x: y"), failed, failed.queued_at).result()
    assert journal.begin([start(failed.task_id, retries=1)]).result() == [None]
    journal.close()


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 + 100])


def _a_page_of_html(path: Path) -> None:
    path.write_bytes(b"<html>Bad Gateway</html>" * 500)


def _without_its_file(path: Path) -> None:
    Path(f"{path}-wal").write_bytes(b"x" * 5000)
    path.unlink()


def _a_table_less(path: Path) -> None:
    with written(path) as db:
        db.execute("DROP TABLE local_events")


@pytest.mark.parametrize("damage", [_emptied, _halved, _a_page_of_html, _without_its_file, _a_table_less])
def test_a_damaged_file_is_found_at_the_start_and_said_and_the_work_goes_on(
    path: Path, damage: Callable[[Path], None]
) -> None:
    journal = Journal(path)
    journal.begin([start() for _ in range(300)]).result()
    journal.close()
    damage(path)
    journal = Journal(path)
    (said,) = [said for said in journal.recovered if "the journal was damaged" in said]
    assert "\n" not in said
    begun = start()
    assert journal.begin([begun]).result() == [None]
    journal.end(ended(begun), begun, begun.queued_at).result()
    assert list(path.parent.glob("worker.db.damaged-*"))
    journal.close()
    again = Journal(path)
    assert not [said for said in again.recovered if "damaged" in said]
    again.close()


@pytest.mark.parametrize(
    "value",
    ["\x00", ("\x00",), {"a\x00": 1}, [float("nan")], {"a": float("-inf")}, "\ud800", "x" * (5 << 20)],
    ids=range(7),
)
def test_what_jsonb_refuses_is_not_json(value: object) -> None:
    with pytest.raises(NotJson):
        checked_json(value)


def test_what_nests_without_end_is_not_json() -> None:
    value: list[object] = []
    for _ in range(100):
        value = [value]
    with pytest.raises(NotJson, match="levels deep"):
        checked_json(value)


@pytest.mark.parametrize(
    ("what", "level"), [("a beginning", 1), ("an end", 2), ("an end, told in the writing thread", 2)]
)
def test_an_end_is_on_the_disk_before_it_is_told_and_a_beginning_need_not_be(path: Path, what: str, level: int) -> None:
    journal = Journal(path)
    task, known, go_on = start(), threading.Event(), threading.Event()
    journal.begin([task]).result()

    def hold(_: sqlite3.Connection) -> None:
        known.set()
        go_on.wait(30)

    held = journal.submit(hold)
    known.wait(30)
    # Both wait for the same group, whose commit is then synced to the disk (FULL) or not (NORMAL).
    told: Future[Any] = Future()
    if what == "a beginning":
        told = journal.begin([start()])
    elif what == "an end":
        told = journal.end(ended(task), task, clock.now().isoformat())
    else:
        journal.end_then(ended(task), task, clock.now().isoformat(), told.set_result)
    synchronous = journal.submit(lambda db: db.execute("PRAGMA synchronous").fetchone()[0])
    go_on.set()
    wait([held, told])
    assert synchronous.result() == level
    journal.close()


@pytest.mark.parametrize("durable", [(False, True), (True, False), (False, False)], ids=str)
def test_a_group_is_on_the_disk_when_one_of_it_has_to_be(path: Path, durable: tuple[bool, ...]) -> None:
    levels: list[int] = []
    journal = Journal(path)
    writer = journal._writer
    try:
        writer._commit(
            [
                Operation(lambda db: levels.append(db.execute("PRAGMA synchronous").fetchone()[0]), _no_one, each)
                for each in durable
            ]
        )
    finally:
        journal.close()
    full, normal = 2, 1
    assert set(levels) == {full if any(durable) else normal}


def _no_one(result: Any, error: Exception | None) -> None:
    """Who is told nothing."""
