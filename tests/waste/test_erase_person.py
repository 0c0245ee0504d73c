"""A person who is erased, with all objects"""

import httpx
import pytest

from functions.waste import db as sql
from functions.waste import erase_person as module
from functions.waste.erase_person import erase_person
from shared import clock, uploads
from shared.db import Database
from shared.ids import new_id
from shared.messages import ErasePerson
from tests.conftest import Person, Take
from tests.waste.conftest import upload


async def test_what_comes_by_a_form_of_an_erased_person_is_deleted_when_the_form_has_ended(
    client: httpx.AsyncClient, waste: Database, person: Person, take: Take
) -> None:
    key = await upload(client, person)
    before = clock.now()
    await take(erase_person, ErasePerson(person.id))
    async with waste.connection() as conn:
        cursor = await conn.execute(
            "SELECT message, due_at FROM outbox WHERE actor = 'storage/delete_objects' AND message::text LIKE %s"
            " ORDER BY due_at",
            [f"%{person.id}%"],
        )
        (now, _), (late, due) = await cursor.fetchall()
    assert now == {"keys": [], "prefixes": [f"uploads/{person.id}"]}
    assert late == {"keys": [key], "prefixes": []}
    assert due >= before + uploads.LIFETIME


async def test_what_is_known_by_its_key_is_deleted_without_a_look_into_the_store(
    waste: Database, person: Person, take: Take
) -> None:
    stored, waiting, keys = new_id(), new_id(), []
    async with waste.connection() as conn:
        for id_ in (stored, waiting):
            await sql.insert_analysis(conn, id_, person.id, "uploads/x.jpg", clock.now())
        for name in ("web", "thumbnail"):
            keys.append(f"images/{stored}/{name}.jpg")
            await sql.insert_images(conn, stored, {keys[-1]: "http://x"}, clock.now())
    await take(erase_person, ErasePerson(person.id))
    async with waste.connection() as conn:
        cursor = await conn.execute("SELECT message FROM outbox WHERE actor = 'storage/delete_objects' ORDER BY id")
        messages = [message for (message,) in await cursor.fetchall()]
    assert {"keys": keys, "prefixes": []} in messages
    assert {"keys": [], "prefixes": [f"uploads/{person.id}", f"images/{waiting}"]} in messages


async def test_much_is_deleted_in_messages_of_a_bounded_size_and_all_of_it(
    waste: Database, person: Person, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEYS", 2)
    monkeypatch.setattr(module, "PREFIXES", 2)
    prefixes, keys = {f"uploads/{person.id}"}, set()
    async with waste.connection() as conn:
        for number in range(7):
            id_ = new_id()
            await sql.insert_analysis(conn, id_, person.id, f"uploads/{person.id}/{number}", clock.now())
            if number < 3:
                keys.add(f"images/{id_}/web.jpg")
                await sql.insert_images(conn, id_, {f"images/{id_}/web.jpg": "http://x"}, clock.now())
            else:
                prefixes.add(f"images/{id_}")
    await take(erase_person, ErasePerson(person.id))
    async with waste.connection() as conn:
        cursor = await conn.execute("SELECT message FROM outbox WHERE actor = 'storage/delete_objects'")
        messages = [message for (message,) in await cursor.fetchall()]
    told = {(kind, one) for message in messages for kind in ("keys", "prefixes") for one in message[kind]}
    assert {("prefixes", one) for one in prefixes} | {("keys", one) for one in keys} <= told
    mine = [m for m in messages if (prefixes | keys) & {*m["keys"], *m["prefixes"]}]
    assert max(len(message["keys"] + message["prefixes"]) for message in mine) == 2
