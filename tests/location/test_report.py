"""What an import tells a person: how far it is, and what it did with which rows"""

import io

import pytest

from functions.location import report as module
from functions.location.report import Detail, Progress, Report, table


class Screen(io.StringIO):
    def __init__(self, on: bool) -> None:
        super().__init__()
        self.on = on

    def isatty(self) -> bool:
        return self.on


class Time:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(module, "time", made)
    return made


def test_a_terminal_has_a_bar_that_moves_now_and_then_and_is_gone_at_the_end(time: Time) -> None:
    screen = Screen(on=True)
    with Progress(screen) as progress:
        for done, later in ((0, 0.0), (1, 0.01), (5, 0.05), (10, 0.0)):  # the last is always seen
            time.now += later
            progress.show("reading", done, 10)
    bars = [f"reading [{'#' * filled}{'.' * (30 - filled)}] {done}/10" for done, filled in ((0, 0), (5, 15), (10, 30))]
    assert screen.getvalue().replace("\x1b[K", "").split("\r") == ["", *bars, ""]
    Progress(screen).show("reading", 0, 0)
    assert screen.getvalue().endswith("0/0\x1b[K")


def test_elsewhere_a_line_comes_every_few_seconds_and_none_of_what_is_done_sooner(time: Time) -> None:
    log = Screen(on=False)
    with Progress(log, every_line=3) as progress:
        for done in range(8):
            progress.show("reading", done, 7)
            time.now += 1
    assert log.getvalue() == "reading 3/7\nreading 6/7\n"
    with Progress(log, every_line=3) as progress:
        progress.show("quick", 7, 7)
    assert "quick" not in log.getvalue()


def test_a_report_counts_first_and_says_of_what_nothing_is_known() -> None:
    assert table("a.csv", Report(rows=3, loaded=1, updated=1, unchanged=1)) == (
        "a.csv: 3 rows: 1 loaded, 1 updated, 1 unchanged, 0 rejected\n"
    )
    assert table("a.csv", Report(rows=3, loaded=3, repaired=2, missing=["x", "y"])) == (
        "a.csv: 3 rows: 3 loaded, 0 updated, 0 unchanged, 0 rejected; 2 of them repaired\n\n"
        "no column x, y: what is known of it stays as it is\n"
    )


def test_what_was_done_to_several_rows_is_told_once_and_what_was_rejected_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    details = [Detail(line, "tel", "repaired", "a dash") for line in (2, 3, 4, 5)]
    details += [Detail(line, "이름", "repaired", "a space") for line in range(10, 16)]
    details += [Detail(9, "row", "rejected", "no name")]
    _, _, *lines = table("a.csv", Report(details=details)).splitlines()
    assert lines == [
        "line                       field  action    reason",
        "9                          row    rejected  no name",
        "2, 3, 4, 5                 tel    repaired  a dash",
        "10, 11, 12, 13 and 2 more  이름   repaired  a space",
    ]


def test_a_long_reason_goes_on_below_itself_as_wide_as_the_terminal_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for columns in ("80", "500", "20"):
        monkeypatch.setenv("COLUMNS", columns)
        _, _, _, first, *more = table("a", Report(details=[Detail(1, "f", "repaired", "word " * 60)])).splitlines()
        indent = first.index("word")
        assert more
        assert all(line[:indent].isspace() and line[indent] == "w" for line in more)
        room = max(40, min(int(columns), 160) - indent) * 3 // 4
        assert room - 5 < max(len(line) - indent for line in [first, *more]) <= room
