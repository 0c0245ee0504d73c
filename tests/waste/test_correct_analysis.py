"""The person's own word on a photo"""

import httpx
import msgspec
import pytest

from functions.waste.fill_guides import fill_guides
from functions.waste.guides import Guides
from shared.db import Database
from shared.item_ids import item_id
from shared.messages import Candidate, Classification
from tests.conftest import Person, Serve, Take
from tests.waste.conftest import BASE, accept, finish


@pytest.fixture
async def asked(serve: Serve, take: Take, recycle: str) -> httpx.AsyncClient:
    """The service where recycle-info answers."""
    take.environment["SERVICE_URLS"] = urls = f"api-recycle-info={recycle}"
    return await serve("waste", SERVICE_URLS=urls)


CLOSE = Classification(
    "glass",
    0.5,
    [Candidate("glass", 0.5), Candidate("pet_clear", 0.4)],
    "embedded",
    "lite0",
    item_id=item_id("beer-bottle"),
    ask=["glass", "pet_clear"],
)


async def test_a_correction_stands_beside_the_answer(
    client: httpx.AsyncClient, person: Person, waste: Database, take: Take
) -> None:
    body = await accept(client, person)
    await finish(take, waste, body["id"])
    path = f"{BASE}/analyses/{body['id']}"
    read = await client.get(path, headers=person.headers)
    stale = await client.patch(path, json={"waste_type": "glass"}, headers=person.headers | {"If-Match": '"old"'})
    assert stale.status_code == 412
    corrected = await client.patch(
        path, json={"waste_type": "glass"}, headers=person.headers | {"If-Match": read.headers["etag"]}
    )
    assert (corrected.json()["waste_type"], corrected.json()["corrected_type"]) == ("plastic", "glass")
    again = await client.get(path, headers=person.headers | {"If-None-Match": corrected.headers["etag"]})
    assert again.status_code == 304
    stats = (await client.get(f"{BASE}/stats", headers=person.headers)).json()
    assert (stats["total"], stats["by_type"], stats["since"]) == (1, {"glass": 1}, body["created_at"])
    unknown = await client.patch(path, json={"waste_type": "gold"}, headers=person.headers)
    assert unknown.status_code == 400
    assert unknown.json()["errors"][0]["field"] == "waste_type"


async def test_what_the_photo_leaves_open_is_asked_and_the_guide_follows_the_choice(
    person: Person, waste: Database, asked: httpx.AsyncClient, take: Take
) -> None:
    body = await accept(asked, person)
    await finish(take, waste, body["id"], CLOSE)
    path = f"{BASE}/analyses/{body['id']}"
    result = (await asked.get(path, headers=person.headers)).json()["analysis_result"]
    assert result["item"] == {"id": str(item_id("beer-bottle")), "name": "맥주병"}
    assert result["guide"]["item_ids"] == [str(item_id("beer-bottle"))], "the item's own guide"
    assert result["ask"]["options"] == ["glass", "pet_clear"]
    assert "페트병" in result["ask"]["question"]
    chosen = (await asked.patch(path, json={"waste_type": "pet_clear"}, headers=person.headers)).json()
    assert (chosen["waste_type"], chosen["corrected_type"]) == ("glass", "pet_clear")
    after = chosen["analysis_result"]
    assert after["guide"]["steps"] != result["guide"]["steps"]
    assert {key: after[key] for key in ("item", "ask")} == {key: result[key] for key in ("item", "ask")}
    back = (await asked.patch(path, json={"waste_type": "glass"}, headers=person.headers)).json()
    assert back["analysis_result"] == result, "and follows back to the item"
    again = await asked.get(path, headers=person.headers)
    assert again.json() == back
    nothing = (await asked.patch(path, json={"waste_type": "unknown"}, headers=person.headers)).json()
    assert nothing["analysis_result"]["guide"] == {"steps": [], "do_not": [], "item_ids": [], "state": "complete"}


async def test_a_person_who_is_faster_than_the_classifier_gets_the_guide_of_the_choice(
    person: Person, waste: Database, asked: httpx.AsyncClient, take: Take
) -> None:
    body = await accept(asked, person)
    path = f"{BASE}/analyses/{body['id']}"
    early = await asked.patch(path, json={"waste_type": "paper"}, headers=person.headers)
    assert early.json()["analysis_result"] is None
    await finish(take, waste, body["id"], CLOSE)
    parts = await take.parts("waste")
    await fill_guides(waste, parts["calls"], parts["cache"])
    guides = Guides(parts["calls"], parts["cache"])
    analysis = (await asked.get(path, headers=person.headers)).json()
    assert (analysis["waste_type"], analysis["corrected_type"]) == ("glass", "paper")
    assert analysis["analysis_result"]["guide"] == msgspec.to_builtins((await guides.advise("paper")).guide)


@pytest.mark.parametrize(("says", "stands"), [("paper", "missing"), ("glass", "complete")])
async def test_until_then_the_item_is_kept_and_who_says_what_the_classifier_says_has_its_guide_at_once(
    person: Person, waste: Database, asked: httpx.AsyncClient, take: Take, says: str, stands: str
) -> None:
    body = await accept(asked, person)
    path = f"{BASE}/analyses/{body['id']}"
    await asked.patch(path, json={"waste_type": says}, headers=person.headers)
    await finish(take, waste, body["id"], CLOSE)
    guide = (await asked.get(path, headers=person.headers)).json()["analysis_result"]["guide"]
    assert (guide["state"], guide["item_ids"]) == (stands, [str(item_id("beer-bottle"))])
