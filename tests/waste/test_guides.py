"""The guide of an analysis: recycle-info's rules over HTTP, cached, and filled later when it was away."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from functions.recycle_info import dataset
from functions.recycle_info.import_items import load
from functions.waste import db as sql
from functions.waste.fill_guides import fill_guides
from functions.waste.guides import guide_for
from functions.waste.model import AnalysisResult, Candidate, Guide
from runtime.http.host import build
from shared import caching, calls, clock
from shared.calls import Calls
from shared.db import Database, bind
from shared.ids import new_id
from tests import support

Connect = Callable[[str], Awaitable[Database]]


@pytest.fixture
async def recycle(environment: dict[str, str], db: Connect) -> Any:
    """recycle-info with its items, on an address of its own."""
    database = await db("recycle_info")
    async with database.transaction() as conn:
        await load(conn, dataset.read_files())
    edge, _ = build(["recycle_info"], environment, background=False, access_log=False)
    async with support.listening(edge) as address:
        yield address


@pytest.fixture(autouse=True)
async def parts(cache_url: str) -> Any:
    """An empty cache, and nobody to ask."""
    from shared.redis import connect_async

    client = connect_async(cache_url)
    await client.flushdb()
    caching.use(client)
    calls.use(Calls({"api-recycle-info": "http://127.0.0.1:9"}))
    yield
    await calls.calls().close()
    await client.aclose()


async def test_every_kind_of_waste_has_a_guide(recycle: str) -> None:
    calls.use(Calls({"api-recycle-info": recycle}))
    for category in dataset.CATEGORIES:
        guide = await guide_for(category)
        assert guide.state == "complete"
        assert guide.steps
        assert guide.do_not
        assert guide.item_ids
    assert await guide_for("unknown") == Guide()


async def test_a_guide_once_read_is_kept_while_recycle_info_is_away(recycle: str) -> None:
    calls.use(Calls({"api-recycle-info": recycle}))
    first = await guide_for("glass")
    await calls.calls().close()
    calls.use(Calls({"api-recycle-info": "http://127.0.0.1:9"}))
    assert await guide_for("glass") == first
    assert (await guide_for("metal")).state == "missing"


async def test_a_guide_that_could_not_be_fetched_is_filled_later(recycle: str, db: Connect) -> None:
    waste, analysis_id, user_id = await db("waste"), new_id(), new_id()
    result = AnalysisResult([Candidate("glass", 0.9)], "embedded", "lite0", await guide_for("glass"))
    assert result.guide.state == "missing"
    async with waste.transaction() as conn:
        await sql.insert_analysis(conn, analysis_id, user_id, "uploads/x", clock.now())
        await sql.update_succeeded(conn, analysis_id, "glass", 0.9, result, clock.now())
    with bind(waste):
        await fill_guides()  # still away: nothing happens
        calls.use(Calls({"api-recycle-info": recycle}))
        await fill_guides()
    async with waste.connection() as conn:
        analysis = await sql.select_analysis(conn, analysis_id, user_id)
    assert analysis is not None
    assert analysis.analysis_result is not None
    assert analysis.analysis_result.guide.state == "complete"
    assert msgspec.to_builtins(analysis.analysis_result.guide.steps)
