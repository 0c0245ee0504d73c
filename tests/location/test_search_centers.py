"""Collection centers by words of their name and address"""

import random
import unicodedata
from typing import Any

import httpx
import pytest

from functions.location import db as sql
from shared.db import Database
from tests.location.conftest import CENTERS, Put, center


async def search(client: httpx.AsyncClient, q: str, **params: Any) -> list[str]:
    answer = await client.get(f"{CENTERS}/search", params={"q": q} | params)
    assert answer.status_code == 200, answer.text
    assert answer.json()["next_cursor"] is None
    return [item["name"] for item in answer.json()["items"]]


@pytest.fixture
async def known(put: Put) -> None:
    await put(
        center("누리꽃동 행정복지센터", 37.1, 127.1, address="경기도 가온시 누리꽃로 12"),
        center("새별공원", 37.2, 127.2, address="충청북도 다솜군 새별읍 공원길 3"),
        center("새별공원 주차장", 37.3, 127.3, address="충청북도 다솜군 새별읍 공원길 5"),
        center("다솜군청", None, None, address="충청북도 다솜군 해오름로 1"),
        center(
            "ECO Cafe 100%", 37.4, 127.4, address="경기도 가온시 잎새로 7", other_address="경기도 가온시 물빛동 1244-9"
        ),
    )


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("q", "first"),
    [
        ("누리꽃동 행정복지센터", "누리꽃동 행정복지센터"),
        ("누리꽃", "누리꽃동 행정복지센터"),
        ("리꽃", "누리꽃동 행정복지센터"),  # a substring of two syllables, from the middle
        ("새별", "새별공원"),
        ("새별공원", "새별공원"),  # the whole name before the longer one
        ("공원 주차장 새별", "새별공원 주차장"),  # words in any order
        ("다솜 새별 주차", "새별공원 주차장"),  # of the address and of the name
        ("해오름로", "다솜군청"),  # by address, without coordinates
        ("누리꽃동행정복지센터", "누리꽃동 행정복지센터"),  # without the space
        ("누리꼬", "누리꽃동 행정복지센터"),  # a syllable half typed
        ("eco cafe", "ECO Cafe 100%"),
        ("100%", "ECO Cafe 100%"),
        ("물빛동", "ECO Cafe 100%"),  # by the town that only its other address names
        ("가온 물빚동", "ECO Cafe 100%"),  # and with a wrong letter
        ("ＥＣＯ", "ECO Cafe 100%"),  # full-width letters
    ],
)
async def test_words_and_parts_of_words_are_found(location: httpx.AsyncClient, q: str, first: str) -> None:
    assert (await search(location, q))[:1] == [first]


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("q", "first"),
    [
        ("누리꽃동 행정북지센터", "누리꽃동 행정복지센터"),
        ("누리꼿동", "누리꽃동 행정복지센터"),
        ("누리꽃동행정복지샌터", "누리꽃동 행정복지센터"),
        ("새벌공원", "새별공원"),
        ("새뱔공원 주차장", "새별공원 주차장"),
        ("다숌군청", "다솜군청"),
        ("해오룸로", "다솜군청"),
    ],
)
async def test_a_typing_error_is_forgiven(location: httpx.AsyncClient, q: str, first: str) -> None:
    assert (await search(location, q))[:1] == [first]


@pytest.mark.usefixtures("known")
async def test_what_is_nothing_like_it_is_not_found(location: httpx.AsyncClient) -> None:
    for q in ("뷁쉛뤫", "xyzzy plugh", "%%", "_", "\\", "새\\별\\공\\원", "새별%_원", "새별___원"):
        assert await search(location, q) == []


@pytest.mark.usefixtures("known")
async def test_six_words_are_looked_for_and_more_narrow_nothing(location: httpx.AsyncClient) -> None:
    six = "새별공원 주차장 충청북도 다솜군 새별읍 공원길"
    assert await search(location, f"{six} 뷁쉛뤫") == ["새별공원 주차장"]
    assert await search(location, f"뷁쉛뤫 {six}") == []


@pytest.mark.usefixtures("known")
async def test_the_limit_holds(location: httpx.AsyncClient) -> None:
    assert await search(location, "새별", limit=1) == ["새별공원"]


@pytest.mark.parametrize(
    ("params", "field"),
    [({}, "q"), ({"q": ""}, "q"), ({"q": "  "}, "q"), ({"q": "가" * 101}, "q"), ({"q": "a\x00"}, "q")],
)
async def test_a_query_without_a_letter_or_too_long_is_refused(
    location: httpx.AsyncClient, params: dict[str, str], field: str
) -> None:
    answer = await location.get(f"{CENTERS}/search", params=params)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


@pytest.mark.usefixtures("known")
async def test_signs_alone_find_nothing_and_beside_words_do_not_matter(location: httpx.AsyncClient) -> None:
    for q in ("!!!", "( )", "%", "_ -"):
        assert await search(location, q) == []
    assert await search(location, "- 누리꽃 !!!") == ["누리꽃동 행정복지센터"]


async def test_no_query_makes_the_search_fail(location: httpx.AsyncClient) -> None:
    rnd = random.Random(3)
    letters = "가각힣ㄱㅏ\u1100\u1161aZ09%_\\'\"() .·-①🙂\u200b\ufffd"
    for _ in range(60):
        q = "".join(rnd.choices(letters, k=rnd.randint(1, 12)))
        answer = await location.get(f"{CENTERS}/search", params={"q": q})
        assert answer.status_code in (200, 400), q


async def test_searches_use_their_indexes(put: Put, database: Database) -> None:
    rnd = random.Random(5)
    syllables = "가나다라마바사아자차카타파하거너더러머버서어저처커터퍼허고노도로모보소오조초코토포호"
    names = ["".join(rnd.choices(syllables, k=4)) for _ in range(20_000)]
    await put(*(center(name, None, None, address="-") for name in names))
    letters = unicodedata.normalize("NFD", names[0])
    async with database.connection() as conn:
        await sql.vacuum_centers(conn)
        for table, index, clause in (
            ("recycle_centers", "recycle_centers_search", f"search_text LIKE '%{letters}%'"),
            ("center_words", "center_words_letters", f"letters LIKE '%{letters}%'"),
            ("center_words", "center_words_near", f"near && but_one_letter('{letters}')"),
        ):
            plan = await conn.execute(f"EXPLAIN SELECT FROM {table} WHERE {clause}")
            assert index in str(await plan.fetchall())
