"""All parts' logs as one: every form of line is read, and they come in the order of time."""

import logging
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from emulator import logbook
from emulator.logbook import Follower, Line, Reader, Wanted
from runtime import telemetry
from shared import clock, trace

NOON = datetime(2025, 11, 29, 12, tzinfo=UTC).timestamp()


def text(at: float, level: str, said: str, ids: str = "") -> str:
    when = datetime.fromtimestamp(NOON + at, UTC)
    return f"{when:%Y-%m-%d %H:%M:%S}.{when.microsecond // 1000:03} {level:7} eco2: {said}{ids}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "api-auth.log").write_text(
        text(0, "info", "one", "  [request=r1 trace=t1]")
        + text(4, "error", "broke")
        + "Traceback (most recent call last):\n  KeyError: 'lost'\n"
    )
    (tmp_path / "worker-ai.2.log").write_text(text(3, "warning", "slow") + text(7, "info", "of t1", "  [trace=t1]"))
    (tmp_path / "postgres.log").write_text(
        "2025-11-29 12:00:05.500 UTC [42] api_auth_role@ecoeco ERROR:  duplicate key\n"
        "2025-11-29 12:00:05.500 UTC [42] api_auth_role@ecoeco STATEMENT:  INSERT INTO users\n\tVALUES ($1)\n"
    )
    (tmp_path / "redis-broker.log").write_text("123:M 29 Nov 2025 12:00:01.250 # low memory\n")
    (tmp_path / "template.log").write_text("nobody's words\n")
    return tmp_path


def read(folder: Path, **wanted: object) -> list[Line]:
    return logbook.read(folder, Wanted(**wanted))  # type: ignore[arg-type]  # the fields of Wanted


def test_lines_of_all_forms_are_merged_by_time(folder: Path) -> None:
    assert [(line.part, line.level, line.text) for line in read(folder)] == [
        ("api-auth", "info", "one"),
        ("redis-broker", "warning", "low memory"),
        ("worker-ai/2", "warning", "slow"),
        ("api-auth", "error", "broke"),
        ("postgres", "error", "duplicate key"),
        ("worker-ai/2", "info", "of t1"),
    ]
    assert logbook.parts(folder) == ["api-auth", "postgres", "redis-broker", "worker-ai/2"]


def test_what_follows_a_line_belongs_to_it(folder: Path) -> None:
    broke, duplicate = read(folder, level="error")
    assert broke.more == ["Traceback (most recent call last):", "  KeyError: 'lost'"]
    assert duplicate.more == ["STATEMENT: INSERT INTO users", "\tVALUES ($1)"]


def test_lines_are_chosen_by_part_level_time_words_and_number(folder: Path) -> None:
    def texts(**wanted: object) -> list[str]:
        return [line.text for line in read(folder, **wanted)]

    assert texts(parts=["worker-ai/2"]) == ["slow", "of t1"]
    assert texts(level="warning") == ["low memory", "slow", "broke", "duplicate key"]
    assert texts(since=NOON + 5) == ["duplicate key", "of t1"]
    assert texts(words="T1") == ["one", "of t1"]
    assert texts(words="keyerror") == ["broke"]
    assert texts(limit=2) == ["duplicate key", "of t1"]
    assert texts(limit=0) == []


@pytest.mark.parametrize("form", [telemetry.TextFormatter(), telemetry.JsonFormatter("auth")], ids=["text", "json"])
def test_what_the_runtime_writes_is_read_back(form: logging.Formatter, monkeypatch: pytest.MonkeyPatch) -> None:
    trace.enter(f"00-{'a' * 32}-{'b' * 16}-01")
    trace.set_request_id("request-1")
    monkeypatch.setattr(clock, "offset", lambda: 3600.0)
    try:
        raise KeyError("lost")
    except KeyError:
        record = logging.LogRecord("eco2.x", logging.ERROR, __file__, 1, "it broke [here]", (), sys.exc_info())
    before = time.time()
    (line,) = Reader("api-auth").read((form.format(record) + "\n").encode())
    assert (line.level, line.logger, line.text) == ("error", "eco2.x", "it broke [here]")
    assert (line.request, line.trace) == ("request-1", "a" * 32)
    assert line.more[-1] == "KeyError: 'lost'"
    # Merged by the machine's time, though the system's clock is an hour ahead.
    assert abs(line.at - before) < 60


def test_a_line_that_only_looks_like_ids_keeps_its_words() -> None:
    (line,) = Reader("x").read(text(0, "info", "list", "  [a=b]").encode())
    assert (line.text, line.trace) == ("list  [a=b]", "")


def test_what_was_set_aside_is_read_where_the_time_asks_for_it(folder: Path) -> None:
    (folder / "api-auth.log").rename(folder / "api-auth.log.1")
    (folder / "api-auth.log").write_text(text(9, "info", "new"))
    assert [line.text for line in read(folder, parts=["api-auth"], since=NOON - 1)] == ["one", "broke", "new"]


def test_a_large_log_is_read_from_its_end(folder: Path) -> None:
    with (folder / "api-auth.log").open("a") as log:
        for number in range(60_000):
            log.write(text(10 + number / 1000, "info", f"line {number}"))
    assert [line.text for line in read(folder, parts=["api-auth"], limit=2)] == ["line 59998", "line 59999"]
    assert len(read(folder, parts=["api-auth"], since=NOON + 10 + 50, limit=20_000)) == 10_000


def test_a_follower_gives_what_comes_also_of_a_part_that_begins_later(folder: Path) -> None:
    follower = Follower(folder, Wanted(level="info"))
    assert follower.look() == []
    with (folder / "api-auth.log").open("a") as log:
        log.write(text(20, "info", "later") + text(19, "debug", "not wanted") + "2025-11-29 12:00:30.000 inf")
        log.flush()
        (folder / "api-waste.log").write_text(text(18, "info", "first"))
        assert [line.text for line in follower.look()] == ["first", "later"]
        log.write("o    eco2: half\n")
    assert [line.text for line in follower.look()] == ["half"]
    (folder / "api-auth.log").write_text(text(40, "info", "anew"))
    assert [line.text for line in follower.look()] == ["anew"]


def test_a_line_that_comes_while_the_last_ones_are_read_is_given_once_and_whole(folder: Path) -> None:
    with (folder / "api-auth.log").open("a") as log:
        log.write("2025-11-29 12:00:30.000 inf")
        log.flush()
        follower = Follower(folder, Wanted(["api-auth"], limit=2))
        log.write("o    eco2: half\n" + text(31, "info", "meanwhile"))
        log.flush()
        assert [line.text for line in follower.before()] == ["one", "broke"]
        assert [line.text for line in follower.look()] == ["half", "meanwhile"]
    assert [line.text for line in follower.before()] == ["half", "meanwhile"]


def test_the_emulators_own_words_have_a_time_and_what_went_wrong_is_a_warning() -> None:
    said = (
        logbook.own("gateway: it ended with signal SIGKILL; it is started again")
        + "\n"
        + logbook.own("gateway runs again")
        + "\n"
    )
    assert [line.level for line in Reader("eco2").read(said.encode())] == ["warning", "info"]


def test_who_asks_postgresql_before_it_has_started_has_met_no_error() -> None:
    said = "2025-11-29 12:00:05.500 UTC [42] postgres@postgres FATAL:  the database system is starting up\n"
    assert [line.level for line in logbook.Reader("postgres").read(said.encode())] == ["info"]


@pytest.mark.parametrize(
    ("said", "level"),
    [
        ("WARNING Memory overcommit must be enabled! Without it, a save may fail.", "info"),
        ("Valkey is now ready to exit, bye bye...", "info"),
        ("Asynchronous AOF fsync is taking too long", "warning"),
    ],
)
def test_what_redis_says_at_each_start_and_end_is_no_warning(said: str, level: str) -> None:
    (line,) = logbook.Reader("redis-broker").read(f"123:M 29 Nov 2025 12:00:01.250 # {said}\n".encode())
    assert (line.level, line.text) == (level, said)


def test_half_a_line_of_a_log_that_begins_anew_is_no_part_of_the_next(tmp_path: Path) -> None:
    log = tmp_path / "one.log"
    log.write_text("")
    follower = Follower(tmp_path, Wanted())
    log.write_text("a line\nhalf of the nex")
    assert [line.text for line in follower.look()] == ["a line"]
    log.write_text("new\n")
    assert [line.text for line in follower.look()] == ["new"]
