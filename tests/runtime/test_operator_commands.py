"""What an operator sees and can do about tasks, journals and functions."""

import asyncio
import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from runtime import cli
from runtime.commands import operator
from runtime.journal.drain import Syncer
from runtime.journal.file import written
from runtime.journal.journal import Journal
from runtime.journal.states import Start
from runtime.services import find
from shared.ids import new_id
from shared.tasks import Result, TaskFailed
from tests.runtime.owner import Owner, call, eventually, worker


@pytest.fixture(autouse=True)
def _operator(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Each of them, so that a system that runs in this checkout is not taken for the one that is meant.
    for name in environment:
        if name.endswith("_DB_URL"):
            monkeypatch.setenv(name, environment[name])
    monkeypatch.setenv("JOURNAL_PATH", str(tmp_path / "none.db"))


def said(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    assert cli.main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_failed_task_is_dead_can_be_shown_and_tried_again(
    owner: Owner, broker_url: str, queue: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = False

    def act(*, number: int) -> Result:
        if not good:
            raise TaskFailed("no-image", "The file is no image.")
        return Result(record={"number": number})

    with worker(broker_url, tmp_path, queue, {"act": call(act)}):
        (id_,) = owner.enqueue(f"{queue}/act", 3)
        eventually(lambda: owner.outbox() == 0)
        assert owner.outcomes[id_].status == "failure"
        (dead,) = [row for row in said(capsys, "tasks", "dead") if row["task_id"] == str(id_)]
        assert dead["why"] == "no-image: The file is no image."
        end = f"…{str(id_)[-8:]}"  # as a narrow terminal shows it
        (shown,) = said(capsys, "tasks", "show", end)
        assert shown["task_id"] == str(id_)
        assert "error_code" in shown["recycle_info.failed_tasks"]
        assert "message" not in shown["recycle_info.failed_tasks"], "it may hold a person's words"
        good = True
        assert cli.main(["tasks", "retry", end]) == 0
        owner.relay.wake()
        eventually(lambda: owner.outcomes[id_].status == "success")
        eventually(lambda: owner.outbox() == 0)
    assert str(id_) not in {row["task_id"] for row in said(capsys, "tasks", "dead")}


def test_all_failures_of_a_function_are_tried_again_at_once(
    owner: Owner, broker_url: str, queue: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = False

    def act(*, number: int) -> Result:
        if not good:
            raise TaskFailed("no-image", f"Not this time: {queue}")
        return Result(record={"number": number})

    with worker(broker_url, tmp_path, queue, {"act": call(act)}):
        ids = [owner.enqueue(f"{queue}/act", number)[0] for number in range(3)]
        eventually(lambda: owner.outbox() == 0)
        assert cli.main(["tasks", "retry"]) == 1
        assert cli.main(["tasks", "retry", "--failed", "--worker", "nobody-of-this-name"]) == 1
        assert "no failed task fits" in capsys.readouterr().err
        good = True
        assert cli.main(["tasks", "retry", "--failed", "--search", queue]) == 0
        assert "3 of 3 are tried again" in capsys.readouterr().out
        owner.relay.wake()
        eventually(lambda: {owner.outcomes[id_].status for id_ in ids} == {"success"})


def test_a_queue_functions_message_is_described_checked_and_sent(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["tasks", "form", "storage/delete_objects"]) == 0
    form = json.loads(capsys.readouterr().out)
    assert set(form["components"]["schemas"]["DeleteObjects"]["properties"]) == {"keys", "prefixes"}
    assert form["owners"] == ["userinfo", "waste"]  # whose relays the broker lets send there
    words = ["tasks", "send", "storage/delete_objects"]
    assert cli.main([*words, '{"keys": ["images/none"]}', "--owner", "waste", "--json"]) == 0
    (sent,) = json.loads(capsys.readouterr().out)
    with psycopg.connect(environment["MIGRATION_DB_URL"], autocommit=True) as conn:
        row = conn.execute("SELECT actor, message, time_limit FROM waste.outbox WHERE id = %s", [sent["id"]]).fetchone()
        conn.execute("DELETE FROM waste.outbox WHERE id = %s", [sent["id"]])
    assert row == ("storage/delete_objects", {"keys": ["images/none"], "prefixes": []}, timedelta(minutes=5))
    for wrong, why in (
        ([*words, '{"keys": "x"}'], "no message for storage/delete_objects"),
        ([*words, "{", "--owner", "waste"], "no message"),
        ([*words, "{}", "--owner", "ai"], "ai sends no such tasks"),
        (["tasks", "send", "storage/delete_object", "{}"], "did you mean delete_objects"),
        (["tasks", "send", "waste/photo_processed", "{}"], "takes the outcomes of tasks"),
    ):
        assert cli.main(wrong) == 1
        assert why in capsys.readouterr().err


def test_an_open_task_is_published_at_once_as_if_it_had_never_been(owner: Owner, queue: str) -> None:
    (id_,) = owner.enqueue(f"{queue}/act", 1, delay=3600)
    with psycopg.connect(owner.dsn) as conn:
        conn.execute("UPDATE outbox SET attempts = 9")
    assert cli.main(["tasks", "retry", str(id_)]) == 0
    owner.relay.wake()
    eventually(lambda: owner.broker.depth(queue) == 1)
    with psycopg.connect(owner.dsn) as conn:
        assert conn.execute("SELECT attempts FROM outbox").fetchall() == [(1,)]


def test_an_operator_writes_into_a_service_s_tables_under_that_service_s_role(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a service has planted there would run with its own rights, and not with the owner's."""
    service = find("waste")
    roles = []
    with operator.connect() as conn:
        for known in (True, False):
            if not known:
                monkeypatch.delenv(service.database.env)
                monkeypatch.setattr(operator, "_emulator", lambda service=None: {})
            with operator.writing(conn, service) as own:
                roles.append(own.execute("SELECT current_user").fetchone())
    assert roles == [(service.database.role,), ("migrator",)]


def test_an_unknown_task_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["tasks", "show", str(new_id())]) == 1
    assert "nothing is known of a task" in capsys.readouterr().err
    assert cli.main(["tasks", "retry", "no-id"]) == 1
    assert cli.main(["tasks", "release", "no-id"]) == 1


@pytest.fixture
def poisoned(
    tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, Syncer]]:
    journal = Journal(tmp_path / "worker.db")
    monkeypatch.setenv("JOURNAL_PATH", str(journal.path))
    id_ = str(new_id())
    journal.begin([Start(id_, "x" * 101, str(new_id()), "2026-01-02T03:04:05+00:00")]).result()
    syncer = Syncer("storage", journal.path, environment["WORKER_DB_URL"])
    syncer.cycle()
    journal.submit(lambda db: db.execute("UPDATE local_tasks SET task_name = 'act'")).result()
    yield id_, syncer
    syncer.close()
    journal.close()


def test_a_quarantined_row_is_listed_with_its_reason_and_released(
    poisoned: tuple[str, Syncer], capsys: pytest.CaptureFixture[str]
) -> None:
    id_, syncer = poisoned
    (row,) = [row for row in said(capsys, "tasks", "quarantine") if row["task_id"] == id_]
    assert "too long" in row["reason"]
    assert syncer.cycle().synced == 0
    with written(syncer.path) as db:
        for event, synced in (("refused", -1), ("synced", 1)):
            row = (event, id_, synced)
            db.execute("INSERT INTO local_events VALUES (?, ?, 'started', NULL, '2026-01-02T03:04:05+00:00', ?)", row)
        # Once before, and let go then.
        first = "first/row", id_
    with psycopg.connect(syncer._records._dsn) as conn:
        conn.execute(
            """
            INSERT INTO tasks.quarantine (worker_name, row_id, task_id, revision, reason, quarantined_at, released_at)
            VALUES ('storage', %s, %s, 0, 'why', '2026-01-01', '2026-01-02')
            """,
            first,
        )
    assert cli.main(["tasks", "release", id_]) == 0
    with written(syncer.path) as db:
        assert db.execute("SELECT id, synced_to_pg FROM local_events ORDER BY id").fetchall() == [
            ("refused", 0),
            ("synced", 1),
        ]
        db.execute("DELETE FROM local_events")
    with psycopg.connect(syncer._records._dsn) as conn:
        released = conn.execute(
            "SELECT released_at::text FROM tasks.quarantine WHERE row_id = %s", first[:1]
        ).fetchall()
    assert released == [("2026-01-02 00:00:00",)], "when it was let go then stays noted"
    assert syncer.cycle().synced == 1
    assert id_ not in {row["task_id"] for row in said(capsys, "tasks", "quarantine")}
    assert id_ in {row["task_id"] for row in said(capsys, "tasks", "list", "--limit", "10000")}


def fill(path: Path, count: int) -> set[str]:
    journal = Journal(path)
    starts = [Start(str(new_id()), "act", str(new_id()), "2026-01-02T03:04:05+00:00") for _ in range(count)]
    journal.begin(starts).result()
    journal.close()
    return {start.task_id for start in starts}


def test_a_sound_journal_is_said_to_be_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "worker.db", 10)
    assert cli.main(["journal", "check", str(tmp_path / "worker.db")]) == 0
    assert "sound" in capsys.readouterr().out
    assert cli.main(["journal", "check", str(tmp_path / "absent.db")]) == 2


def test_most_of_a_damaged_journal_is_recovered_and_can_be_synced(
    tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "worker.db"
    ids = fill(path, 1000)
    content = bytearray(path.read_bytes())
    pages = len(content) // 4096
    # The middle of the table, beyond the schema: a few pages of noise.
    for page in range(pages // 2, pages // 2 + 3):
        content[page * 4096 : (page + 1) * 4096] = b"\xa5" * 4096
    path.write_bytes(content)
    assert cli.main(["journal", "check", str(path)]) == 1
    assert cli.main(["journal", "recover", str(path)]) == 0
    assert "recovered" in capsys.readouterr().out
    recovered = Path(f"{path}.recovered")
    as_it_was = recovered.read_bytes()
    assert cli.main(["journal", "recover", str(path)]) == 1
    assert "exists already" in capsys.readouterr().err
    assert recovered.read_bytes() == as_it_was, "what was drained from it is noted there"
    syncer = Syncer("storage", recovered, environment["WORKER_DB_URL"])
    assert syncer.cycle().synced > 500
    syncer.close()
    with psycopg.connect(environment["WORKER_DB_URL"]) as conn:
        there = {row[0] for row in conn.execute("SELECT task_id FROM task_results").fetchall()}
    assert len(ids & there) > 500


@pytest.mark.parametrize("content", [b"root:x:0:0\n", b"", b"SQLite format 3\0" + b"\xa5" * 8176])
def test_of_what_is_no_journal_nothing_is_recovered_and_nothing_is_left(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "worker.db"
    path.write_bytes(content)
    assert cli.main(["journal", "recover", str(path)]) == 1
    assert f"nothing is recovered from {path}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [path]


def test_a_function_is_switched_off_and_on_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["function", "disable", "storage/process_photo"]) == 0
    assert cli.main(["function", "disable", "storage/process_photo"]) == 0
    assert capsys.readouterr().out.count("disabled: storage/process_photo\n") == 2
    assert cli.main(["function", "enable", "storage/process_photo"]) == 0
    assert capsys.readouterr().out == "disabled: nothing\n"
    assert cli.main(["function", "disable", "storage/proces_photo"]) == 2
    assert "did you mean process_photo" in capsys.readouterr().err


@pytest.mark.anyio
async def test_an_http_function_that_is_off_answers_503_and_its_neighbours_go_on(serve: Any) -> None:
    client = await serve("recycle_info", background=True)
    address = "/api/v1/recycle/categories"
    assert (await client.get(address)).status_code == 200
    with psycopg.connect(os.environ["MIGRATION_DB_URL"], autocommit=True) as conn:
        conn.execute(
            "UPDATE public.settings SET value = '[\"recycle_info/list_categories\"]' WHERE key = 'functions.disabled'"
        )
    try:
        await _until(client, address, 503)
        answer = await client.get(address)
        assert answer.headers["content-type"] == "application/problem+json"
        assert "retry-after" in answer.headers
        assert (await client.get("/api/v1/recycle/items")).status_code == 200
    finally:
        assert cli.main(["function", "enable", "recycle_info/list_categories"]) == 0
    await _until(client, address, 200)


async def _until(client: Any, address: str, status: int) -> None:
    for _ in range(1500):
        if (await client.get(address)).status_code == status:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{address} never answered {status}")


def test_the_classifiers_mistakes_are_counted_from_what_people_said(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = {row["waste_type"]: row for row in said(capsys, "ai", "report")}
    answers = [
        ("paper_pack", None),
        ("paper_pack", "paper_pack"),
        *[("paper_pack", "paper")] * 2,
        ("paper_pack", "vinyl"),
    ]
    with psycopg.connect(environment["MIGRATION_DB_URL"], autocommit=True) as conn:
        for waste_type, corrected in answers:
            conn.execute(
                "INSERT INTO waste.analyses (id, user_id, image_url, status, waste_type, corrected_type)"
                " VALUES (%s, %s, 'https://cdn.test/secret.jpg', 'success', %s, %s)",
                [new_id(), new_id(), waste_type, corrected],
            )
            conn.execute(
                "INSERT INTO waste.analyses (id, user_id, image_url, status, waste_type, corrected_type)"
                " VALUES (%s, %s, 'https://cdn.test/secret.jpg', 'success', 'unknown', 'battery')",
                [new_id(), new_id()],
            )
    capsys.readouterr()
    listed = said(capsys, "ai", "report", "--days", "1")
    rows = {row["waste_type"]: row for row in listed}
    assert "paper_pack" not in before, "no other test answers so"
    assert rows["paper_pack"] == {
        "waste_type": "paper_pack",
        "answers": 5,
        "judged": 4,
        "wrong": 3,
        "instead": {"paper": 2, "vinyl": 1},
    }
    assert listed[-1]["waste_type"] == "unknown", "last: what was left open"
    assert listed[-1]["wrong"] == 0
    assert listed[-1]["instead"]["battery"] >= 1
    assert cli.main(["ai", "report"]) == 0
    table = capsys.readouterr().out
    assert "paper 2, vinyl 1" in table
    assert "secret" not in table


@pytest.mark.parametrize("number", ["0", "-5", "x", "1.5", "99999999999999999999"])
@pytest.mark.parametrize("command", ["ai report --days", "tasks list --limit", "tasks retry --failed --limit"])
def test_a_number_that_is_none_is_one_line(command: str, number: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*command.split(), number]) == 2
    told = capsys.readouterr().err
    assert "--days" in told or "--limit" in told
    assert len(told.splitlines()) == 1
