"""Guides that are filled when recycle-info is back"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

import msgspec
import pytest

from functions.waste import db as sql
from functions.waste import fill_guides as fill_module
from functions.waste.fill_guides import fill_guides
from functions.waste.guides import Advice, Guides
from functions.waste.model import Analysis, AnalysisResult, Candidate, Guide, NamedItem
from shared import clock
from shared.caching import Cache
from shared.calls import Calls
from shared.db import Database
from shared.ids import new_id
from shared.item_ids import item_id
from tests import support
from tests.waste.conftest import NO_ONE

Connect = Callable[[str], Awaitable[Database]]


Fill = Callable[[], Awaitable[None]]


@pytest.fixture
async def fill(recycle: str, empty_cache: Cache, db: Connect) -> AsyncIterator[Fill]:
    """What the schedule does while recycle-info answers."""
    waste, calls = await db("waste"), Calls({"api-recycle-info": recycle})
    yield lambda: fill_guides(waste, calls, empty_cache)
    await calls.close()


async def analysed(waste: Database, user_id: UUID, result: AnalysisResult, waste_type: str) -> UUID:
    analysis_id = new_id()
    async with waste.transaction() as conn:
        await sql.insert_analysis(conn, analysis_id, user_id, "uploads/x", clock.now())
        await sql.update_succeeded(conn, analysis_id, waste_type, 0.9, result, clock.now())
    return analysis_id


async def read(waste: Database, analysis_id: UUID, user_id: UUID) -> Analysis:
    async with waste.connection() as conn:
        analysis = await sql.select_analysis(conn, analysis_id, user_id)
    assert analysis is not None
    return analysis


async def test_who_waits_longest_for_a_guide_comes_first_and_no_more_than_asked_for(db: Connect) -> None:
    waste, user_id = await db("waste"), new_id()
    missing = AnalysisResult([Candidate("glass", 0.9)], "embedded", "lite0", Guide(state="missing"))
    later, first = [await analysed(waste, user_id, missing, "glass") for _ in range(2)]
    async with waste.transaction() as conn:
        await conn.execute("UPDATE analyses SET completed_at = '2020-01-01' WHERE id = %s", [first])
        assert [found.id for found in await sql.select_without_guide(conn, 1)] == [first]
        waiting = [found.id for found in await sql.select_without_guide(conn, 100_000)]
        assert waiting.index(first) < waiting.index(later)
        await conn.execute("DELETE FROM analyses WHERE user_id = %s", [user_id])


@pytest.mark.parametrize("at_once", [1, 200])
async def test_a_kind_that_the_list_has_nothing_of_keeps_no_other_waiting(
    fill: Fill, db: Connect, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(fill_module, "_AT_ONCE", at_once)
    asked, advise = [], Guides.advise

    async def noted(guides: Guides, kind: str, item: UUID | None = None) -> Advice:
        asked.append(kind)
        return await advise(guides, kind, item)

    monkeypatch.setattr(Guides, "advise", noted)
    waste, user_id = await db("waste"), new_id()
    missing = AnalysisResult([Candidate("glass", 0.9)], "embedded", "lite0", Guide(state="missing"))
    kinds = ("unlisted", "unlisted", "glass")
    waiting = [await analysed(waste, user_id, missing, kind) for kind in kinds]
    async with waste.transaction() as conn:
        for year, analysis_id in zip(("2020", "2021", "2022"), waiting, strict=True):
            at = f"{year}-01-01"
            await conn.execute(
                "UPDATE analyses SET completed_at = %s::text::timestamp WHERE id = %s", [at, analysis_id]
            )
    await fill()
    states = [(await read(waste, analysis_id, user_id)).analysis_result for analysis_id in waiting]
    assert [result and result.guide.state for result in states] == ["missing", "missing", "complete"]
    assert asked.count("unlisted") == 1, "it is asked about once, and not for each photo"
    async with waste.transaction() as conn:
        await conn.execute("DELETE FROM analyses WHERE user_id = %s", [user_id])


async def test_a_guide_that_could_not_be_fetched_is_filled_later(
    away: Guides, empty_cache: Cache, fill: Fill, db: Connect
) -> None:
    waste, analysis_id, user_id = await db("waste"), new_id(), new_id()
    result = AnalysisResult([Candidate("glass", 0.9)], "embedded", "lite0", (await away.advise("glass")).guide)
    assert result.guide.state == "missing"
    async with waste.transaction() as conn:
        await sql.insert_analysis(conn, analysis_id, user_id, "uploads/x", clock.now())
        await sql.update_succeeded(conn, analysis_id, "glass", 0.9, result, clock.now())
    await fill_guides(waste, NO_ONE, empty_cache)  # still away: nothing happens
    await fill()
    async with waste.connection() as conn:
        analysis = await sql.select_analysis(conn, analysis_id, user_id)
    assert analysis is not None
    assert analysis.analysis_result is not None
    assert analysis.analysis_result.guide.state == "complete"
    assert msgspec.to_builtins(analysis.analysis_result.guide.steps)


async def test_an_item_whose_name_could_not_be_fetched_is_filled_with_its_guide(
    here: Guides, away: Guides, fill: Fill, db: Connect
) -> None:
    waste, user_id, umbrella = await db("waste"), new_id(), item_id("umbrella")
    result = AnalysisResult(
        [Candidate("metal", 0.9)], "embedded", "lite2", (await away.advise("metal", umbrella)).guide
    )
    analysis_id = await analysed(waste, user_id, result, "metal")
    assert (await read(waste, analysis_id, user_id)).item_id == umbrella
    await fill()
    filled = (await read(waste, analysis_id, user_id)).analysis_result
    assert filled is not None
    assert filled.item == NamedItem(umbrella, "우산")
    assert filled.guide == (await here.advise("metal", umbrella)).guide


async def test_a_guide_that_is_filled_later_is_that_of_the_persons_word(
    here: Guides, away: Guides, fill: Fill, db: Connect
) -> None:
    waste, user_id = await db("waste"), new_id()
    result = AnalysisResult([Candidate("metal", 0.9)], "embedded", "lite2", (await away.advise("metal")).guide)
    analysis_id = await analysed(waste, user_id, result, "metal")
    analysis = await read(waste, analysis_id, user_id)
    analysis.corrected_type = "glass"
    async with waste.transaction() as conn:
        await sql.update_correction(conn, analysis)
    await fill()
    filled = (await read(waste, analysis_id, user_id)).analysis_result
    assert filled is not None
    assert filled.guide == (await here.advise("glass")).guide


async def test_a_guide_that_comes_late_takes_neither_the_person_s_word_nor_another_guide_away(
    away: Guides, here: Guides, db: Connect
) -> None:
    waste, user_id = await db("waste"), new_id()
    result = AnalysisResult([Candidate("glass", 0.9)], "embedded", "lite0", (await away.advise("glass")).guide)
    id_ = await analysed(waste, user_id, result, "glass")
    missing, glass, paper = sql.Missing(id_, "glass", None), await here.advise("glass"), await here.advise("paper")

    async def after(missing: sql.Missing, advice: Advice) -> Guide | None:
        async with waste.connection() as conn:
            await sql.update_guide(conn, missing, advice)
        found = (await read(waste, id_, user_id)).analysis_result
        return found and found.guide

    analysis = await read(waste, id_, user_id)
    analysis.corrected_type = "paper"
    async with waste.connection() as conn:
        await sql.update_correction(conn, analysis)
    assert await after(missing, glass) == result.guide, "the person has said paper meanwhile"
    assert await after(sql.Missing(id_, "paper", None), paper) == paper.guide
    assert await after(sql.Missing(id_, "paper", None), glass) == paper.guide, "it is filled"


async def test_a_guide_that_comes_late_without_an_item_leaves_the_one_that_is_known(here: Guides, db: Connect) -> None:
    waste, user_id = await db("waste"), new_id()
    item = NamedItem(item_id("umbrella"), "우산")
    result = AnalysisResult([Candidate("metal", 0.9)], "embedded", "lite2", Guide(state="missing"), item=item)
    id_, advice = await analysed(waste, user_id, result, "metal"), await here.advise("metal")
    async with waste.connection() as conn:
        await sql.update_guide(conn, sql.Missing(id_, "metal", item.id), advice)
    filled = (await read(waste, id_, user_id)).analysis_result
    assert filled is not None
    assert (filled.item, filled.guide) == (item, advice.guide)


async def test_while_recycle_info_is_away_it_is_asked_once_and_not_for_each(db: Connect, empty_cache: Cache) -> None:
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    waste, missing = (
        await db("waste"),
        AnalysisResult([Candidate("glass", 0.9)], "embedded", "lite0", Guide(state="missing")),
    )
    for _ in range(3):
        await analysed(waste, new_id(), missing, "glass")
    async with support.answering(serve) as address:
        calls = Calls({"api-recycle-info": address})
        await fill_guides(waste, calls, empty_cache)
        await calls.close()
    assert asked == 1
