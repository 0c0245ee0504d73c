"""GET /search"""

from typing import Any

import httpx
import msgspec
import pytest

from functions.recycle_info import db as sql
from functions.recycle_info.search import _did_you_mean
from shared.db import Database
from tests import items
from tests.eval import search
from tests.recycle_info.conftest import PREFIX


async def find(client: httpx.AsyncClient, q: str, **query: Any) -> list[dict[str, Any]]:
    answer = await client.get(f"{PREFIX}/search", params={"q": q, **query})
    assert answer.status_code == 200, answer.text
    assert answer.json()["query"] == q
    return list(answer.json()["items"])


@pytest.mark.parametrize(
    "q",
    [
        "투명 페트병",
        "페트병",
        "패트병",
        "ＰＥＴ병",
        "페트병은 어떻게 버려요?",
        "페트병버리는법",
        "PET bottle",
        "pet botle",
        "how do I recycle plastic bottles?",
        "투명 페",
        "PLASTIC-BOTTLE",
    ],
)
async def test_a_clear_bottle_is_found_by(client: httpx.AsyncClient, q: str) -> None:
    found = await find(client, q)
    assert found[0]["slug"] == "clear-pet-bottle", [item["name"] for item in found]


async def test_an_answer_carries_all_there_is_to_say_in_both_languages(client: httpx.AsyncClient) -> None:
    (item,) = await find(client, "투명 페트병", limit=1)
    assert item["score"] == 1
    assert set(item) == {name for struct in (sql.FoundItem, sql.Item) for name in struct.__struct_fields__}
    assert len(item["how_to_recycle"].split("\n")) == len(item["how_to_recycle_en"].split("\n")) == 4


async def test_better_matches_come_first(client: httpx.AsyncClient) -> None:
    scores = [item["score"] for item in await find(client, "플라스틱 병")]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 for score in scores)


async def test_each_name_finds_its_item(database: Database) -> None:
    # Two and a half thousand: what they are asked over is the others' subject.
    names = [
        search.Case(name, frozenset({entry.slug}), "")
        for file in items.files()
        for entry in file.items
        for name in (entry.name, entry.name_en)
    ]
    answers = await search.evaluate(database, names)
    assert [answer for answer in answers if not answer.right(1)] == []


@pytest.mark.parametrize("q", ["???", "%", "_", "'; DROP TABLE items; --", "\\", "🍕", "ㅋ", "x" * 500, "쀍뷁" * 20])
async def test_strange_text_is_searched_like_any_other(client: httpx.AsyncClient, q: str) -> None:
    assert isinstance(await find(client, q), list)


@pytest.mark.parametrize("query", [{}, {"q": ""}, {"q": "가" * 501}, {"q": "a\0b"}, {"q": "종이", "limit": 0}])
async def test_a_query_that_is_none_is_400(client: httpx.AsyncClient, query: dict[str, Any]) -> None:
    answer = await client.get(f"{PREFIX}/search", params=query)
    assert answer.status_code == 400, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == ["limit" if "limit" in query else "q"]


async def test_a_bad_token_is_401_though_none_is_needed(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"{PREFIX}/search", params={"q": "종이"}, headers={"Authorization": "Bearer x"})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("q", "slug"),
    [
        ("성냥", "matches"),
        ("matches", "matches"),
        ("드라이아이스", "dry-ice"),
        ("toothpick", "toothpick"),
        ("cutting board", "wooden-cutting-board"),
        ("비누", "soap"),
    ],
)
async def test_what_met_a_neighbour_once_is_found(client: httpx.AsyncClient, q: str, slug: str) -> None:
    assert (await find(client, q))[0]["slug"] == slug


@pytest.mark.parametrize(
    "q", ["유튜브", "유니콘", "민주주의", "elephant", "쓰레기 봉투 가격", "거북이", "불교", "겨울", "동굴", "울음"]
)
async def test_below_the_floor_there_is_no_item(client: httpx.AsyncClient, q: str) -> None:
    assert await find(client, q) == []


@pytest.mark.parametrize(
    ("q", "meant"),
    [("쓰레기 봉투 가격", "종량제봉투"), ("뷁뷁", None), ("zzzzzz", None), ("페트병", None)],
)
async def test_no_answer_asks_back_where_something_is_alike(
    client: httpx.AsyncClient, q: str, meant: str | None
) -> None:
    answer = (await client.get(f"{PREFIX}/search", params={"q": q})).json()
    assert answer["did_you_mean"] == meant


@pytest.mark.parametrize(
    ("score", "query", "meant"), [(0.29, "우산", None), (0.3, "우산", "양산"), (0.3, "rain", "Parasol")]
)
def test_it_is_asked_back_in_the_query_s_language_and_not_what_is_hardly_alike(
    score: float, query: str, meant: str | None
) -> None:
    fields = {one.name: None for one in msgspec.structs.fields(sql.FoundItem)}
    item = sql.FoundItem(**fields | {"name": "양산", "name_en": "Parasol", "score": score})  # type: ignore[arg-type]  # the rest is not read
    assert _did_you_mean(query, [item]) == meant
    assert _did_you_mean(query, []) is None


async def test_a_caller_that_reads_the_text_itself_gets_resemblances_too(client: httpx.AsyncClient) -> None:
    q = "쓰레기 봉투 가격"
    found = await find(client, q, floor=0)
    assert found
    assert all(item["score"] < sql.FLOOR for item in found)


@pytest.mark.parametrize(
    ("q", "slug"),
    [
        ("나무의자", "chair"),  # what it is made of is a name too
        ("녹슨 가위", "scissors"),  # a word of its own
        ("장롱이 낡아서 버리려고요", "wardrobe"),  # what is thrown away is what is mentioned
        ("거울이 깨졌을 때", "mirror"),  # what has become of it
        ("햇반 뚜껑", "instant-rice-container"),  # a part of it
        ("에어후라이어", "airfryer"),  # as people spell it
        ("남비", "cooking-pot"),  # ㅏ for ㅐ, which is heard alike
        ("물테슈", "wet-wipes"),
        ("다이소바구니", "plastic-basket"),
        ("ㄱㅈㅈ", "dry-battery"),
        ("칫솔은 재활용이 되나요", "toothbrush"),
    ],
)
async def test_a_thing_is_found_in_what_people_say(client: httpx.AsyncClient, q: str, slug: str) -> None:
    assert slug in [item["slug"] for item in (await find(client, q))[:3]]


@pytest.mark.parametrize("floor", ["-0.1", "1.1", "x"])
async def test_a_floor_that_is_none_is_400(client: httpx.AsyncClient, floor: str) -> None:
    answer = await client.get(f"{PREFIX}/search", params={"q": "종이", "floor": floor})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "floor")
