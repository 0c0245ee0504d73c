"""What backup and restore decide by themselves: which entries of a dump, which copies, which program, and with which words"""

import gzip
import importlib.util
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from k8s.programs import registry, rotate
from k8s.programs.quantities import cores, mebibytes
from k8s.tools import journals, prepare, restore, store
from k8s.tools.backup import made_at
from k8s.tools.store import BackupError, NotConfigured, bucket, parse_s3, run_postgres
from tests import support

ENTRIES = {
    "215; 1259 16500 TABLE waste analyses migrator": True,
    "215; 1259 16500 TABLE auth users migrator": False,
    "3500; 0 16500 TABLE DATA waste analyses migrator": True,
    "3500; 0 16500 TABLE DATA auth users migrator": False,
    "9; 2615 16400 SCHEMA - waste migrator": True,
    "9; 2615 16400 SCHEMA - auth migrator": False,
    "9; 2615 2200 SCHEMA - public pg_database_owner": False,
    "3600; 0 0 ACL - SCHEMA waste migrator": True,
    "3600; 0 0 ACL - SCHEMA auth migrator": False,
    "3601; 0 0 ACL waste TABLE analyses migrator": True,
    "3602; 826 16390 DEFAULT ACL waste DEFAULT PRIVILEGES FOR TABLES migrator": True,
    "3602; 826 16390 DEFAULT ACL auth DEFAULT PRIVILEGES FOR TABLES migrator": False,
    "3300; 2606 16508 CONSTRAINT waste analyses analyses_pkey migrator": True,
    "3310; 2606 16508 FK CONSTRAINT waste images images_fkey migrator": True,
    "3; 3079 16385 EXTENSION - cube": False,
    "3700; 0 0 COMMENT - EXTENSION cube": False,
    "216; 1259 16600 TABLE public settings migrator": True,
    "; Archive created at 2026-01-02 03:30:00 UTC": False,
    "": False,
}


@pytest.mark.parametrize("line", ENTRIES)
def test_of_a_dump_the_entries_of_the_schemas_are_restored(line: str) -> None:
    assert restore._wanted(line, ["waste", "public"]) is ENTRIES[line]


def test_when_a_copy_was_made_is_in_its_name_and_in_the_dump() -> None:
    moment = datetime(2026, 1, 2, 3, 30, tzinfo=UTC)
    assert made_at("postgres/20260102T033000Z.dump") == made_at("journals/worker-0/20260102T033000Z.db.gz") == moment
    assert restore._made(";\n;     Archive created at 2026-01-02 03:30:00 UTC\n;     dbname: ecoeco\n") == moment
    with pytest.raises(BackupError, match="does not say when"):
        restore._made(";     dbname: ecoeco")


def test_an_address_has_a_bucket_and_a_key() -> None:
    assert parse_s3("s3://backups/postgres/x.dump") == ("backups", "postgres/x.dump")


@pytest.mark.parametrize("address", ["https://backups/x", "s3://backups", "s3://backups/", "s3:///x", "x"])
def test_what_is_none_is_said(address: str) -> None:
    with pytest.raises(BackupError, match="should be s3://BUCKET/KEY"):
        parse_s3(address)


def test_without_a_bucket_nothing_is_begun() -> None:
    with pytest.raises(NotConfigured, match="BACKUP_BUCKET is not set"):
        bucket({})
    assert bucket({"BACKUP_BUCKET": "one"}).name == "one"
    assert bucket({"BACKUP_BUCKET": "one"}, "another").name == "another"


@pytest.fixture
def environ(s3: support.S3) -> Iterator[dict[str, str]]:
    """A bucket of copies, as the settings name it; empty afterwards."""
    found = {"S3_ENDPOINT_URL": s3.url, "BACKUP_BUCKET": s3.bucket}
    found |= {"AWS_ACCESS_KEY_ID": s3.access_key, "AWS_SECRET_ACCESS_KEY": s3.secret_key}
    yield found
    target = bucket(found)
    for key in target.keys("postgres/") + target.keys("journals/"):
        target.delete(key)


def test_the_latest_is_the_newest_dump_with_what_was_counted_in_it(environ: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="holds no dump"):
        restore._fetch("latest", tmp_path, environ)
    target = bucket(environ)
    for number, stamp in enumerate(("20260103T000000Z", "20260102T000000Z", "20260104T000000Z")):
        (tmp_path / "x").write_text(str(number))
        (tmp_path / "facts").write_text(f'{{"auth.users": {number}}}')
        target.upload(tmp_path / "x", f"postgres/{stamp}.dump", {})
        target.upload(tmp_path / "facts", f"postgres/{stamp}.dump.json", {})
    target.upload(tmp_path / "x", "journals/worker-0/20260105T000000Z.db.gz", {})

    def fetched(source: str) -> tuple[str, dict[str, int] | None]:
        file, counts = restore._fetch(source, tmp_path, environ)
        return file.read_text(), counts

    assert fetched("latest") == ("2", {"auth.users": 2})
    assert fetched(f"s3://{target.name}/postgres/20260102T000000Z.dump") == ("1", {"auth.users": 1})
    assert fetched(f"s3://{target.name}/journals/worker-0/20260105T000000Z.db.gz") == ("2", None)
    assert fetched(str(tmp_path / "x")) == ("2", None)
    with pytest.raises(BackupError, match="there is no file nowhere"):
        fetched("nowhere")


def test_of_a_worker_s_copies_the_oldest_go_and_another_s_stay(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "KEPT", 2)
    journal, target = tmp_path / "journal.db", bucket(environ)
    with sqlite3.connect(journal) as db:
        db.execute("PRAGMA journal_mode = WAL")  # as a worker's is
        db.execute("CREATE TABLE local_tasks (task_id TEXT, payload BLOB)")
        db.execute("INSERT INTO local_tasks VALUES ('t', 'what a person wrote')")
    db.close()
    copies = [f"journals/ai-0/2026010{day}T000000Z.db.gz" for day in (2, 1, 3)]
    others = ["journals/ai-01/20260101T000000Z.db.gz", "journals/ai/20260101T000000Z.db.gz"]
    for key in copies + others:
        target.upload(journal, key, {})
    new = journals.store(journal, target, "ai-0")
    assert target.keys("journals/ai-0/") == [copies[2], new]
    assert target.keys("journals/") == sorted([copies[2], new, *others])
    target.download(new, tmp_path / "new.gz")
    plain = gzip.decompress((tmp_path / "new.gz").read_bytes())
    assert b"local_tasks" in plain
    assert plain[18:20] == b"\1\1", "one file holds all of it: there is no log beside it"
    assert b"what a person wrote" not in plain
    assert (tmp_path / "journal.db").read_bytes().count(b"what a person wrote") == 1


class Short(BaseHTTPRequestHandler):
    """An object store that has kept a byte less than it was given."""

    length = 0

    def log_message(self, *args: object) -> None:
        pass

    def do_PUT(self) -> None:
        type(self).length = len(self.rfile.read(int(self.headers["X-Amz-Decoded-Content-Length"] or 0)))
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()


def test_a_copy_that_did_not_arrive_whole_is_none(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Short)
    threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
    try:
        target = bucket(environ | {"S3_ENDPOINT_URL": f"http://127.0.0.1:{server.server_address[1]}"})
        with pytest.raises(BackupError, match="x has 4 bytes and should have 5"):
            target.upload(tmp_path / "x", "x", {})
    finally:
        server.shutdown()
        server.server_close()


def test_the_first_password_that_is_taken_opens_and_when_none_is_the_last_refusal_is_told() -> None:
    asked: list[str] = []

    def enter(password: str) -> str:
        asked.append(password)
        if password != "right":
            raise PermissionError(password)
        return "in"

    assert rotate._first(enter, ["", "old", "right", "never asked"], PermissionError) == "in"
    assert asked == ["", "old", "right"]
    asked.clear()
    with pytest.raises(PermissionError, match=r"^other$"):
        rotate._first(enter, ["wrong", "", "other"], PermissionError)
    assert asked == ["wrong", "other"], "where one is named, to go in without any is not tried"
    with pytest.raises(PermissionError):
        rotate._first(enter, ["wrong", "right"], KeyError)


def test_where_the_wheel_is_not_installed_the_machine_s_program_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackupError, match="pg_dump is not installed"):
        store.program("pg_dump")
    (tmp_path / "pg_dump").touch(0o755)
    assert store.program("pg_dump") == str(tmp_path / "pg_dump")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in the place of all others; a test writes it."""
    file = tmp_path / "program"
    file.touch(0o755)
    monkeypatch.setattr(store, "program", lambda name: str(file))
    return file


def test_a_program_hears_whose_database_it_is_in_its_environment(program: Path) -> None:
    program.write_text("#!/bin/sh\necho \"$@\"; env | grep -E '^(PG|TZ=)' | sort\n")
    said = run_postgres("pg_dump", "--a", "b c", dsn="postgresql://us%40er:p%2Fw@host:6543/base").splitlines()
    assert said == [
        *("--a b c", "PGCONNECT_TIMEOUT=10", "PGDATABASE=base", "PGHOST=host", "PGPASSWORD=p/w", "PGPORT=6543"),
        *("PGUSER=us@er", "TZ=UTC"),
    ]
    assert "PGPORT=5432" in run_postgres("pg_dump", dsn="postgresql://user@host/base")


def test_what_a_program_said_last_is_what_is_told_when_it_fails(program: Path) -> None:
    program.write_text("#!/bin/sh\nfor n in 1 2 3 4; do echo line $n >&2; done; exit 3\n")
    with pytest.raises(BackupError, match=r"^pg_dump: line 2 line 3 line 4$"):
        run_postgres("pg_dump", dsn="postgresql://user@host/base")


def test_the_job_that_prepares_names_every_setting_that_it_lacks(
    capsys: pytest.CaptureFixture[str], free_port: int
) -> None:
    assert prepare.main({}) == 2
    missing = capsys.readouterr().err.removeprefix("prepare: not set: ").strip().split(", ")
    assert "POSTGRES_SUPERUSER_URL" in missing
    assert "PASSWORD_MIGRATOR" in missing
    assert "PASSWORD_API_AUTH_ROLE" in missing
    assert missing == sorted(missing)
    for name in missing:
        left = dict.fromkeys(missing, "x")
        del left[name]
        assert prepare.main(left) == 2
        assert capsys.readouterr().err == f"prepare: not set: {name}\n"
    whole = dict.fromkeys(missing, "x") | {"POSTGRES_SUPERUSER_URL": f"postgresql://x@127.0.0.1:{free_port}/x"}
    assert prepare.main(whole, wait=0) == 1
    assert "refused" in capsys.readouterr().err


def registries(folder: Path, monkeypatch: pytest.MonkeyPatch, program: str, script: str) -> None:
    """A PATH with this program alone; it knows what the script says."""
    file = folder / program
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("skopeo", "inspect --raw docker://here/a:1"),
        ("docker", "manifest inspect here/a:1"),
        ("crane", "digest here/a:1"),
        ("podman", "manifest inspect docker://here/a:1"),
    ],
)
def test_whichever_program_is_there_is_asked_for_each_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, words: str
) -> None:
    registries(tmp_path, monkeypatch, program, 'case "$*" in *b:1) echo "manifest unknown" >&2; exit 1;; esac')
    assert registry.absent(["here/a:1", "here/b:1", "here/c:1"]) == (["here/b:1"], "")
    registries(tmp_path, monkeypatch, program, f'[ "$*" = "{words}" ] || exit 1')
    assert registry.absent(["here/a:1"]) == ([], "")


def test_a_registry_that_can_not_be_asked_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registries(tmp_path, monkeypatch, "crane", "echo first >&2; echo unauthorized >&2; exit 1")
    assert registry.absent(["here/a:1"]) == ([], "crane: unauthorized")
    registries(tmp_path, monkeypatch, "crane", "exit 1")
    assert registry.absent(["here/a:1"]) == ([], "crane: it failed")
    (tmp_path / "crane").unlink()
    assert registry.absent(["here/a:1"]) == ([], "none of skopeo, docker, crane, podman is here")


@pytest.mark.parametrize(("text", "number"), [("512Ki", 0.5), ("3Mi", 3), ("2Gi", 2048)])
def test_memory_is_counted_in_mebibytes(text: str, number: float) -> None:
    assert mebibytes(text) == number


@pytest.mark.parametrize(("text", "number"), [("250m", 0.25), ("2", 2), ("1.5", 1.5)])
def test_processors_are_counted_whole(text: str, number: float) -> None:
    assert cores(text) == number
