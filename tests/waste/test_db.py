"""Two who change the same analysis at the same time: one waits, and sees what the other has done"""

from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

import httpx
import pytest

from functions.waste import db as sql
from functions.waste.erase_person import erase_person
from functions.waste.model import AnalysisResult, Candidate, Guide
from functions.waste.photo_classified import photo_classified
from functions.waste.photo_processed import photo_processed
from shared import clock
from shared.db import Connection, Database
from shared.ids import new_id
from shared.messages import ErasePerson
from shared.tasks import forget
from tests.conftest import Person, Take
from tests.support import held_up, left_of, one_at_a_time
from tests.waste.conftest import BASE, CLASSIFIED, accept, outbox, outcome, processed, upload

Ask = Callable[[httpx.AsyncClient, str, dict[str, str]], Coroutine[Any, Any, httpx.Response]]
CHANGE: dict[str, Ask] = {
    "correction": lambda client, path, who: client.patch(path, json={"waste_type": "glass"}, headers=who),
    "deletion": lambda client, path, who: client.delete(path, headers=who),
}


@pytest.mark.parametrize("stage", ["processed", "classified"])
async def test_a_result_that_comes_while_its_analysis_is_deleted_has_what_was_made_deleted(
    client: httpx.AsyncClient, person: Person, waste: Database, take: Take, stage: str
) -> None:
    id_ = str((await accept(client, person))["id"])
    [(task, *_)] = await outbox(waste, id_)
    late = take(photo_processed, outcome(task, id_, processed(id_)))
    if stage == "classified":
        await late
        [(task, *_)] = await outbox(waste, id_)
        late = take(photo_classified, outcome(task, id_, CLASSIFIED))
    async with waste.transaction() as conn:
        assert await sql.select_owner_for_update(conn, UUID(id_))
        taking = await held_up(late, by=conn)
        await sql.delete_analysis(conn, UUID(id_))
        await forget(conn, UUID(id_))
    await taking
    [(_, actor, message)] = await outbox(waste, id_)
    assert (actor, message["prefixes"]) == ("storage/delete_objects", [f"images/{id_}"])


@pytest.mark.parametrize("what", CHANGE)
async def test_an_analysis_that_changes_meanwhile_is_not_what_the_condition_names(
    client: httpx.AsyncClient, person: Person, waste: Database, what: str
) -> None:
    id_ = str((await accept(client, person))["id"])
    path = f"{BASE}/analyses/{id_}"
    etag = (await client.get(path, headers=person.headers)).headers["etag"]
    async with waste.transaction() as conn:
        assert await sql.select_owner_for_update(conn, UUID(id_))
        second = await held_up(CHANGE[what](client, path, person.headers | {"If-Match": etag}), by=conn)
        await sql.update_failed(conn, UUID(id_), "not-a-photo", "This is no photo.", clock.now())
    assert (await second).status_code == 412
    after = (await client.get(path, headers=person.headers)).json()
    assert (after["status"], after["corrected_type"]) == ("failure", None)


@pytest.mark.parametrize("what", CHANGE)
async def test_an_analysis_that_is_deleted_meanwhile_is_not_found(
    client: httpx.AsyncClient, person: Person, waste: Database, what: str
) -> None:
    id_ = UUID(str((await accept(client, person))["id"]))
    async with waste.transaction() as conn:
        assert await sql.select_owner_for_update(conn, id_)
        second = await held_up(CHANGE[what](client, f"{BASE}/analyses/{id_}", person.headers), by=conn)
        await sql.delete_analysis(conn, id_)
    assert (await second).status_code == 404


async def test_a_photo_is_accepted_once_however_often_it_is_sent_at_the_same_instant(
    client: httpx.AsyncClient, person: Person, waste: Database
) -> None:
    body = {"image_key": await upload(client, person)}
    await one_at_a_time(client, waste, person.id, person.headers, "POST", f"{BASE}/analyses", body)
    assert (await client.get(f"{BASE}/analyses", headers=person.headers)).json()["items"] == []


async def test_an_erasure_waits_for_a_result_that_is_being_written_and_takes_its_copies_along(
    client: httpx.AsyncClient, person: Person, waste: Database, take: Take
) -> None:
    id_ = UUID(str((await accept(client, person))["id"]))
    key = f"images/{id_}/web.jpg"
    async with waste.transaction() as conn:
        assert await sql.select_owner_for_update(conn, id_)
        erasing = await held_up(take(erase_person, ErasePerson(person.id)), by=conn)
        await sql.insert_images(conn, id_, {key: f"http://cdn.test/{key}"}, clock.now())
    await erasing
    [left] = await left_of(waste, str(id_))
    assert left.startswith("outbox: ")
    assert key in left


async def test_an_analysis_only_rises_from_pending_to_failure_and_from_there_to_success(waste: Database) -> None:
    id_, user_id = new_id(), new_id()
    glass = AnalysisResult([Candidate("glass", 0.9)], "embedded", "lite0", Guide())

    async def now(work: Callable[[Connection], Coroutine[Any, Any, None]]) -> tuple[str | None, ...]:
        async with waste.transaction() as conn:
            await work(conn)
            found = await sql.select_analysis(conn, id_, user_id)
        assert found is not None
        return found.status, found.waste_type, found.error_code, found.error

    async with waste.connection() as conn:
        await sql.insert_analysis(conn, id_, user_id, "uploads/x", clock.now())
    failed = ("failure", None, "first", "x")
    assert await now(lambda c: sql.update_failed(c, id_, "first", "x", clock.now())) == failed
    assert await now(lambda c: sql.update_failed(c, id_, "second", "y", clock.now())) == failed
    rise = await now(lambda c: sql.update_succeeded(c, id_, "glass", 0.9, glass, clock.now()))
    assert rise == ("success", "glass", None, None)
    assert await now(lambda c: sql.update_failed(c, id_, "third", "x", clock.now())) == rise
    assert await now(lambda c: sql.update_succeeded(c, id_, "paper", 0.9, glass, clock.now())) == rise
