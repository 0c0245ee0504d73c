"""The guide of an analysis: recycle-info's rules over HTTP, cached, and filled later when it was away."""

from collections.abc import Awaitable, Callable

import msgspec

from functions.recycle_info import dataset
from functions.waste.guides import Advice, Guides
from functions.waste.model import Guide, NamedItem
from shared.caching import Cache
from shared.db import Database
from shared.item_ids import item_id
from tests import items


async def test_every_kind_of_waste_has_a_guide(here: Guides) -> None:
    for category in dataset.CATEGORIES:
        guide = (await here.advise(category)).guide
        assert guide.state == "complete"
        assert guide.steps
        assert guide.do_not
        assert guide.item_ids
    assert await here.advise("unknown") == Advice(Guide())


async def test_a_guide_once_read_is_kept_while_recycle_info_is_away(here: Guides, away: Guides) -> None:
    first = await here.advise("glass")
    assert await away.advise("glass") == first
    assert (await away.advise("metal")).guide.state == "missing"


async def test_the_guide_of_an_item_is_its_own(here: Guides, away: Guides) -> None:
    umbrella = item_id("umbrella")
    advice = await here.advise("metal", umbrella)
    assert advice.item == NamedItem(umbrella, "우산")
    assert advice.guide.item_ids == [umbrella]
    assert advice.guide.state == "complete"
    assert advice.guide.steps != (await here.advise("metal")).guide.steps
    assert await away.advise("metal", umbrella) == advice, "kept while recycle-info is away"


async def test_an_item_of_another_kind_or_of_another_list_leaves_the_guide_of_the_kind(here: Guides) -> None:
    glass = await here.advise("glass")
    assert await here.advise("glass", item_id("umbrella")) == glass, "the person says it is glass"
    assert await here.advise("glass", item_id("no-such-item")) == glass
    assert glass.item is None


async def test_what_recycle_info_does_not_know_yet_is_asked_for_again(
    here: Guides, empty_cache: Cache, db: Callable[[str], Awaitable[Database]]
) -> None:
    umbrella, database = item_id("umbrella"), await db("recycle_info")
    async with database.transaction() as conn:
        await conn.execute("DELETE FROM items WHERE category = 'metal'")
        await conn.execute("DELETE FROM categories WHERE category = 'metal'")
    try:
        assert (await here.advise("metal", umbrella)).guide.state == "missing"
        assert await empty_cache.client.keys() == []
    finally:
        await items.put(database)
    advice = await here.advise("metal", umbrella)
    assert (advice.guide.state, advice.guide.item_ids) == ("complete", [umbrella])


async def test_a_guide_is_kept_for_an_hour_and_no_longer(here: Guides, empty_cache: Cache) -> None:
    umbrella = item_id("umbrella")
    await here.advise("glass")
    await here.advise("metal", umbrella)
    keys = await empty_cache.client.keys()
    assert len(keys) == 2
    for key in keys:
        assert 0 < await empty_cache.client.ttl(key) <= 3600


async def test_what_is_kept_is_of_one_item_and_of_one_kind(here: Guides, away: Guides) -> None:
    asked = [("metal", item_id("umbrella")), ("metal", item_id("frying-pan")), ("metal", None), ("glass", None)]
    fresh = [await here.advise(*each) for each in asked]
    assert len({msgspec.json.encode(advice) for advice in fresh}) == len(asked)
    assert [await away.advise(*each) for each in asked] == fresh
