"""`eco2 import centers FILE.csv`: what a file does to the database, and what the report says of it"""

import asyncio
import io
import json
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from functions.location import db as sql
from functions.location.import_centers import import_centers, parse
from functions.location.report import Progress, table
from shared.db import Database
from shared.errors import Unavailable
from tests.location.lists import COLUMNS, as_csv, row

KECO = Path(__file__).parents[3] / "shared" / "data" / "keco_centers_sample.csv"
needs_keco = pytest.mark.skipif(not KECO.exists(), reason="the KECO sample is no part of the project: ../shared/data")


@pytest.fixture
async def empty(database: Database) -> AsyncIterator[Database]:
    """The database without any imported center, before and after."""
    async with database.connection() as conn:
        await conn.execute("DELETE FROM recycle_centers WHERE source IN ('keco', 'sample')")
    yield database
    async with database.connection() as conn:
        await conn.execute("DELETE FROM recycle_centers WHERE source IN ('keco', 'sample')")


class Import:
    """Writes a file, imports it, and reads the report."""

    def __init__(self, database: Database, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.database = database
        self.file = folder / "centers.csv"
        self.capsys = capsys

    async def __call__(self, data: bytes) -> dict[str, Any]:
        self.file.write_bytes(data)
        assert await import_centers([str(self.file), "--json"], self.database) == 0
        report: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        assert set(report) == {"rows", "loaded", "updated", "unchanged", "repaired", "rejected", "missing", "details"}
        assert report["loaded"] + report["updated"] + report["unchanged"] + report["rejected"] == report["rows"]
        for detail in report["details"]:
            assert set(detail) == {"line", "field", "action", "reason"}
            assert detail["action"] in ("repaired", "rejected")
        return report

    async def counts(self, data: bytes) -> tuple[int, int, int, int]:
        report = await self(data)
        return report["loaded"], report["updated"], report["unchanged"], report["rejected"]


@pytest.fixture
def load(database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Import:
    return Import(database, tmp_path, capsys)


async def centers(database: Database) -> dict[str, sql.CenterRow]:
    async with database.connection() as conn:
        return {found.name: found for found in await sql.select_rows_of_source(conn, "keco")}


THREE = [row(1, "하나"), row(2, "둘"), row(3, "셋")]


async def test_a_file_is_loaded_and_loading_it_again_changes_nothing(empty: Database, load: Import) -> None:
    assert await load.counts(as_csv(THREE)) == (3, 0, 0, 0)
    before = await centers(empty)
    assert set(before) == {"하나", "둘", "셋"}
    one = before["하나"]
    assert (one.latitude, one.longitude, one.phone) == (37.5663, 126.9779, "02-2133-0000")
    assert (one.items, one.item_names) == (["pet_clear", "metal"], ["투명페트병", "캔"])
    assert one.operating_hours is not None
    assert one.operating_hours["mon"] == [["09:00", "18:00"]]
    assert await load.counts(as_csv(THREE)) == (0, 0, 3, 0)
    assert await centers(empty) == before


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949"])
async def test_the_encoding_makes_no_difference(empty: Database, load: Import, encoding: str) -> None:
    await load(as_csv(THREE))
    assert await load.counts(as_csv(THREE, encoding=encoding, newline="\r\n")) == (0, 0, 3, 0)


@pytest.mark.parametrize(
    "changed",
    [
        {"bscTelnoCn": "02-120"},
        {"clctItemCn": "종이팩"},
        {"monSalsHrExplnCn": "휴무"},
        {"positnPstnLat": "37.6"},
        {"positnRdnmAddr": "서울특별시 중구 새길 1"},
        {"positnNm": "새 이름"},
        {"positnRdnmAddr": "서울특별시 중구 새길 1", "positnPstnLat": "37.6"},
        {"positnNm": "새 이름", "positnPstnLat": "37.6"},
    ],
)
async def test_a_changed_row_updates_its_center(empty: Database, load: Import, changed: dict[str, str]) -> None:
    await load(as_csv(THREE))
    before = (await centers(empty))["둘"]
    assert await load.counts(as_csv([THREE[0], THREE[1] | changed, THREE[2]])) == (0, 1, 2, 0)
    after = await centers(empty)
    assert len(after) == 3
    assert after[changed.get("positnNm", "둘")].id == before.id


async def test_the_lot_address_is_kept_beside_the_one_by_road(empty: Database, load: Import) -> None:
    lot = {"positnLotnoAddr": "서울특별시 중구 태평로1가 31"}
    await load(as_csv([row(1, "둘 다", **lot), row(2, "하나만"), row(3, "땅만", positnRdnmAddr="없음", **lot)]))
    others = {name: found.other_address for name, found in (await centers(empty)).items()}
    assert others == {"둘 다": "서울특별시 중구 태평로1가 31", "하나만": None, "땅만": None}


async def test_another_numbering_changes_nothing_and_a_new_row_is_loaded(empty: Database, load: Import) -> None:
    await load(as_csv(THREE))
    ids = {name: found.id for name, found in (await centers(empty)).items()}
    moved = [row(1, "새로운 곳", positnRdnmAddr="서울특별시 중구 새길 9")]
    moved += [each | {"positnSn": str(n)} for n, each in enumerate(THREE, 2)]
    assert await load.counts(as_csv(moved)) == (1, 0, 3, 0)
    assert await load.counts(as_csv(moved)) == (0, 0, 4, 0)
    assert {name: found.id for name, found in (await centers(empty)).items() if name in ids} == ids


async def test_another_town_s_list_with_the_same_numbers_does_not_overwrite_the_first(
    empty: Database, load: Import
) -> None:
    park = {"positnNm": "중앙공원", "positnPstnLat": "", "positnPstnLot": ""}
    await load(as_csv([row(1, "중앙공원", **park | {"positnRdnmAddr": "서울특별시 중구 가길 1"})]))
    other = {"positnRdnmAddr": "부산광역시 남구 나길 2", "positnRgnNm": "남구"}
    assert (await load(as_csv([row(1, "중앙공원", **park | other)])))["loaded"] == 1


async def test_a_center_that_is_named_twice_is_loaded_once_and_the_repeat_is_reported(
    empty: Database, load: Import
) -> None:
    twice = [*THREE, THREE[1], THREE[1] | {"positnSn": "9", "bscTelnoCn": "02-120"}]
    report = await load(as_csv(twice))
    assert (report["loaded"], report["rejected"]) == (3, 2)
    assert [(each["line"], each["reason"]) for each in report["details"]] == [
        (8, "the same center as in line 4, which stands"),
        (10, "the same center as in line 4, which stands"),
    ]
    assert await load.counts(as_csv(twice)) == (0, 0, 3, 2)


async def test_two_machines_on_one_site_are_two_centers(empty: Database, load: Import) -> None:
    site = {"positnRdnmAddr": "서울특별시 중구 세종대로 110"}
    two = [row(1, "회수기", **site), row(2, "회수기", **site, positnPstnLat="37.5670")]
    assert await load.counts(as_csv(two)) == (2, 0, 0, 0)
    assert await load.counts(as_csv(two[::-1])) == (0, 0, 2, 0)


@pytest.mark.parametrize("column", ["positnPstnLot", "monSalsHrExplnCn"])
async def test_a_file_without_one_column_of_a_point_or_a_week_takes_neither_from_what_is_known(
    empty: Database, load: Import, column: str
) -> None:
    rows = [row(1, "온전한 곳")]
    await load(as_csv(rows))
    known = await centers(empty)
    report = await load(as_csv(rows, columns=[name for name in COLUMNS if name != column]))
    assert (report["unchanged"], column in report["missing"]) == (1, True)
    assert await centers(empty) == known
    assert known["온전한 곳"].latitude is not None
    assert known["온전한 곳"].operating_hours is not None


async def test_a_row_without_usable_coordinates_is_loaded_without(empty: Database, load: Import) -> None:
    report = await load(
        as_csv([row(1, "점 없음", positnPstnLat="", positnPstnLot=""), row(2, "먼 곳", positnPstnLat="1")])
    )
    assert (report["loaded"], report["repaired"]) == (2, 2)
    assert [(each["line"], each["field"], each["action"]) for each in report["details"]] == [
        (2, "positnPstnLat", "repaired"),
        (4, "positnPstnLat", "repaired"),
    ]
    assert {found.latitude for found in (await centers(empty)).values()} == {None}


@pytest.mark.parametrize(
    ("cells", "field", "reason"),
    [
        ({"positnNm": " "}, "positnNm", "no name"),
        ({"positnNm": "가" * 201}, "positnNm", "201 characters"),
        ({"positnNm": "positnNm"}, "positnNm", "header once more"),
        ({"positnRdnmAddr": "없음"}, "positnRdnmAddr", "neither a road nor a lot address"),
        ({"clctItemCn": "캔" * 2001}, "clctItemCn", "quotation mark"),
        ({"bscTelnoCn": "02-120\x00"}, "bscTelnoCn", "no text"),
    ],
)
async def test_a_row_that_could_not_be_found_or_stored_is_rejected_by_line_and_field(
    empty: Database, load: Import, cells: dict[str, str], field: str, reason: str
) -> None:
    report = await load(as_csv([THREE[0], THREE[1] | cells, THREE[2]]))
    assert (report["loaded"], report["rejected"]) == (2, 1)
    [detail] = report["details"]
    assert (detail["line"], detail["field"], detail["action"]) == (4, field, "rejected")
    assert reason in detail["reason"]


async def test_columns_that_a_file_lacks_leave_the_center_s_facts_as_they_are(empty: Database, load: Import) -> None:
    await load(as_csv(THREE))
    few = ["positnNm", "positnRdnmAddr", "bscTelnoCn"]
    assert await load.counts(as_csv(THREE, columns=few)) == (0, 0, 3, 0)
    changed = [each | {"bscTelnoCn": "02-120"} for each in THREE]
    assert await load.counts(as_csv(changed, columns=few)) == (0, 3, 0, 0)
    one = (await centers(empty))["하나"]
    assert (one.phone, one.latitude, one.items) == ("02-120", 37.5663, ["pet_clear", "metal"])


async def test_nothing_of_a_file_shows_before_all_of_it_does(empty: Database) -> None:
    parsed = parse(as_csv(THREE))
    async with empty.transaction() as conn:
        from functions.location.import_centers import load as load_rows

        await load_rows(conn, "keco", parsed)
        assert await centers(empty) == {}
    assert len(await centers(empty)) == 3


async def test_a_failure_in_the_middle_leaves_everything_as_it_was(
    empty: Database, load: Import, tmp_path: Path
) -> None:
    await load(as_csv(THREE))
    before = await centers(empty)
    parsed = parse(as_csv([row(n, f"곳 {n}") for n in range(10, 1200)]))
    parsed.centers[-1].phone = "1" * 30  # more than its column takes, in the last batch

    from functions.location.import_centers import load as load_rows

    with pytest.raises(psycopg.errors.StringDataRightTruncation):
        async with empty.transaction() as conn:
            await load_rows(conn, "keco", parsed)
    assert await centers(empty) == before


async def test_two_imports_at_once_load_every_center_once(empty: Database, tmp_path: Path) -> None:
    file = tmp_path / "centers.csv"
    file.write_bytes(as_csv([row(n, f"곳 {n}") for n in range(300)]))
    assert await asyncio.gather(*(import_centers([str(file), "--json"], empty) for _ in range(3))) == [0, 0, 0]
    assert len(await centers(empty)) == 300


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (as_csv(THREE).replace(b",", b";"), "semicolons"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "picture"),
        (b"PK\x03\x04", "Excel"),
        ("이름,주소\n가,나\n".encode(), "no header"),
    ],
)
async def test_a_file_of_another_kind_loads_nothing_and_says_why_in_one_line(
    empty: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes, says: str
) -> None:
    file = tmp_path / "centers.csv"
    file.write_bytes(data)
    assert await import_centers([str(file), "--json"], empty) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert says in shown.err
    assert shown.err.count("\n") == 1
    assert await centers(empty) == {}


async def test_a_file_that_is_not_there_or_not_named_is_a_wrong_call(
    empty: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await import_centers([str(tmp_path / "none.csv")], empty) == 2
    assert "can't be read" in capsys.readouterr().err
    for words in ([], ["a.csv", "--sample"]):
        with pytest.raises(SystemExit) as left:
            await import_centers(words, empty)
        assert left.value.code == 2


async def test_a_file_in_which_every_row_is_bad_has_failed(empty: Database, tmp_path: Path) -> None:
    file = tmp_path / "centers.csv"
    file.write_bytes(as_csv([row(1, ""), row(2, "")]))
    assert await import_centers([str(file)], empty) == 1


async def test_without_the_database_nothing_is_said_to_be_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], free_port: int
) -> None:
    file = tmp_path / "centers.csv"
    file.write_bytes(as_csv(THREE))
    away = Database(f"postgresql://nobody@127.0.0.1:{free_port}/none", size=1)
    await away.open()
    with pytest.raises(Unavailable):
        await import_centers([str(file)], away)
    await away.close()
    assert capsys.readouterr().out == ""


async def test_a_load_stays_though_the_database_goes_before_it_is_tidied_up(
    empty: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str], environment: dict[str, str]
) -> None:
    class GoingAway(Database):
        """Gives one connection, that of the load's transaction, and is away after it."""

        given = 0

        def connection(self) -> Any:
            self.given += 1
            if self.given > 1:
                raise Unavailable("database")
            return super().connection()

    file = tmp_path / "centers.csv"
    file.write_bytes(as_csv(THREE))
    going = GoingAway(environment["API_LOCATIONS_DB_URL"], size=1)
    await going.open()
    assert await import_centers([str(file)], going) == 0
    await going.close()
    assert len(await centers(empty)) == 3
    assert "run VACUUM" in capsys.readouterr().err


async def test_a_person_gets_a_table_with_what_was_rejected_first(
    empty: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "centers.csv"
    same = [row(n, f"곳 {n}", clctItemCn="투명패트병") for n in range(1, 8)]
    file.write_bytes(as_csv([*same, row(9, "")]))
    assert await import_centers([str(file)], empty) == 0
    shown = capsys.readouterr()
    assert shown.err == ""  # no bar where there is no terminal
    lines = shown.out.splitlines()
    assert lines[0] == "centers.csv: 8 rows: 7 loaded, 0 updated, 0 unchanged, 1 rejected; 7 of them repaired"
    assert lines[3].split() == ["9", "positnNm", "rejected", "has", "no", "name"]
    assert lines[4].split()[:5] == ["2,", "3,", "4,", "5", "and"]
    assert "«투명패트병» read as 투명페트병" in lines[4]


def test_a_terminal_gets_a_bar_that_goes_away() -> None:
    class Terminal(list[str]):
        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> int:
            self.append(text)
            return len(text)

        def flush(self) -> None: ...

    screen = Terminal()
    with Progress(screen) as progress:  # type: ignore[arg-type]  # it has what Progress uses of a stream
        progress.show("reading", 15, 30)
        progress.show("reading", 30, 30)
    assert "[###############...............] 15/30" in screen[0]
    assert screen[-1] == "\r\x1b[K"


async def test_the_project_s_own_sample_is_clean(empty: Database, capsys: pytest.CaptureFixture[str]) -> None:
    assert await import_centers(["--sample", "--json"], empty) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["loaded"] == report["rows"] >= 30
    assert report["details"] == []
    assert await import_centers(["--sample", "--json"], empty) == 0
    assert json.loads(capsys.readouterr().out)["unchanged"] == report["rows"]
    assert await centers(empty) == {}, "it is no part of the public list, which may come later"


@needs_keco
async def test_the_public_list_is_loaded_whole(empty: Database, load: Import) -> None:
    data = KECO.read_bytes()
    report = await load(data)
    assert (report["rows"], report["loaded"], report["rejected"]) == (205, 205, 0)
    by_name = await centers(empty)
    assert len(by_name) == 205
    without_point = {name for name, found in by_name.items() if found.latitude is None}
    assert len(without_point) == 6  # four empty ones, two in another province
    for found in by_name.values():
        assert found.phone is None or len(found.phone) <= 20
        assert found.operating_hours is not None
        assert "unread" not in found.operating_hours
    again = await load(data)
    assert (again["unchanged"], again["repaired"]) == (205, report["repaired"])
    assert again["details"] == report["details"]


@needs_keco
@pytest.mark.parametrize("seed", range(12))
def test_damage_to_the_public_list_is_reported_row_by_row_and_never_a_crash(seed: int) -> None:
    rnd = random.Random(seed)
    data = bytearray(KECO.read_bytes())
    for _ in range(rnd.randint(1, 20)):
        at = rnd.randrange(3000, len(data))
        match rnd.randrange(4):
            case 0:
                data[at] = rnd.randrange(256)
            case 1:
                del data[at : at + rnd.randint(1, 40)]
            case 2:
                data[at:at] = rnd.choice([b'"', b",", b"\n", b'""', b"\r", b"\0", "가".encode("cp949")])
            case 3:
                data = data[: max(at, 5000)]
    report = parse(bytes(data)).report
    # A damaged row may fall apart into several, or swallow its neighbour; the rest is kept.
    assert report.rows - report.rejected >= 0.5 * len(data) / 166_169 * 205 - 40
    for detail in report.details:
        assert detail.line >= 2
        assert detail.reason
    assert table("x.csv", report)


def test_elsewhere_long_work_says_in_plain_lines_how_far_it_is() -> None:
    out = io.StringIO()
    with Progress(out) as progress:
        progress.show("reading", 15, 30)
    assert out.getvalue() == ""  # what is done at once says nothing
    with Progress(out, every_line=0) as progress:
        progress.show("reading", 15, 30)
    assert out.getvalue() == "reading 15/30\n"


def _run(environment: dict[str, str], file: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "runtime.cli", "import", "centers", str(file), "--json"]
    pipes: dict[str, int] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=environment, text=True, **pipes)  # type: ignore[call-overload,no-any-return]  # mypy can't match unpacked options to an overload


async def test_an_import_that_is_killed_while_it_writes_leaves_nothing_and_is_made_up_for_by_the_next(
    empty: Database, environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "centers.csv"
    file.write_bytes(as_csv([row(n, f"곳 {n}") for n in range(3_000)]))
    child = _run(os.environ | environment, file)
    writes = "SELECT count(*) FROM pg_locks WHERE mode = 'ShareRowExclusiveLock' AND granted"
    async with empty.connection() as conn:
        while (await (await conn.execute(writes)).fetchone()) == (0,):
            assert child.poll() is None, child.communicate()
            await asyncio.sleep(0.01)
    child.kill()
    child.communicate()
    assert await centers(empty) == {}
    again = _run(os.environ | environment, file)
    shown, _ = again.communicate(timeout=60)
    report = json.loads(shown)
    assert (again.returncode, report["rows"], report["loaded"]) == (0, 3_000, 3_000)
    assert len(await centers(empty)) == 3_000


def test_without_the_database_the_command_says_so_in_one_line(
    environment: dict[str, str], tmp_path: Path, free_port: int
) -> None:
    file = tmp_path / "centers.csv"
    file.write_bytes(as_csv(THREE))
    away = os.environ | environment | {"API_LOCATIONS_DB_URL": f"postgresql://nobody@127.0.0.1:{free_port}/none"}
    child = _run(away, file)
    out, err = child.communicate(timeout=60)
    assert (child.returncode != 0, out) == (True, "")
    assert err.count("\n") == 1, err
