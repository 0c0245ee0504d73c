"""Every statement and every endpoint on a system of one size, and what is wrong at it or between two sizes."""

import contextlib
import statistics
import time
import tomllib
from collections.abc import Callable, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
from msgspec import Struct

from functions.waste.messages import PhotoProcessed
from runtime.http.host import build
from runtime.services import find, load_services
from shared import tasks, uploads
from shared.connection import EcoConnection, adapters
from shared.db import Database
from shared.ids import new_id
from shared.messages import Outcome, ProcessPhoto
from tests import items, support
from tests.growth import calls
from tests.growth.data import id_of
from tests.growth.plans import Explaining, Seen

# So many times as many pages as at the size before, and so many more, is a slope.
SLOPE, PAGES = 2.0, 40
UPLOAD = f"uploads/{id_of('person', 1)}/none"
KNOWN = Path(__file__).with_name("known.toml")
ENDPOINTS = {
    "waste": ("/analyses", "/analyses?limit=100", "/stats", "/analyses/{analysis}"),
    "chat_llm": ("/conversations", "/conversations/{conversation}/messages"),
    "location": (
        "/me",
        "/centers?lat=35&lon=127&radius=20000",
        "/centers?lat=35&lon=127&radius=20000&open_at={now}",
        "/centers/search?q=한빛20",
    ),
    "recycle_info": ("/queries", "/items?limit=20", "/categories"),
    "userinfo": ("/me", "/me/settings"),
}


class Known(Struct):
    """A finding that is as it should be, and why; `*` in a statement's name is anything."""

    statement: str
    finding: str
    reason: str


def known() -> tuple[list[Known], dict[str, str]]:
    """What known.toml names: findings, and functions that are not called."""
    found = tomllib.loads(KNOWN.read_text(encoding="utf-8"))
    return [Known(**one) for one in found.get("finding", [])], found.get("uncalled", {})


async def statements(environment: dict[str, str], now: datetime) -> list[Seen]:
    """Each statement of functions/*/db.py and of the shared tables, under its service's role."""
    uncalled = known()[1]
    Explaining.seen = []
    database = Database(environment[find("recycle_info").database.env])
    await database.open()
    await items.put(database)
    await database.close()
    for folder, name, function in calls.functions():
        if f"{folder}.{name}" not in uncalled:
            given = calls.arguments(function, calls.values(folder, now))
            await _explain(environment, folder, f"{folder}.{name}", function, **given)
    person, task = id_of("person", 1), id_of("task", 1)
    message = ProcessPhoto(image_key="k", prefix="p")
    outcome = Outcome(task_id=task, run_id=new_id(), subject=person, status="success", completed_at=now)
    for name, function, positional, given in (
        ("tasks.enqueue", tasks.enqueue, [message], {"subject": new_id(), "reply": PhotoProcessed}),
        ("tasks.settle", tasks.settle, [outcome], {}),
        ("tasks.forget", tasks.forget, [id_of("analysis", 1)], {}),
        ("uploads.redeem", uploads.redeem, [person, UPLOAD], {}),
        ("uploads.select_stale", uploads.select_stale, [], {}),
        ("uploads.delete_rows", uploads.delete_rows, [[UPLOAD]], {}),
        ("uploads.select_open", uploads.select_open, [person], {}),
        ("uploads.delete_of_person", uploads.delete_of_person, [person], {}),
    ):
        await _explain(environment, "waste", name, function, *positional, **given)
    return list(Explaining.seen)


async def _explain(
    environment: dict[str, str], folder: str, name: str, function: Callable[..., Any], *positional: Any, **given: Any
) -> None:
    dsn = environment[find(folder).database.env]
    async with await EcoConnection.connect(dsn, context=adapters(), cursor_factory=Explaining) as conn:
        for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):  # what is slow is to be seen
            await conn.execute(f"SET {limit} = 0")
        Explaining.function = name
        # Some find nothing of this name: the statement is what is looked at.
        with contextlib.suppress(uploads.UploadNotFound):
            await function(conn, *positional, **given)
        await conn.rollback()


async def endpoints(
    environment: dict[str, str], keys: support.Keys, now: datetime, times: int = 15
) -> dict[str, float]:
    """The median of each endpoint's answers to the first person, in milliseconds."""
    found = {}
    words = {
        "analysis": id_of("analysis", 20),
        "conversation": id_of("conversation", 20),
        "now": f"{now:%Y-%m-%dT%H:%M:%SZ}",
    }
    headers = {"Authorization": f"Bearer {support.access_token(keys, id_of('person', 1), id_of('session', 1))}"}
    for folder, paths in ENDPOINTS.items():
        app, _ = build([folder], environment, background=False, access_log=False)
        prefix = load_services()[folder].prefix
        async with support.lifespan(app):
            transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]  # httpx types an ASGI scope as any mapping
            async with httpx.AsyncClient(transport=transport, base_url="http://growth.test", headers=headers) as client:
                for path in paths:
                    took = []
                    for _ in range(times):
                        begun = time.perf_counter()
                        answer = await client.get(prefix + path.format(**words))
                        took.append(time.perf_counter() - begun)
                        assert answer.status_code == 200, f"{prefix}{path}: {answer.status_code} {answer.text[:300]}"
                    found[f"GET {prefix}{path}"] = statistics.median(took) * 1000
    return found


def findings(sizes: Sequence[tuple[float, Sequence[Seen]]]) -> list[tuple[str, str]]:
    """What is wrong: by statement, with words that known.toml may name."""
    found = {(one.name, finding) for _, seen in sizes for one in seen for finding in one.findings}
    for (_, smaller), (_, larger) in pairwise(sizes):
        before = {one.name: one.buffers for one in smaller}
        found |= {
            (one.name, "reads more as the system grows")
            for one in larger
            if one.name in before and one.buffers > before[one.name] * SLOPE + PAGES
        }
    return sorted(found)


def unnamed(found: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Findings that known.toml does not name; and what it names though nothing of it was found."""
    names = known()[0]

    def fits(one: Known, statement: str, finding: str) -> bool:
        return fnmatchcase(statement, one.statement) and fnmatchcase(finding, one.finding)

    return [
        f"{statement}: {finding}"
        for statement, finding in found
        if not any(fits(one, statement, finding) for one in names)
    ], [
        f"{one.statement}: {one.finding}"
        for one in names
        if not any(fits(one, statement, finding) for statement, finding in found)
    ]
