"""What backup and restore decide by themselves: which entries of a dump, which copies, which program, and with which words"""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from k8s.programs import registry
from k8s.programs.quantities import cores, mebibytes
from k8s.tools import prepare, restore, store
from k8s.tools.backup import made_at
from k8s.tools.store import BackupError, NotConfigured, bucket, parse_s3, run_postgres

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
