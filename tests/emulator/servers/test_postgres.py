"""PostgreSQL as the emulator runs it: real logins, Korean letters, and no trace of a fault."""

import os
import shutil
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from emulator.process import Command, StartError, alive
from emulator.servers import postgres
from emulator.servers.postgres import Postgres


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postgres]:
    server = Postgres(tmp_path / "state", durable=False)
    try:
        yield server.start()
    finally:
        server.destroy()


def test_a_wrong_password_is_refused(server: Postgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.superuser_dsn.replace("postgres:", "postgres:x"))


def test_the_cluster_knows_hangul_and_lives_in_utc(server: Postgres) -> None:
    with psycopg.connect(server.superuser_dsn) as conn:
        conn.execute("CREATE EXTENSION pg_trgm")
        assert conn.execute("SELECT cardinality(show_trgm('재활용'))").fetchone() == (4,)
        encoding = "SELECT current_setting('server_encoding'), current_setting('TimeZone'), datctype FROM pg_database"
        assert conn.execute(encoding).fetchone() == ("UTF8", "UTC", "C.UTF-8")


def test_the_log_does_not_repeat_the_row_that_was_refused(server: Postgres) -> None:
    with psycopg.connect(server.superuser_dsn, autocommit=True) as conn:
        conn.execute("CREATE TABLE people (email TEXT UNIQUE)")
        conn.execute("INSERT INTO people VALUES (%s)", ["kim@example.com"])
        with pytest.raises(psycopg.errors.UniqueViolation, match=r"kim@example\.com"):  # the client hears it
            conn.execute("INSERT INTO people VALUES (%s)", ["kim@example.com"])
    log = server.log.read_text()
    assert "people_email_key" in log
    assert "kim@example.com" not in log


def test_each_role_has_a_password_that_only_its_owner_can_read(server: Postgres) -> None:
    passwords = server.state.passwords()
    assert len(set(passwords.values())) == len(passwords) == 9
    assert stat.S_IMODE((server.state.path / "secrets.json").stat().st_mode) == 0o600


def test_no_other_user_of_the_machine_reads_logs_photographs_and_journals(server: Postgres) -> None:
    for name in ("logs", "objects", "journals"):
        assert stat.S_IMODE((server.state.path / name).stat().st_mode) == 0o700


def test_what_was_committed_survives_kill_9_of_the_server(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "state")
    try:
        server.start()
        with psycopg.connect(server.superuser_dsn) as conn:
            conn.execute("CREATE TABLE kept (n int)")
            conn.execute("INSERT INTO kept VALUES (1)")
        assert server.process is not None
        server.process.kill()
        server.process.wait()
        server.start()
        with psycopg.connect(server.superuser_dsn) as conn:
            assert conn.execute("SELECT n FROM kept").fetchone() == (1,)
    finally:
        server.destroy()


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = Postgres(tmp_path / "state", port=taken.getsockname()[1], durable=False)
        try:
            with pytest.raises(StartError, match=r"^postgres did not start: the port is in use$"):
                server.start()
        finally:
            server.destroy()


def test_a_half_made_cluster_is_made_anew(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "state", durable=False)
    try:
        server.state.create()
        (server.home / "cluster.new").mkdir()
        (server.home / "cluster.new" / "PG_VERSION").write_text("18\n")
        server.start()
        assert server.ready()
    finally:
        server.destroy()


def test_the_number_of_the_dead_server_may_be_anothers_by_now(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "state", durable=False)
    try:
        server.start()
        pid_file = (server.cluster / "postmaster.pid").read_text()
        server.stop()
        (server.cluster / "postmaster.pid").write_text(pid_file.replace(pid_file.split()[0], str(os.getpid()), 1))
        server.start()
        assert server.ready()
    finally:
        server.destroy()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root steps down")
def test_root_steps_down_and_opens_nobodys_folders(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    server = Postgres(tmp_path / "state")
    try:
        server.start()
        assert server.process is not None
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        assert f"Uid:\t{postgres.NOBODY}\t{postgres.NOBODY}" in status
        assert "Groups:\t \n" in status
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
        assert not server.home.is_relative_to(tmp_path)
        assert (server.state.path / "postgres").resolve() == server.home
    finally:
        home = server.home
        server.destroy()
    assert not home.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root copies the programs")
def test_a_copy_of_the_programs_runs_where_the_wheel_is_closed_to_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path("/var/tmp") / f"eco2-test-{os.getpid()}"
    monkeypatch.setattr(postgres, "OUTSIDE", (folder,))
    server = Postgres(tmp_path / "state", durable=False)
    monkeypatch.setattr(server, "programs", lambda: postgres._copied_binaries(postgres.binaries().parent))
    try:
        assert server.start().ready()
    finally:
        server.destroy()
        shutil.rmtree(folder)


def test_the_server_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        server = Postgres(tmp_path / "state", durable=False).start()
        assert server.process is not None
        os.write(write, f"{server.process.pid}\n".encode())
        signal.pause()
    try:
        pid = int(os.read(read, 20))
        assert alive(pid)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        deadline = time.monotonic() + 2
        while alive(pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not alive(pid)
    finally:
        Postgres(tmp_path / "state", durable=False).destroy()


def test_only_a_cluster_that_is_thrown_away_lacks_what_protects_it(tmp_path: Path) -> None:
    made = {}
    for durable in (True, False):
        server = Postgres(tmp_path / str(durable), durable=durable)
        server.state.create()
        try:
            initdb = server.begin_cluster()
            assert initdb is not None
            secret = server.home / "superuser"
            assert (secret.read_text(), stat.S_IMODE(secret.stat().st_mode)) == (server.state.secret("postgres"), 0o600)
            assert {"--auth=scram-sha-256", "--encoding=UTF8", f"--pwfile={secret}"} <= set(initdb.argv)
            command = server.command()
            assert (command.stop_signal, command.death_signal, command.cwd) == (
                signal.SIGINT,
                signal.SIGQUIT,
                Path("/"),
            )
            settings = dict(
                pair.split("=", 1) for word, pair in zip(command.argv, command.argv[1:], strict=False) if word == "-c"
            )
            made[durable] = {"--no-sync" in initdb.argv}, settings
        finally:
            server.destroy()
    (with_sync, kept), (without, thrown_away) = made[True], made[False]
    assert (with_sync, without) == ({False}, {True})
    assert kept.items() >= postgres.SETTINGS.items()
    assert {"fsync", "synchronous_commit", "full_page_writes"} & kept.keys() == set()
    assert [thrown_away[name] for name in ("fsync", "synchronous_commit", "full_page_writes")] == ["off"] * 3


def test_the_superuser_s_password_lies_in_no_file_though_the_cluster_could_not_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(command: Command) -> None:
        raise StartError(f"{command.name} did not start")

    monkeypatch.setattr(postgres, "run", fails)
    server = Postgres(tmp_path / "state", durable=False)
    server.state.create()
    try:
        with pytest.raises(StartError, match=r"^postgres \(initdb\) did not start$"):
            server.prepare()
        assert not (server.home / "superuser").exists()
        assert not server.cluster.exists()
        # Nor where both halves are somebody else's to call, and it was made.
        assert server.begin_cluster() is not None
        (server.home / "cluster.new").mkdir()
        server.end_cluster()
        assert not (server.home / "superuser").exists()
    finally:
        server.destroy()
    assert not server.state.path.joinpath("postgres").is_symlink()


def test_a_folder_that_someone_else_could_have_made_is_no_place_for_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_to_all, linked, a_file, closed = (tmp_path / name for name in ("open", "linked", "file", "closed"))
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    linked.symlink_to(tmp_path)
    a_file.touch()
    monkeypatch.setattr(postgres, "OUTSIDE", (open_to_all, linked, a_file, tmp_path / "not" / "there", closed))
    tmp_path.chmod(0o700)
    with pytest.raises(StartError) as refused:
        postgres.outside()
    reasons = str(refused.value).partition("PostgreSQL: ")[2].split("; ")
    assert reasons == [
        f"{open_to_all} belongs to someone else",
        f"{linked} belongs to someone else",
        f"{a_file}: File exists",
        f"{tmp_path}/not/there: No such file or directory",
    ]
    assert stat.S_IMODE(closed.stat().st_mode) == 0o755
