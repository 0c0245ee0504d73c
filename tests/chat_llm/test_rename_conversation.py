"""A conversation's title"""

from typing import Any

import httpx
import pytest

from tests.chat_llm.conftest import BASE, begin
from tests.conftest import Person


async def test_a_conversation_is_renamed_unless_it_has_changed(client: httpx.AsyncClient, person: Person) -> None:
    path = f"{BASE}/{await begin(client, person)}"
    tag = (await client.get(path, headers=person.headers)).headers["etag"]
    renamed = await client.patch(path, json={"title": "새 제목"}, headers=person.headers | {"If-Match": tag})
    assert (renamed.status_code, renamed.json()["title"]) == (200, "새 제목")
    stale = await client.patch(path, json={"title": "더"}, headers=person.headers | {"If-Match": tag})
    assert stale.status_code == 412
    fresh = {"If-None-Match": renamed.headers["etag"]}
    assert (await client.get(path, headers=person.headers | fresh)).status_code == 304
    assert (await client.get(path, headers=person.headers)).json() == renamed.json()


@pytest.mark.parametrize("title", ["", " ", "x" * 201, "nul\x00", 7])
async def test_a_title_that_can_not_be_kept_is_refused_by_name(
    client: httpx.AsyncClient, person: Person, title: Any
) -> None:
    path = f"{BASE}/{await begin(client, person)}"
    for answer in (
        await client.post(BASE, json={"title": title}, headers=person.headers),
        await client.patch(path, json={"title": title}, headers=person.headers),
    ):
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "title")
