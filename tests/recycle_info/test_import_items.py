"""eco2 import items"""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from emulator.servers.postgres import Postgres
from functions.recycle_info import dataset, import_items
from runtime.services import find
from shared.db import Connection, Database
from tests.clusters import Clusters
from tests.support import held_up

ENTRY = """
[[items]]
slug = "{slug}"
name = "{name}"
name_en = "Thing"
synonyms = ["물건"]
synonyms_en = []
description = "설명입니다."
description_en = "What it is."
how = ["종이류로 배출합니다."]
how_en = ["Put it out with paper."]
do_not = ["태우지 마세요."]
do_not_en = ["Do not burn it."]
"""


@pytest.fixture(scope="module")
def server(clusters: Clusters, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A server of this file's own: the others' has all items, and to write them anew takes ten seconds of a processor."""
    server = clusters.migrated(tmp_path_factory.mktemp("items"))
    try:
        yield server.start()
    finally:
        server.destroy()


@pytest.fixture
async def empty(server: Postgres) -> AsyncIterator[Database]:
    """recycle-info's database without an item."""
    service = find("recycle-info")
    found = Database(server.dsn(service.database.role, search_path=service.database.schema), name="test")
    await found.open()
    async with found.connection() as conn:
        await conn.execute("DELETE FROM items")
    yield found
    await found.close()


def write(folder: Path, *entries: tuple[str, str], category: str = "paper") -> Path:
    """A data folder with one file."""
    head = f'category = "{category}"\nname_ko = "종이"\nname_en = "Paper"\n'
    head += 'how = ["펼쳐서 묶습니다."]\nhow_en = ["Flatten and tie it."]\n'
    head += 'do_not = ["젖게 하지 마세요."]\ndo_not_en = ["Do not let it get wet."]\n'
    head += 'why = "다시 종이가 됩니다."\nwhy_en = "It becomes paper again."\nsource = "guideline"\n'
    head += '[families.wet]\ndescription = "{name:은} 젖은 것입니다."\ndescription_en = "The {name} is wet."\n'
    text = head + "".join(ENTRY.format(slug=slug, name=name) for slug, name in entries)
    (folder / f"{category}.toml").write_text(text, encoding="utf-8")
    return folder


async def load(database: Database, capsys: pytest.CaptureFixture[str], *args: object) -> dict[str, int]:
    assert await import_items.import_items([*map(str, args), "--json"], database) == 0
    report: dict[str, int] = json.loads(capsys.readouterr().out)
    return report


async def versions(database: Database) -> list[tuple[object, ...]]:
    """What PostgreSQL changes whenever it writes a row."""
    async with database.connection() as conn:
        cur = await conn.execute("SELECT id, xmin::text, ctid::text FROM items ORDER BY id")
        return await cur.fetchall()


async def test_a_second_load_touches_no_row(empty: Database, capsys: pytest.CaptureFixture[str]) -> None:
    first = await load(empty, capsys)
    assert (first["added"], first["unchanged"]) == (first["rows"], 0)
    before = await versions(empty)
    second = await load(empty, capsys)
    assert second == {"rows": first["rows"], "added": 0, "updated": 0, "unchanged": first["rows"], "removed": 0}
    assert await versions(empty) == before


async def test_changes_and_removals_are_followed_and_the_words_with_them(
    empty: Database, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    await load(empty, capsys, write(tmp_path, ("a", "가"), ("b", "나"), ("c", "다")))
    report = await load(empty, capsys, write(tmp_path, ("a", "가"), ("b", "나나")))
    assert report == {"rows": 2, "added": 0, "updated": 1, "unchanged": 1, "removed": 1}
    async with empty.connection() as conn:
        cur = await conn.execute("SELECT name FROM item_names WHERE NOT is_synonym AND name <> 'Thing' ORDER BY name")
        assert await cur.fetchall() == [("가",), ("나나",)]
    glass = tmp_path / "glass"
    glass.mkdir()
    await load(empty, capsys, write(glass, ("d", "라"), category="glass"))
    async with empty.connection() as conn:
        assert await (await conn.execute("SELECT category FROM categories")).fetchall() == [("glass",)]


async def test_a_load_tells_the_planner_how_many_names_there_are_and_how_alike(
    empty: Database, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    await load(empty, capsys, write(tmp_path, *((f"a{number}", f"가{number}") for number in range(7))))
    async with empty.connection() as conn:
        cur = await conn.execute("SELECT reltuples FROM pg_class WHERE oid = 'item_names'::regclass")
        assert await cur.fetchall() == [(21,)]
        cur = await conn.execute("SELECT n_distinct FROM pg_stats WHERE tablename = 'item_names' AND attname = 'sound'")
        # Seven names, and the two words that all seven have.
        assert [round(-share * 21) for (share,) in await cur.fetchall()] == [9]


async def test_an_item_keeps_its_id_under_a_new_name(
    empty: Database, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    await load(empty, capsys, write(tmp_path, ("a", "가")))
    ((before, *_),) = await versions(empty)
    await load(empty, capsys, write(tmp_path, ("a", "하")))
    ((after, *_),) = await versions(empty)
    assert after == before


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        (lambda text: text.replace('slug = "a"', 'slug = "A b"'), "slug"),
        (lambda text: text.replace('how = ["종이류로 배출합니다."]\n', ""), "has no how in both languages"),
        (lambda text: text.replace('slug = "a"', 'slug = "a"\nfamily = "dry"'), "of the family dry"),
        (lambda text: text.replace('"guideline"', '"hearsay"'), "the source hearsay"),
        (lambda text: text.replace("[[items]]", "[[items]]\nanswers.colour = {ko = '네', en = 'Yes'}"), "colour"),
        (lambda text: text.replace('category = "paper"', 'category = "papers"'), "category"),
        (lambda text: text + ENTRY.format(slug="a", name="나"), "slug a is there 2 times"),
        (lambda text: text + "[[", "paper.toml"),
    ],
)
async def test_malformed_data_is_named_and_loads_nothing(
    empty: Database,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    broken: Callable[[str], str],
    named: str,
) -> None:
    await load(empty, capsys, write(tmp_path, ("a", "가")))
    before = await versions(empty)
    file = tmp_path / "paper.toml"
    file.write_text(broken(file.read_text(encoding="utf-8")), encoding="utf-8")
    assert await import_items.import_items([str(tmp_path)], empty) == 1
    assert named in capsys.readouterr().err
    assert await versions(empty) == before


def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    write(tmp_path, ("a", "가"))
    file = tmp_path / "paper.toml"
    file.write_bytes(file.read_text(encoding="utf-8").encode("cp949"))
    with pytest.raises(dataset.DatasetError, match=r"paper\.toml: 'utf-8' codec can't decode"):
        dataset.read_files(tmp_path)


async def test_a_folder_without_data_empties_nothing(
    empty: Database, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    await load(empty, capsys, write(tmp_path, ("a", "가")))
    before = await versions(empty)
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    assert await import_items.import_items([str(nothing)], empty) == 1
    assert await versions(empty) == before
    assert before


async def test_an_item_says_what_its_family_says_where_it_says_nothing_itself(tmp_path: Path) -> None:
    write(tmp_path, ("a", "수건"))
    text = (tmp_path / "paper.toml").read_text(encoding="utf-8")
    text = text.replace('slug = "a"', 'slug = "a"\nfamily = "wet"')
    text = text.replace('description = "설명입니다."\ndescription_en = "What it is."\n', "")
    (tmp_path / "paper.toml").write_text(text, encoding="utf-8")
    (file,) = dataset.read_files(tmp_path)
    (entry,) = file.items
    assert (entry.description, entry.description_en) == ("수건은 젖은 것입니다.", "The thing is wet.")
    assert (entry.how, entry.why) == (["종이류로 배출합니다."], "다시 종이가 됩니다.")


async def test_a_synonym_that_is_a_pattern_is_every_name_that_it_means_once(tmp_path: Path) -> None:
    write(tmp_path, ("a", "생선 가시"))
    text = (tmp_path / "paper.toml").read_text(encoding="utf-8")
    text = text.replace('["물건"]', '["갈치|고등어 가시|뼈", "갈치 뼈", "잔가시"]')
    (tmp_path / "paper.toml").write_text(text, encoding="utf-8")
    (file,) = dataset.read_files(tmp_path)
    (entry,) = file.items
    assert entry.synonyms == ["갈치 가시", "갈치 뼈", "고등어 가시", "고등어 뼈", "잔가시"]


async def test_a_category_has_further_items_in_its_folder(tmp_path: Path) -> None:
    write(tmp_path, ("a", "가"))
    (tmp_path / "paper").mkdir()
    (tmp_path / "paper" / "more.toml").write_text(ENTRY.format(slug="b", name="나"), encoding="utf-8")
    (file,) = dataset.read_files(tmp_path)
    assert [entry.slug for entry in file.items] == ["a", "b"]


def test_the_data_covers_every_category_with_at_least_700_items() -> None:
    files = dataset.read_files()
    assert [file.category for file in files] == list(dataset.CATEGORIES)
    assert all(file.items for file in files)
    assert sum(len(file.items) for file in files) >= 700


async def test_a_load_waits_for_the_one_before_it_and_readers_for_neither(
    empty: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [tmp_path / name for name in ("first", "second")]
    for folder, category in zip(folders, ("paper", "glass"), strict=True):
        folder.mkdir()
        write(folder, (category, category), category=category)
    async with empty.connection() as conn:
        await conn.execute("DELETE FROM categories")  # no row that both change holds the second up
    async with empty.transaction() as conn:
        await import_items.load(conn, dataset.read_files(folders[0]))
        loading = await held_up(load(empty, capsys, folders[1]), by=conn)
        async with empty.connection() as reader:
            await reader.execute("SELECT count(*) FROM items")
    report = await loading
    # It has seen what the one before it wrote.
    assert (report["added"], report["removed"]) == (1, 1)


async def test_a_load_and_the_wait_for_another_may_take_longer_than_a_request(empty: Database) -> None:
    async def limits(conn: Connection) -> list[str]:
        cursor = await conn.execute("SELECT current_setting('lock_timeout'), current_setting('statement_timeout')")
        return list(*await cursor.fetchall())

    async with empty.transaction() as conn:
        before = await limits(conn)
        await import_items.load(conn, [])
        assert await limits(conn) == ["10min", "10min"]
    async with empty.transaction() as conn:
        assert await limits(conn) == before != ["10min", "10min"]
