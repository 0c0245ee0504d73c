"""Nothing of a photo is left behind: in no table, in no stream, and in no folder of the store, wherever its analysis was"""

import httpx
import msgspec
import pytest

from functions.storage.delete_objects import delete_objects
from functions.waste.drop_uploads import drop_uploads
from functions.waste.erase_person import erase_person
from functions.waste.photo_classified import photo_classified
from functions.waste.photo_processed import photo_processed
from shared.db import Database
from shared.ids import new_id
from shared.messages import DeleteObjects, ErasePerson, TaskError
from shared.objects import ObjectStore
from shared.progress import Publisher, stream
from shared.redis import connect
from tests.conftest import Person, Take
from tests.support import left_of
from tests.waste.conftest import BASE, CLASSIFIED, accept, outbox, outcome, processed

# How far it has come, and how it ended; a failure is kept for an operator's retry.
WAYS = ["accepted", "no photo", "stored", "not classified", "success"]
ENDS = ["no photo", "not classified", "success"]
NO = TaskError("not-this-time", "It could not be done.")


async def bring(how: str, waste: Database, take: Take, objects: ObjectStore, id_: str) -> None:
    """Answer as the workers would, up to there."""
    if how == "accepted":
        return
    [(task, *_)] = await outbox(waste, id_)
    if how == "no photo":
        await take(photo_processed, outcome(task, id_, error=NO))
        return
    photo = processed(id_)
    for key in (photo.web_key, photo.thumbnail_key):
        objects.put(key, b"a copy", content_type="image/jpeg")
    await take(photo_processed, outcome(task, id_, photo))
    if how != "stored":
        [(task, *_)] = await outbox(waste, id_)
        await take(
            photo_classified,
            outcome(task, id_, CLASSIFIED) if how == "success" else outcome(task, id_, error=NO),
        )


async def delete_all(waste: Database, objects: ObjectStore, word: str) -> None:
    """What the storage worker is told to delete where the word is, deleted; and the tasks ended."""
    async with waste.connection() as conn:
        cursor = await conn.execute(
            "DELETE FROM outbox WHERE actor = 'storage/delete_objects' AND strpos(outbox::text, %s) > 0 RETURNING message",
            [word],
        )
        for (message,) in await cursor.fetchall():
            delete_objects(msgspec.convert(message, DeleteObjects), objects)


def stored(objects: ObjectStore, person: Person, id_: str) -> list[str]:
    return [found.key for folder in (f"uploads/{person.id}/", f"images/{id_}/") for found in objects.list(folder)]


@pytest.mark.parametrize("how", ENDS)
async def test_however_it_ends_the_raw_upload_with_its_position_goes(
    client: httpx.AsyncClient, person: Person, waste: Database, take: Take, objects: ObjectStore, how: str
) -> None:
    id_ = str((await accept(client, person))["id"])
    assert len(stored(objects, person, id_)) == 1
    await bring(how, waste, take, objects, id_)
    await drop_uploads(waste)
    await delete_all(waste, objects, str(person.id))
    assert all(key.startswith(f"images/{id_}/") for key in stored(objects, person, id_))


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("what", ["the analysis", "the person"])
async def test_wherever_an_analysis_is_a_deletion_leaves_nothing_of_it(
    client: httpx.AsyncClient,
    person: Person,
    waste: Database,
    take: Take,
    objects: ObjectStore,
    how: str,
    what: str,
) -> None:
    id_ = str((await accept(client, person))["id"])
    await bring(how, waste, take, objects, id_)
    if what == "the person":
        await take(erase_person, ErasePerson(person.id))
        await delete_all(waste, objects, str(person.id))
        assert await left_of(waste, str(person.id)) == []
    else:
        assert (await client.delete(f"{BASE}/analyses/{id_}", headers=person.headers)).status_code == 204
    await delete_all(waste, objects, id_)
    assert await left_of(waste, id_) == []
    assert stored(objects, person, id_) == []


async def test_an_erasure_takes_what_was_said_of_the_work(
    client: httpx.AsyncClient, person: Person, take: Take, broker_url: str
) -> None:
    body = await accept(client, person)
    with connect(broker_url) as redis:
        publisher = Publisher(redis)
        publisher.add(body["id"], new_id(), "progress", {"stage": "checking", "progress": 0.1})
        assert redis.exists(stream(body["id"])) == 1
        await take(erase_person, ErasePerson(person.id))
        assert redis.exists(stream(body["id"])) == 0
