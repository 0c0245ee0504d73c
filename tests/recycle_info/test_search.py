"""GET /search"""

from typing import Any

import httpx
import pytest

from functions.recycle_info import dataset
from tests.conftest import Person
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
    assert set(item) == {
        *(
            "id",
            "name",
            "category",
            "description",
            "how_to_recycle",
            "do_not_do",
            "images",
            "slug",
            "synonyms",
            "score",
        ),
        *("name_en", "synonyms_en", "description_en", "how_to_recycle_en", "do_not_do_en"),
    }
    assert len(item["how_to_recycle"].split("\n")) == len(item["how_to_recycle_en"].split("\n")) == 4


async def test_better_matches_come_first(client: httpx.AsyncClient) -> None:
    scores = [item["score"] for item in await find(client, "플라스틱 병")]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 for score in scores)


async def test_each_name_finds_its_item(client: httpx.AsyncClient) -> None:
    for file in dataset.read_files():
        for entry in file.items:
            for name in (entry.name, entry.name_en):
                found = await find(client, name, limit=1)
                assert found[0]["slug"] == entry.slug, name


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


async def test_with_a_token_the_query_is_kept_and_can_be_forgotten(
    client: httpx.AsyncClient, person: Person, another_person: Person
) -> None:
    for q in ("신문지", "페트병", "책"):
        await client.get(f"{PREFIX}/search", params={"q": q}, headers=person.headers)
    await client.get(f"{PREFIX}/search", params={"q": "상자"}, headers=another_person.headers)
    await client.get(f"{PREFIX}/search", params={"q": "노트"})
    first = (await client.get(f"{PREFIX}/queries", headers=person.headers, params={"limit": 2})).json()
    assert [kept["query"] for kept in first["items"]] == ["책", "페트병"]
    assert first["items"][0]["result"][0]["name"] == "책"
    assert set(first["items"][0]) == {"id", "query", "result", "created_at"}
    query = {"cursor": first["next_cursor"]}
    rest = (await client.get(f"{PREFIX}/queries", headers=person.headers, params=query)).json()
    assert ([kept["query"] for kept in rest["items"]], rest["next_cursor"]) == (["신문지"], None)
    assert (await client.delete(f"{PREFIX}/queries", headers=person.headers)).status_code == 204
    assert (await client.get(f"{PREFIX}/queries", headers=person.headers)).json()["items"] == []
    others = (await client.get(f"{PREFIX}/queries", headers=another_person.headers)).json()["items"]
    assert [kept["query"] for kept in others] == ["상자"]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_history_needs_a_token(client: httpx.AsyncClient, method: str) -> None:
    assert (await client.request(method, f"{PREFIX}/queries")).status_code == 401
