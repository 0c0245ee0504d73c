"""What the SQL changes, beside rows that it does not name (tests/bystanders.py)"""

from collections.abc import Awaitable, Callable

from psycopg.types.json import Jsonb

from functions.waste import db as waste
from functions.waste.guides import Advice
from functions.waste.model import AnalysisResult, Guide
from shared.db import Database
from tests.bystanders import KEPT, LONG_AGO, NOW, PEOPLE, STATES, Call, Case, World, changes, each, without_bystanders

RESULT = AnalysisResult([], "embedded", "m", Guide(state="missing"))
# Of each person: what is looked at, what failed, what is known, what is known without a guide.
EACH = (*STATES, "missing")


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
                analysis_result=Jsonb(result) if ended else None,
                created_at=LONG_AGO,
            )
            await world.insert(
                "images",
                id=world.id(f"{name}-image"),
                analysis_id=world.id(name),
                s3_key=f"images/{name}",
                cloudfront_url="http://x",
            )
    await world.conn.execute("DELETE FROM sweeps")  # other tests' have the same prefixes
    for prefix in ("images/", "uploads/"):
        await world.insert("sweeps", prefix=prefix, begun_at=LONG_AGO)


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


ADVICE = Advice(Guide(steps=["씻어요."]))
KIM_S = tuple(f"kim-{state}" for state in EACH)
CASES: list[Case] = [
    ("update_correction", _correct, {"analyses kim-success", "counts kim glass", "counts kim paper"}),
    ("update_stored", lambda w: waste.update_stored(w.conn, w.id("kim-pending"), "http://x"), {"analyses kim-pending"}),
    ("update_failed", _fail("pending"), {"analyses kim-pending"}),
    ("update_failed", _fail("success"), set()),
    ("update_succeeded", _succeed("pending"), {"analyses kim-pending", "counts kim paper"}),
    ("update_succeeded", _succeed("failure"), {"analyses kim-failure", "counts kim paper"}),
    ("update_succeeded", _succeed("success"), set()),
    ("update_guide", lambda w: waste.update_guide(w.conn, _missing(w, "glass"), ADVICE), {"analyses kim-missing"}),
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
        {f"analyses {who}-{state}" for who in PEOPLE for state in EACH[1:]},
    ),
    ("delete_old", lambda w: waste.delete_old(w.conn, LONG_AGO, 10), set()),
    ("update_sweep", lambda w: waste.update_sweep(w.conn, "images/", "a", 1, NOW), {"sweeps images/"}),
    ("update_removed", lambda w: waste.update_removed(w.conn, ["images/a"]), {"sweeps images/"}),
]


@each(CASES)
async def test_a_statement_changes_what_it_names_and_nothing_beside_it(
    call: Call, changed: set[str], db: Callable[[str], Awaitable[Database]]
) -> None:
    assert await changes(await db("waste"), of_waste, call) == changed


def test_each_statement_that_changes_or_deletes_has_its_bystanders() -> None:
    assert without_bystanders("waste", CASES) == set()
