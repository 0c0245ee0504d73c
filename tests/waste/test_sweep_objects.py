"""The sweep of objects without an owner: whatever happens meanwhile it removes nothing that has one, and in the end all others"""

import random
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from functions.storage.delete_objects import delete_objects
from functions.userinfo import db as users_sql
from functions.userinfo.find_strangers import find_strangers
from functions.waste import db as sql
from functions.waste import sweep_objects as module
from functions.waste.messages import StrangersFound
from functions.waste.strangers_found import strangers_found
from functions.waste.sweep_objects import GRACE, sweep_objects
from shared import clock
from shared.db import Database
from shared.ids import new_id
from shared.messages import DeleteObjects, FindStrangers, Outcome
from shared.objects import ObjectStore
from shared.tasks import enqueue


class World:
    """People who upload, delete and change pictures, and the sweep among them. What has an owner is kept count of apart."""

    def __init__(self, waste: Database, users: Database, objects: ObjectStore) -> None:
        self.waste, self.users, self.objects = waste, users, objects
        self.owned: dict[UUID, set[str]] = {}  # by analysis or picture
        self.lost: set[str] = set()
        self.persons: dict[UUID, UUID] = {}  # of a picture

    def store(self, folder: str, *names: str) -> set[str]:
        keys = {f"{folder}/{name}" for name in names}
        for key in keys:
            self.objects.put(key, b"x", content_type="image/jpeg")
        return keys

    async def begin_analysis(self) -> UUID:
        """A photo that the storage worker has copied, and whose outcome is still on its way."""
        analysis_id, user_id = new_id(), new_id()
        upload = f"uploads/{user_id}/{analysis_id.hex}"
        async with self.waste.transaction() as conn:
            await conn.execute(
                "INSERT INTO uploads (image_key, user_id, expires_at, used_at) VALUES (%s, %s, %s, %s)",
                [upload, user_id, clock.now(), clock.now()],
            )
            await sql.insert_analysis(conn, analysis_id, user_id, upload, clock.now().replace(tzinfo=None))
        self.owned[analysis_id] = self.store(f"images/{analysis_id}", "a-web.jpg", "a-thumb.jpg")
        self.owned[analysis_id] |= self.store(f"uploads/{user_id}", analysis_id.hex)
        return analysis_id

    async def end_analysis(self, analysis_id: UUID) -> None:
        async with self.waste.transaction() as conn:
            for key in self.owned[analysis_id]:
                if key.startswith("images/"):
                    await sql.insert_images(conn, analysis_id, {key: key}, clock.now())
            await conn.execute("UPDATE analyses SET status = 'success' WHERE id = %s", [analysis_id])

    async def delete_analysis(self, analysis_id: UUID) -> None:
        """A deletion whose objects were forgotten."""
        async with self.waste.transaction() as conn:
            await conn.execute("DELETE FROM images WHERE analysis_id = %s", [analysis_id])
            await conn.execute("DELETE FROM analyses WHERE id = %s", [analysis_id])
            for key in self.owned[analysis_id]:
                await conn.execute("DELETE FROM uploads WHERE image_key = %s", [key])
        self.lost |= self.owned.pop(analysis_id)

    async def begin_avatar(self) -> UUID:
        avatar_id, user_id = new_id(), new_id()
        avatar = users_sql.Avatar(avatar_id, user_id, f"uploads/{user_id}/{avatar_id.hex}")
        async with self.users.transaction() as conn:
            await users_sql.insert_avatar(conn, avatar, clock.now())
        self.owned[avatar_id] = self.store(f"images/{avatar_id}", "b-web.jpg", "b-thumb.jpg")
        self.persons[avatar_id] = user_id
        return avatar_id

    async def end_avatar(self, avatar_id: UUID) -> None:
        shown = f"images/{avatar_id}/b-thumb.jpg"
        async with self.users.transaction() as conn:
            await users_sql.delete_avatar(conn, avatar_id)
            url = self.objects.public_url(shown)
            await users_sql.update_avatar(conn, self.persons[avatar_id], avatar_id, url, clock.now())
        self.lost |= self.owned[avatar_id] - {shown}
        self.owned[avatar_id] = {shown}

    async def delete_avatar(self, avatar_id: UUID) -> None:
        async with self.users.transaction() as conn:
            await users_sql.delete_avatar(conn, avatar_id)
            await users_sql.update_no_avatar(conn, self.persons[avatar_id])
        self.lost |= self.owned.pop(avatar_id)

    # The sweep's own steps, each at any time

    async def deliver(self, actor: str, work: Callable[[Any, UUID, UUID], Awaitable[None]]) -> bool:
        """The oldest task of an actor; False when there is none."""
        async with self.waste.connection() as conn:
            row = await (
                await conn.execute(
                    "SELECT id, subject, message FROM outbox WHERE actor = %s ORDER BY id LIMIT 1", [actor]
                )
            ).fetchone()
        if row is not None:
            await work(row[2], row[0], row[1])
        return row is not None

    async def find(self) -> bool:
        async def work(message: Any, task_id: UUID, subject: UUID) -> None:
            result = await find_strangers.fn(msgspec.convert(message, FindStrangers), self.users)
            record = msgspec.to_builtins(result.record)
            outcome = Outcome(task_id, new_id(), subject, "success", clock.now(), record)
            await strangers_found.fn(outcome, self.waste)

        return await self.deliver(FindStrangers.actor, work)

    async def remove(self) -> bool:
        async def work(message: Any, task_id: UUID, subject: UUID) -> None:
            delete_objects.fn(msgspec.convert(message, DeleteObjects), self.objects)
            async with self.waste.connection() as conn:
                await conn.execute("DELETE FROM outbox WHERE id = %s", [task_id])

        return await self.deliver(DeleteObjects.actor, work)

    def stored(self) -> set[str]:
        return {found.key for prefix in module.PREFIXES for found in self.objects.list(prefix)}

    async def round(self) -> None:
        """From wherever it is to the end of a whole round, and all that follows from it."""
        for _ in range(2 * (len(self.stored()) // module.PAGE + 2)):
            await sweep_objects(self.waste, self.objects)
        while await self.find() or await self.remove():
            pass


@pytest.fixture
async def world(
    db: Callable[[str], Awaitable[Database]], objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> World:
    monkeypatch.setattr(module, "PAGE", 5)
    found = World(await db("waste"), await db("userinfo"), objects)
    async with found.waste.transaction() as conn:
        await conn.execute("DELETE FROM outbox")
        await conn.execute("DELETE FROM sweeps")
    objects.delete(*found.stored())
    return found


@pytest.fixture
def long_after(tmp_path: Path) -> Iterator[None]:
    """The grace of all that is stored now is over."""
    file = str(tmp_path / "clock")
    clock.write_offset(file, GRACE.total_seconds() + 60)
    clock.use_file(file)
    yield
    clock.use_file(None)


async def test_what_is_young_is_left_alone(world: World) -> None:
    await world.delete_analysis(await world.begin_analysis())
    before = world.stored()
    await world.round()
    assert world.stored() == before == world.lost


@pytest.mark.usefixtures("long_after")
async def test_what_no_service_of_ours_would_have_written_is_not_ours_to_remove(world: World) -> None:
    mine = world.store(f"images/{new_id()}", "a-web.jpg") | world.store(f"uploads/{new_id()}", "b")
    others = world.store(f"images/{new_id()}/deeper", "a-web.jpg") | world.store("images", "logo.png")
    others |= world.store("uploads/people", "kim.jpg") | world.store(f"images/{new_id()}x", "a")
    await world.round()
    assert world.stored() & (mine | others) == others


@pytest.mark.usefixtures("long_after")
@pytest.mark.parametrize("seed", range(5))
async def test_in_any_order_of_things_what_has_an_owner_stays_and_all_else_goes(world: World, seed: int) -> None:
    chance = random.Random(seed)
    pending: list[UUID] = []
    ended: list[UUID] = []
    checked: list[UUID] = []
    shown: list[UUID] = []

    def some(where: list[UUID]) -> UUID:
        return where.pop(chance.randrange(len(where)))

    for _ in range(50):
        step = chance.choice(
            ["analysis", "avatar", "end", "show", "delete", "hide", "sweep", "sweep", "find", "remove"]
        )
        if step == "analysis":
            pending.append(await world.begin_analysis())
        elif step == "avatar":
            checked.append(await world.begin_avatar())
        elif step == "end" and pending:
            ended.append(some(pending))
            await world.end_analysis(ended[-1])
        elif step == "show" and checked:
            shown.append(some(checked))
            await world.end_avatar(shown[-1])
        elif step == "delete" and (where := chance.choice([pending, ended])):
            await world.delete_analysis(some(where))
        elif step == "hide" and (where := chance.choice([checked, shown])):
            await world.delete_avatar(some(where))
        elif step == "sweep":
            await sweep_objects(world.waste, world.objects)
        elif step == "find":
            await world.find()
        elif step == "remove":
            await world.remove()
        assert set().union(*world.owned.values()) <= world.stored(), step
    assert world.lost, "nothing lost its owner: the test shows nothing"
    await world.round()
    assert world.stored() == set().union(*world.owned.values())


@pytest.mark.usefixtures("long_after")
async def test_a_step_looks_at_one_page_and_the_next_goes_on_after_it(world: World) -> None:
    for _ in range(3):
        await world.delete_analysis(await world.begin_analysis())
    await sweep_objects(world.waste, world.objects)
    async with world.waste.connection() as conn:
        row = await (await conn.execute("SELECT after, looked_at FROM sweeps WHERE prefix = 'images/'")).fetchone()
    assert row == (sorted(key for key in world.lost if key.startswith("images/"))[4], 5)
    await sweep_objects(world.waste, world.objects)
    async with world.waste.connection() as conn:
        row = await (await conn.execute("SELECT after, looked_at FROM sweeps WHERE prefix = 'images/'")).fetchone()
    assert row == ("", 6), "a page that is not full is the last one"
    await world.round()
    async with world.waste.connection() as conn:
        row = await (await conn.execute("SELECT bool_and(ended_at IS NOT NULL) FROM sweeps")).fetchone()
    assert row == (True,)
    assert world.stored() == set()


@pytest.mark.usefixtures("long_after")
async def test_what_is_no_one_s_of_ours_is_not_touched(world: World) -> None:
    foreign = world.store("images", "readme.txt") | world.store("uploads/somebody", "x") | world.store("backup", "dump")
    await world.round()
    assert foreign - {"backup/dump"} <= world.stored()
    assert world.objects.size("backup/dump") == 1
    world.objects.delete(*foreign)


@pytest.mark.usefixtures("long_after")
async def test_a_second_copy_of_a_photo_that_is_done_is_no_one_s(world: World) -> None:
    analysis = await world.begin_analysis()
    await world.end_analysis(analysis)
    world.lost |= world.store(f"images/{analysis}", "of-an-interrupted-run.jpg")
    await world.round()
    assert world.stored() == world.owned[analysis]


async def test_what_has_got_an_owner_while_userinfo_was_asked_stays(world: World) -> None:
    analysis = await world.begin_analysis()
    await world.end_analysis(analysis)
    keys = sorted(key for key in world.owned[analysis] if key.startswith("images/"))
    async with world.waste.transaction() as conn:
        task = await enqueue(conn, FindStrangers(keys=keys), subject=new_id(), reply=StrangersFound)
    outcome = Outcome(task, new_id(), new_id(), "success", clock.now(), {"keys": keys})
    await strangers_found.fn(outcome, world.waste)
    assert not await world.remove()


async def test_a_second_copy_of_userinfo_s_answer_removes_and_counts_nothing_again(world: World) -> None:
    await sweep_objects(world.waste, world.objects)  # the counters are there
    keys = sorted(world.store(f"images/{new_id()}", "a-web.jpg"))
    async with world.waste.transaction() as conn:
        task = await enqueue(conn, FindStrangers(keys=keys), subject=new_id(), reply=StrangersFound)
    outcome = Outcome(task, new_id(), new_id(), "success", clock.now(), {"keys": keys})
    for _ in range(2):
        await strangers_found.fn(outcome, world.waste)
    async with world.waste.connection() as conn:
        row = await (await conn.execute("SELECT sum(removed) FROM sweeps")).fetchone()
    assert row == (1,)
    assert [await world.remove() for _ in range(2)] == [True, False]
