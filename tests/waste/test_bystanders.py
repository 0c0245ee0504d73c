"""What the SQL changes and what it finds, beside rows that it does not name (tests/bystanders.py)"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from psycopg.types.json import Jsonb

from functions.waste import db as waste
from functions.waste.guides import Advice
from functions.waste.model import AnalysisResult, Guide
from shared.db import Database
from tests.bystanders import (
    AHEAD,
    KEPT,
    LONG_AGO,
    NOW,
    PEOPLE,
    STATES,
    Call,
    Case,
    Read,
    World,
    changes,
    each,
    each_read,
    finds,
    unread,
    without_bystanders,
)

RESULT = AnalysisResult([], "embedded", "m", Guide(state="missing"))
# Of each person: what is looked at, what failed, what is known, what is known without a guide.
EACH = (*STATES, "missing")
# When each was asked for: neither in the order of the ids, nor each at a time of its own.
ASKED = {state: LONG_AGO + timedelta(minutes=minutes) for state, minutes in zip(EACH, (0, 3, 2, 2), strict=True)}
FIRST = LONG_AGO - timedelta(minutes=1)
ENDED = {"kim": LONG_AGO + timedelta(minutes=9), "lee": LONG_AGO + timedelta(minutes=8)}


async def of_waste(world: World) -> None:
    for who in PEOPLE:
        await world.kept(who)
        for state in EACH:
            name = f"{who}-{state}"
            ended = state in ("success", "missing")
            result = {"candidates": [], "provider": "p", "model": "m"} | {
                "guide": {"state": "missing" if state == "missing" else "complete"}
            }
            await world.insert(
                "analyses",
                id=world.id(name),
                user_id=world.id(who),
                image_url="",
                upload_key=f"uploads/{name}",
                status="success" if ended else state,
                waste_type="glass" if ended else None,
                error="e" if state == "failure" else None,
                error_code="c" if state == "failure" else None,
                analysis_result=Jsonb(result) if ended else None,
                created_at=ASKED[state],
                completed_at=ENDED[who] if ended else None,
            )
            await world.insert(
                "images",
                id=world.id(f"{name}-image"),
                analysis_id=world.id(name),
                s3_key=f"images/{name}",
                cloudfront_url="http://x",
            )
    await world.conn.execute("DELETE FROM sweeps")  # other tests' have the same prefixes
    for prefix, after in (("images/", ""), ("uploads/", "uploads/k")):
        await world.insert("sweeps", prefix=prefix, after=after, looked_at=7, removed=2, begun_at=LONG_AGO)


def _missing(world: World, kind: str, state: str = "missing") -> waste.Missing:
    return waste.Missing(world.id(f"kim-{state}"), kind, None)


def _succeed(state: str) -> Call:
    return lambda w: waste.update_succeeded(w.conn, w.id(f"kim-{state}"), "paper", 0.5, RESULT, NOW)


def _fail(state: str) -> Call:
    return lambda w: waste.update_failed(w.conn, w.id(f"kim-{state}"), "code", "words", NOW)


async def _correct(world: World) -> None:
    analysis = await waste.select_analysis(world.conn, world.id("kim-success"), world.id("kim"))
    assert analysis is not None
    analysis.corrected_type = "paper"
    await waste.update_correction(world.conn, analysis)


def _analyses(*names: str) -> set[str]:
    return {f"{table} {name}{end}" for name in names for table, end in (("analyses", ""), ("images", "-image"))}


SUCCEEDED = "analysis_result, completed_at, confidence, status, waste_type"
ADVICE = Advice(Guide(steps=["씻어요."]))
KIM_S = tuple(f"kim-{state}" for state in EACH)
CASES: list[Case] = [
    (
        "update_correction",
        _correct,
        {"analyses kim-success: analysis_result, corrected_type", "counts kim glass: analyses", "counts kim paper"},
    ),
    (
        "update_stored",
        lambda w: waste.update_stored(w.conn, w.id("kim-pending"), "http://x"),
        {"analyses kim-pending: image_url"},
    ),
    ("update_failed", _fail("pending"), {"analyses kim-pending: completed_at, error, error_code, status"}),
    ("update_failed", _fail("success"), set()),
    ("update_succeeded", _succeed("pending"), {f"analyses kim-pending: {SUCCEEDED}", "counts kim paper"}),
    (
        "update_succeeded",
        _succeed("failure"),
        {f"analyses kim-failure: {SUCCEEDED.replace('status', 'error, error_code, status')}", "counts kim paper"},
    ),
    ("update_succeeded", _succeed("success"), set()),
    (
        "update_guide",
        lambda w: waste.update_guide(w.conn, _missing(w, "glass"), ADVICE),
        {"analyses kim-missing: analysis_result"},
    ),
    ("update_guide", lambda w: waste.update_guide(w.conn, _missing(w, "paper"), ADVICE), set()),
    ("update_guide", lambda w: waste.update_guide(w.conn, _missing(w, "glass", "success"), ADVICE), set()),
    ("delete_analysis", lambda w: waste.delete_analysis(w.conn, w.id("kim-pending")), _analyses("kim-pending")),
    (
        "delete_person",
        lambda w: waste.delete_person(w.conn, w.id("kim")),
        _analyses(*KIM_S) | {"counts kim glass", KEPT},
    ),
    (
        "update_ended_uploads",
        lambda w: waste.update_ended_uploads(w.conn),
        {f"analyses {who}-{state}: upload_key" for who in PEOPLE for state in EACH[1:]},
    ),
    (
        "insert_images",
        lambda w: waste.insert_images(w.conn, w.id("kim-pending"), {"images/kim-success": "http://y"}, NOW),
        set(),
    ),
    ("delete_old", lambda w: waste.delete_old(w.conn, LONG_AGO, 10), set()),
    (
        "update_sweep",
        lambda w: waste.update_sweep(w.conn, "images/", "a", 1, NOW),
        {"sweeps images/: after, begun_at, looked_at, removed"},
    ),
    (
        "update_sweep",
        lambda w: waste.update_sweep(w.conn, "uploads/", "", 1, NOW),
        {"sweeps uploads/: after, ended_at, looked_at"},
    ),
    ("update_removed", lambda w: waste.update_removed(w.conn, ["images/a"]), {"sweeps images/: removed"}),
]


@each(CASES)
async def test_a_statement_changes_what_it_names_and_nothing_beside_it(
    call: Call, changed: set[str], db: Callable[[str], Awaitable[Database]]
) -> None:
    assert await changes(await db("waste"), of_waste, call) == changed


def test_each_statement_that_changes_or_deletes_has_its_bystanders() -> None:
    assert without_bystanders("waste", CASES) == set()


async def _owner_later(world: World) -> Any:
    cursor = await waste.select_owner_later(world.conn, world.id("kim-pending"))
    await world.conn.execute("SELECT 1")
    return await cursor.fetchone()


async def _stats(world: World) -> Any:
    for kind, count in (("paper", 0), ("metal", 3), ("can", 3)):
        await world.insert("counts", user_id=world.id("kim"), waste_type=kind, analyses=count)
    # One that was asked for before the other, and lies behind it.
    first = [FIRST, world.id("kim-success")]
    await world.conn.execute("UPDATE analyses SET created_at = %s WHERE id = %s", first)
    found = await waste.select_stats(world.conn, world.id("kim"))
    return [found.total, list(found.by_type.items()), found.since]


async def _swept(world: World) -> Any:
    """Where each sweep goes on."""
    await waste.update_sweep(world.conn, "images/", "images/a", 1, NOW)
    return [await waste.select_sweep(world.conn, prefix, NOW) for prefix in ("images/", "uploads/", "new/")]


async def _rounds(world: World) -> Any:
    """What a round that begins, one that goes on and one that ends have looked at and removed, when they began and ended."""
    await world.insert("sweeps", prefix="new/", after="new/k", looked_at=7, removed=2, begun_at=LONG_AGO)
    for prefix, after in (("images/", "images/a"), ("new/", "new/l"), ("uploads/", "")):
        await waste.update_sweep(world.conn, prefix, after, 5, NOW)
    cursor = await world.conn.execute(
        "SELECT looked_at, removed, begun_at = %s, ended_at IS NOT NULL FROM sweeps ORDER BY prefix", [NOW]
    )
    return await cursor.fetchall()


async def _not_ours(world: World) -> Any:
    """Which of these, by number: two of an analysis that has ended, one of one under way, an upload, and what no one has."""
    ended, under_way, gone = (f"images/{world.id(name)}" for name in ("kim-success", "kim-pending", "gone"))
    await world.insert("images", id=world.id("i"), analysis_id=world.id("kim-success"), s3_key=f"{ended}/web")
    await world.insert("uploads", image_key="uploads/kim", user_id=world.id("kim"), expires_at=AHEAD)
    keys = [f"{ended}/web", f"{ended}/other", f"{under_way}/web", "uploads/kim", "uploads/lee", f"{gone}/web"]
    return sorted(keys.index(key) for key in await waste.select_not_ours(world.conn, keys))


READS: list[Read] = [
    ("select_analysis", lambda w: waste.select_analysis(w.conn, w.id("kim-success"), w.id("kim")), "kim-success"),
    ("select_analysis", lambda w: waste.select_analysis(w.conn, w.id("kim-success"), w.id("lee")), None),
    (
        "select_analyses",
        lambda w: waste.select_analyses(w.conn, w.id("kim"), None, 10),
        ["kim-failure", "kim-missing", "kim-success", "kim-pending"],
    ),
    (
        "select_analyses",
        lambda w: waste.select_analyses(w.conn, w.id("kim"), (ASKED["missing"], w.id("kim-missing")), 1),
        ["kim-success"],
    ),
    ("select_owner_for_update", lambda w: waste.select_owner_for_update(w.conn, w.id("kim-pending")), "kim"),
    ("select_owner_for_update", lambda w: waste.select_owner_for_update(w.conn, w.id("gone")), None),
    ("select_owner_later", _owner_later, "kim"),
    ("select_stats", _stats, [8, [["can", 3], ["metal", 3], ["glass", 2]], FIRST]),
    ("select_without_guide", lambda w: waste.select_without_guide(w.conn, 1), ["lee-missing"]),
    ("select_sweep", _swept, ["images/a", "uploads/k", ""]),
    ("update_sweep", _rounds, [[5, 0, True, False], [12, 2, False, False], [12, 2, False, True]]),
    ("select_not_ours", _not_ours, [1, 4, 5]),
]


@each_read(READS)
async def test_a_statement_finds_what_it_names_in_its_order_and_nothing_beside_it(
    call: Call, expected: Any, db: Callable[[str], Awaitable[Database]]
) -> None:
    assert await finds(await db("waste"), of_waste, call) == expected


def test_each_statement_that_reads_is_looked_at() -> None:
    assert unread("waste", READS) == set()
