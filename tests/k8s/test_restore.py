"""The drill: dump, destroy, restore, and compare every table. On real PostgreSQL and a real object store."""

import argparse
import gzip
import json
import re
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from emulator.servers.postgres import Postgres
from k8s.tools import backup, journals, restore
from k8s.tools.store import BackupError, Bucket, bucket, run_postgres
from runtime import migrate
from runtime.journal.journal import Journal
from runtime.services import ROOT
from shared import clock
from shared.ids import new_id
from tests import commands, support
from tests.clusters import Clusters

Contents = dict[str, list[tuple[object, ...]]]


@pytest.fixture(scope="module")
def own(clusters: Clusters, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A cluster of this module's own: its database is destroyed and brought back, and copied from `migrated`."""
    server = clusters.migrated(tmp_path_factory.mktemp("drill"))
    try:
        server.start()
        with psycopg.connect(server.superuser_dsn, autocommit=True) as conn:
            conn.execute("ALTER DATABASE ecoeco RENAME TO migrated")
        yield server
    finally:
        server.destroy()


@pytest.fixture
def dsn(own: Postgres) -> str:
    """The database, new, with some rows of every kind."""
    with psycopg.connect(own.superuser_dsn, autocommit=True) as conn:
        conn.execute("DROP DATABASE IF EXISTS ecoeco WITH (FORCE)")
        conn.execute("CREATE DATABASE ecoeco TEMPLATE migrated STRATEGY file_copy OWNER migrator")
    # A template's rights and settings are not copied with it.
    migrate.prepare(own.superuser_dsn, own.state.passwords())
    fill(own.dsn("migrator"))
    return own.dsn("migrator")


@pytest.fixture
def environ(s3: support.S3, dsn: str) -> dict[str, str]:
    return {
        "S3_ENDPOINT_URL": s3.url,
        "AWS_ACCESS_KEY_ID": s3.access_key,
        "AWS_SECRET_ACCESS_KEY": s3.secret_key,
        "BACKUP_BUCKET": s3.bucket,
        "MIGRATION_DB_URL": dsn,
    }


@pytest.fixture
def copies(environ: dict[str, str]) -> Iterator[Bucket]:
    target = bucket(environ)
    yield target
    for key in target.keys("postgres/") + target.keys("journals/"):
        target.delete(key)


USER, ANALYSIS, TASK = new_id(), new_id(), new_id()


def fill(dsn: str) -> None:
    with psycopg.connect(dsn) as conn:
        conn.execute(
            "INSERT INTO auth.users (id, username, email, password_hash) VALUES (%s, '홍길동', 'a@b.kr', 'x')", [USER]
        )
        conn.execute(
            "INSERT INTO waste.analyses (id, user_id, image_url, waste_type, confidence, analysis_result)"
            " VALUES (%s, %s, 'https://cdn/x', 'plastic', 0.5, %s)",
            [ANALYSIS, USER, Jsonb({"candidates": [{"waste_type": "plastic"}]})],
        )
        accept(conn, TASK)
        for name in ("투명 페트병", "종이컵"):
            conn.execute(
                "INSERT INTO recycle_info.items (id, name, category, description) VALUES (%s, %s, 'plastic', 'x')",
                [new_id(), name],
            )
        finish(conn, TASK, datetime.now(UTC) - timedelta(hours=1))
        finish(conn, new_id(), datetime.now(UTC) - timedelta(days=1))  # one that was settled long before any dump


def accept(conn: psycopg.Connection, task: UUID) -> None:
    conn.execute(
        "INSERT INTO waste.outbox (id, actor, message, reply, subject, created_at, due_at, time_limit, published_to)"
        " VALUES (%s, 'storage/process_photo', '{}', 'waste/photo_processed', %s, now(), now() + '1 hour', '10 min', 'x')",
        [task, ANALYSIS],
    )


def finish(conn: psycopg.Connection, task: UUID, started: datetime) -> None:
    conn.execute(
        "INSERT INTO tasks.task_results (id, task_id, task_name, worker_name, status, started_at, completed_at)"
        " VALUES (%s, %s, 'process_photo', 'storage', 'success', %s, %s)",
        [new_id(), str(task), started.replace(tzinfo=None), started.replace(tzinfo=None)],
    )


def contents(dsn: str) -> Contents:
    """Every row of every table, and every right on it."""
    found: Contents = {}
    with psycopg.connect(dsn) as conn:
        for table in backup.count_rows(conn):
            rows = conn.execute(
                sql.SQL("SELECT t::text FROM {} AS t ORDER BY 1").format(sql.Identifier(*table.split(".", 1)))
            ).fetchall()
            if table not in ("public.settings", "migrations.yoyo_lock"):
                found[table] = rows
        found["rights"] = conn.execute(
            "SELECT c.oid::regclass::text, array(SELECT unnest(c.relacl)::text ORDER BY 1), c.relowner::regrole::text"
            " FROM pg_class AS c"
            " JOIN pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname NOT LIKE 'pg\\_%%'"
            " WHERE c.relkind IN ('r', 'S', 'i', 'v') AND n.nspname <> 'information_schema' ORDER BY 1"
        ).fetchall()
        found["schemas"] = conn.execute(
            "SELECT nspname::text, array(SELECT unnest(nspacl)::text ORDER BY 1) FROM pg_namespace"
            " WHERE nspname NOT LIKE 'pg\\_%%' AND nspname <> 'information_schema' ORDER BY 1"
        ).fetchall()
        found["defaults"] = conn.execute(
            "SELECT defaclnamespace::regnamespace::text, defaclobjtype::text,"
            " array(SELECT unnest(defaclacl)::text ORDER BY 1) FROM pg_default_acl ORDER BY 1, 2"
        ).fetchall()
    return found


def without_times_of_tasks(found: Contents) -> Contents:
    return {table: rows for table, rows in found.items() if not table.endswith(".outbox")}


def test_a_dump_brings_back_every_table_after_the_database_is_gone(
    own: Postgres, dsn: str, environ: dict[str, str], copies: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed_meanwhile(*words: str, dsn: str) -> str:
        """What changes once a dump has begun is neither in it nor counted."""
        with psycopg.connect(dsn) as conn:
            conn.execute(
                "DELETE FROM recycle_info.items WHERE id = (SELECT min(id::text)::uuid FROM recycle_info.items)"
            )
        return run_postgres(*words, dsn=dsn)

    before = contents(dsn)
    monkeypatch.setattr(backup, "run_postgres", changed_meanwhile)
    key = backup.dump(dsn, copies)
    with psycopg.connect(own.superuser_dsn, autocommit=True) as conn:
        conn.execute("DROP DATABASE ecoeco WITH (FORCE)")
    migrate.prepare(own.superuser_dsn, own.state.passwords())
    done = run_eco2(["restore", "--from", f"s3://{copies.name}/{key}"], environ)
    assert done.returncode == 0, done.stderr
    assert "1 accepted tasks are due again" in done.stdout
    after = contents(dsn)
    assert without_times_of_tasks(after) == without_times_of_tasks(before)
    assert migrate.apply(dsn) == []


def test_restoring_over_a_living_database_leaves_nothing_of_what_came_after_the_dump(
    dsn: str, copies: Bucket, tmp_path: Path
) -> None:
    before = contents(dsn)
    file = tmp_path / "dump"
    copies.download(backup.dump(dsn, copies), file)
    with psycopg.connect(dsn) as conn:
        conn.execute("DELETE FROM recycle_info.items")
        conn.execute("CREATE TABLE waste.later (id int)")
        conn.execute("UPDATE auth.users SET username = 'other'")
    restore.restore(dsn, file)
    assert without_times_of_tasks(contents(dsn)) == without_times_of_tasks(before)


def test_one_schema_alone_comes_back_and_the_others_stay(
    own: Postgres, dsn: str, copies: Bucket, tmp_path: Path
) -> None:
    file = tmp_path / "dump"
    facts = tmp_path / "facts"
    key = backup.dump(dsn, copies)
    copies.download(key, file)
    copies.download(f"{key}.json", facts)
    before = contents(dsn)
    later = new_id()
    with psycopg.connect(dsn) as conn:
        conn.execute("DELETE FROM waste.analyses")
        conn.execute("UPDATE auth.users SET username = 'renamed since'")
        # A migration of the schema that the dump does not know.
        conn.execute("ALTER TABLE waste.analyses ADD COLUMN later int")
        accept(conn, later)
        finish(conn, later, datetime.now(UTC) + timedelta(seconds=2))
    done = restore.restore(dsn, file, schema="waste", counts=json.loads(facts.read_bytes()))
    after = contents(dsn)
    assert [r for t, r in after.items() if t.startswith("waste.") and not t.endswith("outbox")] == [
        r for t, r in before.items() if t.startswith("waste.") and not t.endswith("outbox")
    ]
    assert after["rights"] == before["rights"]
    assert after["schemas"] == before["schemas"]
    assert after["defaults"] == before["defaults"]
    assert "renamed since" in str(after["auth.users"])
    assert done.leased == 1
    assert done.lost == [str(later)]
    with psycopg.connect(own.dsn("api_waste_role", search_path="waste")) as conn:
        row = conn.execute("SELECT due_at <= now(), published_to FROM outbox").fetchone()
        assert row == (True, None)
    assert migrate.apply(dsn) == []


def test_the_ledger_goes_back_with_the_schema_so_that_later_migrations_run_again(
    dsn: str, copies: Bucket, tmp_path: Path
) -> None:
    file = tmp_path / "dump"
    copies.download(backup.dump(dsn, copies), file)
    with psycopg.connect(dsn) as conn:
        conn.execute(
            "INSERT INTO migrations.applied (migration_hash, migration_id, applied_at_utc)"
            " VALUES ('x', 'waste.9999_later', now()), ('y', 'auth.9999_later', now())"
        )
    restore.restore(dsn, file, schema="waste")
    with psycopg.connect(dsn) as conn:
        left = conn.execute("SELECT migration_id FROM migrations.applied WHERE migration_id LIKE '%9999%'").fetchall()
        believed = conn.execute("SELECT FROM public.settings WHERE key = 'migrations.fingerprint'").fetchall()
    assert left == [("auth.9999_later",)]
    assert believed == [], "the next migration would believe that all is done"


def test_a_failing_restore_changes_nothing(dsn: str, tmp_path: Path) -> None:
    before = contents(dsn)
    file = tmp_path / "dump"
    run_postgres("pg_dump", "--format=custom", f"--file={file}", dsn=dsn)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * 0.9)])
    with pytest.raises(BackupError):
        restore.restore(dsn, file)
    assert contents(dsn) == before


def test_a_copy_that_was_tampered_with_is_refused(dsn: str, copies: Bucket, tmp_path: Path) -> None:
    key = backup.dump(dsn, copies)
    metadata = copies.client.head_object(Bucket=copies.name, Key=key)["Metadata"]
    body = copies.client.get_object(Bucket=copies.name, Key=key)["Body"].read()
    copies.client.put_object(Bucket=copies.name, Key=key, Body=body[:-1] + b"!", Metadata=metadata)
    with pytest.raises(BackupError, match="is damaged"):
        copies.download(key, tmp_path / "copy")


def test_what_is_unknown_is_said_in_a_line(dsn: str, copies: Bucket, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="s3://"):
        copies.download("postgres/none.dump", tmp_path / "copy")
    file = tmp_path / "dump"
    copies.download(backup.dump(dsn, copies), file)
    with pytest.raises(BackupError, match=r"there is no schema wast: did you mean waste\?"):
        restore.restore(dsn, file, schema="wast")
    before = contents(dsn)
    run_postgres("pg_dump", "--format=custom", "--schema=auth", f"--file={file}", dsn=dsn)
    with pytest.raises(BackupError, match="the dump has no schema waste"):
        restore.restore(dsn, file, schema="waste")
    assert contents(dsn) == before


def test_old_dumps_expire_and_the_newest_never_does(
    environ: dict[str, str], copies: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = [f"postgres/2020010{day}T000000Z.dump" for day in (1, 2)]
    (tmp_path / "x").write_bytes(b"x")
    for key in old:
        copies.upload(tmp_path / "x", key, {})
        copies.upload(tmp_path / "x", f"{key}.json", {})
    assert backup.expire(copies, 30) == old[:1]
    kept, due = (f"postgres/{clock.now() - timedelta(days=30, minutes=late):{backup.STAMP}}.dump" for late in (-5, 5))
    for key in (kept, due):
        copies.upload(tmp_path / "x", key, {})
        copies.upload(tmp_path / "x", f"{key}.json", {})
    assert backup.main(argparse.Namespace(what="dump"), environ) == 0
    new, *expired = capsys.readouterr().out.splitlines()
    assert expired == [f"expired: {key}" for key in (old[1], due)]
    dumps = [kept, new.removeprefix(f"s3://{copies.name}/")]
    assert copies.keys("postgres/") == [name for key in dumps for name in (key, f"{key}.json")]


# Journals


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A worker's journal, open in a worker, with a finished task whose payload is a person's."""
    path = tmp_path / "worker.db"
    Journal(path).close()
    with sqlite3.connect(path) as db:
        db.execute(
            "INSERT INTO local_tasks (id, task_id, task_name, status, result, started_at, payload)"
            " VALUES ('1', 't', 'answer_question', 'success', '{}', '2026-01-01T00:00:00Z', 'my secret words')"
        )
    db.close()
    return path


def test_a_journal_is_copied_without_payloads_while_it_is_written(journal: Path, tmp_path: Path) -> None:
    with sqlite3.connect(journal) as writer:
        writer.execute("UPDATE local_tasks SET payload = payload || zeroblob(100000)")
        writer.commit()
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE local_tasks SET error = 'not committed'")
        journals.copy(journal, tmp_path / "copy.db")
    writer.close()
    assert b"my secret words" not in (tmp_path / "copy.db").read_bytes()
    with sqlite3.connect(tmp_path / "copy.db") as db:
        assert db.execute("SELECT task_id, status, error, payload FROM local_tasks").fetchall() == [
            ("t", "success", None, None)
        ]
        # Not even the pages are left: SQLite need not have been built to overwrite what it frees.
        assert db.execute("PRAGMA freelist_count").fetchone() == (0,)
    db.close()


def test_a_journal_of_before_there_were_payloads_is_copied_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    journal = tmp_path / "old.db"
    with sqlite3.connect(journal) as db:
        db.execute("CREATE TABLE local_tasks (task_id TEXT, result BLOB)")
        db.executemany("INSERT INTO local_tasks VALUES (?, randomblob(2000))", [(str(number),) for number in range(9)])
    db.close()
    journals.copy(journal, tmp_path / "copy.db")
    with sqlite3.connect(tmp_path / "copy.db") as db:
        assert db.execute("SELECT count(*) FROM local_tasks").fetchone() == (9,)
    db.close()
    # A page in the middle that no one reads while it is copied.
    data = bytearray(journal.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 4096] = bytes(4096)
    journal.write_bytes(data)
    with pytest.raises(BackupError, match=r"the copy of .+ is damaged|can't be copied"):
        journals.copy(journal, tmp_path / "other.db")
    with pytest.raises(BackupError, match="can't be copied: unable to open"):
        journals.copy(tmp_path / "none.db", tmp_path / "third.db")
    assert not (tmp_path / "none.db").exists(), "it is only read"


def test_a_copy_that_failed_is_made_again_after_a_minute_and_another_after_an_hour(
    journal: Path, copies: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.rename(journal.with_name("not yet"))
    loop = journals.Loop(journal, Bucket(copies.client, "no-such-bucket"), "worker-ai-0")
    begun, waited, troubles = loop.last, list[float](), list[bool]()

    def wait(told: threading.Event, seconds: float) -> bool:
        waited.append(seconds)
        state = loop.look()
        assert (state["alive"], state["ready"]) == (True, True), "a store that is away restarts nothing"
        troubles.append(bool(state["reasons"]))
        if len(waited) == 2:
            journal.with_name("not yet").rename(journal)
        if len(waited) == 3:
            loop._target = copies
            assert loop.last == begun
        return len(waited) == 4

    monkeypatch.setattr(clock, "wait", wait)
    loop.run()
    assert waited == [3600, 3600, 60, 3600]
    assert troubles == [False, False, True, False]
    assert loop.last > begun
    assert len(copies.keys("journals/worker-ai-0/")) == 1


def test_a_lost_journal_comes_back_from_its_copy(journal: Path, copies: Bucket, environ: dict[str, str]) -> None:
    key = journals.store(journal, copies, "worker-ai-0")
    for file in journal.parent.glob("worker.db*"):
        file.unlink()
    words = ["restore", "--from", f"s3://{copies.name}/{key}", "--journal", str(journal)]
    done = run_eco2(words, environ)
    assert done.returncode == 0, done.stderr
    Journal(journal).close()
    with sqlite3.connect(journal) as db:
        assert db.execute("SELECT task_id FROM local_tasks").fetchall() == [("t",)]
    db.close()
    again = run_eco2(words, environ)
    assert again.returncode == 1
    assert "is there already" in again.stderr


@pytest.mark.parametrize("damage", ["a page", "its end", "its beginning", "another file"])
def test_a_damaged_copy_of_a_journal_is_refused_in_a_line(journal: Path, tmp_path: Path, damage: str) -> None:
    broken = tmp_path / "broken.gz"
    data = journal.read_bytes()
    packed = gzip.compress(data)
    broken.write_bytes(
        {
            "a page": gzip.compress(data[:200] + b"\xff" * (len(data) - 200)),
            "its end": packed[: len(packed) // 2],
            "its beginning": b"\0" * 20 + packed[20:],
            "another file": gzip.compress(b"no journal"),
        }[damage]
    )
    words = ["restore", "--from", str(broken), "--journal", str(tmp_path / "very" / "new" / "worker.db")]
    done = run_eco2(words, {})
    assert done.returncode == 1
    assert re.fullmatch(r"eco2 restore: the copy of the journal is damaged: .+\n", done.stderr)
    assert list((tmp_path / "very/new").iterdir()) == []


def test_copies_beyond_the_newest_are_deleted(journal: Path, copies: Bucket, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    for hour in range(60):
        copies.upload(tmp_path / "x", f"journals/worker-ai-0/202001{1 + hour // 24:02}T{hour % 24:02}0000Z.db.gz", {})
    journals.store(journal, copies, "worker-ai-0")
    assert len(copies.keys("journals/worker-ai-0/")) == journals.KEPT


def test_the_password_is_in_no_argument(dsn: str) -> None:
    assert urlsplit(dsn).password
    out = run_postgres("psql", "--tuples-only", "--command=SELECT current_user", dsn=dsn)
    assert out.strip() == "migrator"


def test_the_list_names_copies_and_nothing_else_of_the_bucket(
    dsn: str, environ: dict[str, str], copies: Bucket
) -> None:
    copies.client.put_object(Bucket=copies.name, Key="images/a-photo.jpg", Body=b"x")
    key = backup.dump(dsn, copies)
    done = run_eco2(["backup", "list"], environ)
    assert done.returncode == 0, done.stderr
    assert f"s3://{copies.name}/{key}" in done.stdout.splitlines()
    assert "photo" not in done.stdout


REFUSED: tuple[tuple[list[str], dict[str, str]], ...] = (
    (["backup", "list"], {"AWS_SECRET_ACCESS_KEY": "wrong"}),
    (["backup"], {"AWS_SECRET_ACCESS_KEY": "wrong"}),
    (["restore", "--from", "latest"], {"AWS_SECRET_ACCESS_KEY": "wrong"}),
    (["backup", "list"], {"S3_ENDPOINT_URL": "http://127.0.0.1:1"}),
    (["restore", "--from", "latest"], {"BACKUP_BUCKET": "no-such-bucket"}),
    (["backup"], {"BACKUP_BUCKET": "no-such-bucket"}),
)


def test_an_object_store_that_says_no_is_told_in_a_line(environ: dict[str, str]) -> None:
    for words, changed in REFUSED:
        done = run_eco2(words, environ | changed)
        assert done.returncode == 1, (words, changed)
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert "s3://" in done.stderr


def run_eco2(words: list[str], environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return commands.run(ROOT, words, environ)


def test_a_dump_that_is_damaged_after_its_first_tables_changes_nothing(dsn: str, tmp_path: Path) -> None:
    before = contents(dsn)
    file = tmp_path / "dump"
    run_postgres("pg_dump", "--format=custom", f"--file={file}", dsn=dsn)
    whole = bytearray(file.read_bytes())
    for place in range(int(len(whole) * 0.6), int(len(whole) * 0.6) + 200):
        whole[place] ^= 0xFF
    file.write_bytes(whole)
    with pytest.raises(BackupError):
        restore.restore(dsn, file)
    assert contents(dsn) == before


def test_a_dump_goes_into_a_new_instance(clusters: Clusters, dsn: str, copies: Bucket, tmp_path: Path) -> None:
    before = contents(dsn)
    file = tmp_path / "dump"
    copies.download(backup.dump(dsn, copies), file)
    new = clusters.fresh(tmp_path / "new")
    try:
        new.start()
        migrate.prepare(new.superuser_dsn, new.state.passwords())
        restore.restore(new.dsn("migrator"), file)
        assert without_times_of_tasks(contents(new.dsn("migrator"))) == without_times_of_tasks(before)
        assert migrate.apply(new.dsn("migrator")) == []
        with psycopg.connect(new.dsn("api_waste_role", search_path="waste")) as conn:
            assert conn.execute("SELECT count(*) FROM analyses").fetchone() == (1,)
    finally:
        new.destroy()


def test_a_dump_with_other_rows_than_were_counted_changes_nothing(dsn: str, tmp_path: Path) -> None:
    before = contents(dsn)
    file = tmp_path / "dump"
    run_postgres("pg_dump", "--format=custom", f"--file={file}", dsn=dsn)
    with pytest.raises(BackupError, match=r"^nothing was changed: auth\.users was dumped with 7 rows"):
        restore.restore(dsn, file, counts={"auth.users": 7})
    assert contents(dsn) == before


def test_services_that_write_all_the_while_find_what_was_dumped_and_go_on(
    own: Postgres, dsn: str, tmp_path: Path
) -> None:
    """Short transactions, as services have them: they wait while the restore has the tables, and lose nothing that is theirs."""
    file = tmp_path / "dump"
    run_postgres("pg_dump", "--format=custom", f"--file={file}", dsn=dsn)
    with psycopg.connect(dsn) as conn:
        conn.execute("DELETE FROM waste.analyses")
    stop, written = threading.Event(), [0, 0]
    faults: list[psycopg.Error] = []
    address = own.dsn("api_waste_role", search_path="waste")

    def write(place: int) -> None:
        while not stop.is_set():
            try:
                with psycopg.connect(address) as conn:
                    accept(conn, new_id())
            except psycopg.Error as error:
                faults.append(error)
                return
            written[place] += 1

    def go_on(most: int) -> None:
        """Until each has written so much more."""
        wanted = [count + most for count in written]
        while not faults and any(now < then for now, then in zip(written, wanted, strict=True)):
            stop.wait(0.01)

    writers = [threading.Thread(target=write, args=[place]) for place in range(2)]
    for writer in writers:
        writer.start()
    try:
        go_on(3)
        restore.restore(dsn, file)
        go_on(3)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert faults == []
    with psycopg.connect(dsn) as conn:
        assert conn.execute("SELECT id FROM waste.analyses").fetchall() == [(ANALYSIS,)]
        row = conn.execute("SELECT count(*) FROM waste.outbox").fetchone()
    assert row is not None
    assert 5 <= row[0] < sum(written), "what came before the restore is gone, what came after it is there"


def test_one_who_holds_a_table_for_long_is_told_of_and_nothing_is_changed(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore, "PATIENCE", 1)
    file = tmp_path / "dump"
    run_postgres("pg_dump", "--format=custom", f"--file={file}", dsn=dsn)
    before = contents(dsn)
    with psycopg.connect(dsn) as holder:
        holder.execute("SELECT count(*) FROM waste.outbox")
        with pytest.raises(
            BackupError, match=r"^nothing was changed: somebody reads or writes there: stop the services"
        ):
            restore.restore(dsn, file)
    assert contents(dsn) == before


class Denied(BaseHTTPRequestHandler):
    """A bucket of which a key may list what is there, or not even that: AccessDenied as S3 says it."""

    lists = True

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.lists and "list-type=2" in self.path:
            key = "<Contents><Key>postgres/20260101T000000Z.dump</Key><Size>1</Size></Contents>"
            self.answer(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{key}</ListBucketResult>")
        else:
            self.answer(403, "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.do_GET()

    do_HEAD = do_DELETE = do_GET  # noqa: N815 - names that http.server looks for

    def answer(self, status: int, body: str) -> None:
        text = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)


@pytest.mark.parametrize("lists", [True, False])
def test_a_key_without_rights_is_told_in_a_line(environ: dict[str, str], dsn: str, lists: bool) -> None:
    before = contents(dsn)
    handler = type("Handler", (Denied,), {"lists": lists})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
    env = {**environ, "S3_ENDPOINT_URL": f"http://127.0.0.1:{server.server_address[1]}"}
    try:
        for words in (["restore", "--from", "latest"], ["backup"], ["backup", "list"]):
            done = run_eco2(words, env)
            if lists and words == ["backup", "list"]:
                assert (done.returncode, done.stderr) == (0, "")
                continue
            assert done.returncode == 1, words
            place = rf"s3://{environ['BACKUP_BUCKET']}\S*"
            assert re.fullmatch(rf"eco2 {words[0]}: {place}: .*(403|AccessDenied).*\n", done.stderr), done.stderr
            assert contents(dsn) == before
    finally:
        server.shutdown()
        server.server_close()


def test_a_restore_that_fails_at_its_last_statements_changes_nothing(own: Postgres, dsn: str, tmp_path: Path) -> None:
    file = tmp_path / "dump"
    with psycopg.connect(own.superuser_dsn, autocommit=True) as server, psycopg.connect(dsn, autocommit=True) as conn:
        server.execute("CREATE ROLE passing")
        conn.execute("GRANT SELECT ON waste.analyses TO passing")
        run_postgres("pg_dump", "--format=custom", f"--file={file}", dsn=dsn)
        # Rights come behind all rows, and of this role the server knows nothing any more.
        conn.execute("REVOKE SELECT ON waste.analyses FROM passing")
        server.execute("DROP ROLE passing")
        conn.execute("DELETE FROM recycle_info.items")
    before = contents(dsn)
    with pytest.raises(BackupError, match="passing"):
        restore.restore(dsn, file)
    assert contents(dsn) == before
