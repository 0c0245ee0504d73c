"""Account erasure on the running system: marked content goes in everywhere, and afterwards nothing of it is anywhere."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import httpx
import psycopg
import pytest
from psycopg import sql
from redis.asyncio import Redis

from functions.auth.delete_me import AGAIN_AFTER, SERVICES
from shared import uploads
from tests.contract.conftest import PASSWORD, Somebody, System, somebody
from tests.support import photo

DAY = 86_400.0
# Where a person is still named after the first time: in what is done once more, after 20 minutes and after an hour.
LATER = ("auth.outbox", "users.outbox", "waste.outbox")


class Traces:
    """Looks through everything that keeps anything, for words of one person."""

    def __init__(self, system: System, kim: Somebody, mark: str) -> None:
        self.system = system
        id_ = kim.user["id"]
        self.words = [id_, id_.replace("-", ""), mark, kim.user["email"]]

    def inside(self, text: str | bytes) -> bool:
        found = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
        lowered = found.lower()
        # Bytes travel through PostgreSQL's text and through logs as hex.
        return any(word.lower().encode() in lowered or word.encode().hex().encode() in lowered for word in self.words)

    def database(self, *, but: tuple[str, ...] = ()) -> list[str]:
        """Tables of any schema with a row that holds one of the words."""
        found = []
        with psycopg.connect(self.system.environment["MIGRATION_DB_URL"], autocommit=True) as conn:
            tables = conn.execute(
                "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            ).fetchall()
            for schema, name in tables:
                query = sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(schema, name))
                with conn.transaction(), conn.cursor(name="rows") as cursor:
                    if any(self.inside(row[0]) for row in cursor.execute(query)) and f"{schema}.{name}" not in but:
                        found.append(f"{schema}.{name}")
        return sorted(found)

    def tasks(self, schema: str) -> int:
        """How many tasks of a schema are open whose message holds one of the words."""
        with psycopg.connect(self.system.environment["MIGRATION_DB_URL"]) as conn:
            rows = conn.execute(sql.SQL("SELECT message::text FROM {}").format(sql.Identifier(schema, "outbox")))
            return sum(self.inside(row[0]) for row in rows)

    async def redis(self, variable: str) -> list[str]:
        """Keys whose name or value holds one of the words."""
        found = []
        async with Redis.from_url(self.system.environment[variable]) as redis:
            readers: dict[bytes, Callable[[bytes], Awaitable[Any]]] = {
                b"string": redis.get,
                b"hash": redis.hgetall,
                b"list": lambda key: redis.lrange(key, 0, -1),
                b"set": redis.smembers,
                b"zset": lambda key: redis.zrange(key, 0, -1),
                b"stream": lambda key: redis.xrange(key),
            }
            async for key in redis.scan_iter(count=1000):
                kind = await redis.type(key)
                value = await readers[kind](key) if kind in readers else b""
                if self.inside(key) or self.inside(repr(value)):
                    found.append(key.decode())
        return sorted(found)

    def store(self) -> list[str]:
        """Objects whose key or content holds one of the words."""
        env = self.system.environment
        client = boto3.client(
            "s3",
            endpoint_url=env["S3_ENDPOINT_URL"],
            region_name=env["AWS_REGION"],
            aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        )
        found = []
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=env["S3_BUCKET"]):
            for entry in page.get("Contents", ()):
                body = client.get_object(Bucket=env["S3_BUCKET"], Key=entry["Key"])["Body"].read()
                if self.inside(entry["Key"]) or self.inside(body):
                    found.append(entry["Key"])
        return found

    def files(self, folder: str) -> list[str]:
        """Files below the state folder that hold one of the words, in their bytes or in their names."""
        files = [file for file in Path(self.system.state, folder).rglob("*") if file.is_file()]
        return [
            str(file.relative_to(self.system.state))
            for file in files
            if self.inside(str(file)) or self.inside(file.read_bytes())
        ]


async def until_empty(look: Callable[[], Any], seconds: float = 60) -> None:
    """Wait until nothing is found any more."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        found = await found if asyncio.iscoroutine(found) else found
        if not found:
            return
        assert time.monotonic() < end, f"still there: {found}"
        await asyncio.sleep(0.3)


async def fill(kim: Somebody, mark: str) -> list[str]:
    """Leave something everywhere; return the prefixes and keys of objects that are kim's."""
    word = {"Idempotency-Key": f"{mark}-{uuid4().hex}"}
    await kim.ask("PATCH", "/api/v1/users/me", json={"nickname": mark, "bio": f"I am {mark}"})
    await kim.ask("PATCH", "/api/v1/users/me/settings", json={"language": "en"})
    avatar = await kim.upload(marked_photo(mark), where="/api/v1/users/me/avatar/uploads")
    accepted = await kim.ask("PUT", "/api/v1/users/me/avatar", json={"image_key": avatar}, headers=word)
    assert accepted.status_code == 202, accepted.text
    place = {"name": mark, "address": f"{mark} street", "latitude": 37.5, "longitude": 127.0, "is_default": True}
    assert (await kim.ask("POST", "/api/v1/locations/me", json=place, headers=word)).status_code == 201
    await kim.ask("GET", f"/api/v1/recycle/search?q={mark}")
    key = await kim.upload(marked_photo(mark))
    analysis = await kim.ask("POST", "/api/v1/waste/analyses", json={"image_key": key}, headers=word)
    assert analysis.status_code == 202, analysis.text
    await kim.upload(marked_photo(mark))  # never used
    talk = await kim.ask("POST", "/api/v1/chat/conversations", json={"title": mark}, headers=word)
    messages = f"/api/v1/chat/conversations/{talk.json()['id']}/messages"
    asked = await kim.ask(
        "POST", messages, json={"content": f"My name is {mark}. 페트병은 어떻게 버려요?"}, headers=word
    )
    assert asked.status_code == 202, asked.text
    await kim.ask("GET", f"/api/v1/waste/analyses/{analysis.json()['id']}/events")
    await kim.ask("GET", f"{messages}/{asked.json()['reply']['id']}/events")
    done = (await kim.ask("GET", f"/api/v1/waste/analyses/{analysis.json()['id']}")).json()
    assert done["status"] == "success"
    for _ in range(100):
        if (url := (await kim.ask("GET", "/api/v1/users/me")).json().get("avatar_url")) is not None:
            break
        await asyncio.sleep(0.1)
    else:
        pytest.fail("the avatar did not come")
    return [url, *(image["cloudfront_url"] for image in done["images"])]


def marked_photo(mark: str) -> bytes:
    """A photo with the mark in its metadata, so that raw uploads are found by their bytes."""
    return photo(comment=mark.encode())


async def test_a_person_is_erased_from_everything_though_a_service_was_down(
    gateway: httpx.AsyncClient, system: System
) -> None:
    mark = f"marked{uuid4().hex[:12]}"
    kim, lee = await somebody(gateway, mark), await somebody(gateway, "lee")
    traces = Traces(system, kim, mark)
    urls = await fill(kim, mark)
    asked = {"content_type": "image/jpeg", "size_bytes": len(marked_photo(mark))}
    form = (await kim.ask("POST", "/api/v1/waste/uploads", json=asked)).json()
    face = (await kim.ask("POST", "/api/v1/users/me/avatar/uploads", json=asked)).json()
    # The search itself works: the words are found where they were put.
    held = traces.database()
    for table in ("auth.users", "users.profiles", "locations.user_locations", "waste.analyses", "waste.idempotency"):
        assert table in held
    assert {"recycle_info.user_queries", "chat_llm.conversations", "chat_llm.messages"} <= set(held)
    assert traces.store()
    for url in urls:
        assert (await gateway.get(url)).status_code == 200
    # What a log might keep of them: an address that is taken, an id in an address that there is not.
    taken = {"username": f"other-{uuid4().hex[:8]}", "email": kim.user["email"], "password": PASSWORD}
    assert (await gateway.post("/api/v1/auth/register", json=taken)).status_code == 409
    assert (await gateway.put(f"/api/v1/users/{kim.user['id']}")).status_code == 405

    assert (await kim.ask("DELETE", "/api/v1/auth/me", json={"password": "wrong password"})).status_code == 403
    system.ask("pause", part="api-location")
    try:
        answer = await kim.ask("DELETE", "/api/v1/auth/me", json={"password": PASSWORD})
        assert answer.status_code == 202
        assert (await kim.ask("GET", "/api/v1/auth/me")).status_code == 401
        body = {"username": kim.name, "password": PASSWORD}
        assert (await gateway.post("/api/v1/auth/login", json=body)).status_code == 401
        # All but the service that is down, and the messages that wait for it, for the second time and for forms' ends.
        await until_empty(lambda: traces.database(but=(*LATER, *of_location(traces))))
        assert "locations.user_locations" in traces.database()
    finally:
        system.ask("resume", part="api-location")
    await until_empty(lambda: traces.database(but=LATER))
    # What a token that was still alive might have written since is erased the second time.
    assert set(traces.database()) == set(LATER)
    system.later(AGAIN_AFTER + 60)
    await until_empty(lambda: traces.database(but=LATER[1:]))
    # Forms that kim still had are good for an hour: what comes by one meanwhile is deleted when the last has ended.
    await until_empty(lambda: traces.tasks("waste") - 1)
    await until_empty(traces.store)
    for late in (form, face):
        stored = await gateway.post(late["url"], data=late["fields"], files={"file": marked_photo(mark)})
        assert stored.status_code == 204, stored.text
    assert set(traces.store()) == {form["image_key"], face["image_key"]}
    system.later(uploads.LIFETIME.total_seconds())
    await until_empty(traces.database)
    await until_empty(traces.store)
    for url in urls:
        assert (await gateway.get(url)).status_code == 404
    await until_empty(lambda: traces.redis("BROKER_REDIS_URL"))
    await until_empty(lambda: traces.redis("CACHE_REDIS_URL"))
    assert traces.files("logs") == []
    assert traces.files("objects") == []
    # No one else lost anything.
    tokens = await gateway.post("/api/v1/auth/login", json={"username": lee.name, "password": PASSWORD})
    assert tokens.status_code == 200
    # Workers forget a person's content within a day, in the bytes of their journals too.
    system.later(DAY)
    await until_empty(lambda: traces.files("journals"))


def of_location(traces: Traces) -> list[str]:
    return [table for table in traces.database() if table.startswith("locations.")]


async def test_work_under_way_at_the_erasure_leaves_no_objects_and_no_answer(
    gateway: httpx.AsyncClient, system: System
) -> None:
    mark = f"marked{uuid4().hex[:12]}"
    kim = await somebody(gateway, mark)
    traces = Traces(system, kim, mark)
    talk = await kim.ask("POST", "/api/v1/chat/conversations", json={"title": mark})
    messages = f"/api/v1/chat/conversations/{talk.json()['id']}/messages"
    for part in ("worker-storage", "worker-ai"):
        system.ask("pause", part=part)
    try:
        keys = [await kim.upload(marked_photo(mark)) for _ in range(3)]
        for key in keys:
            answer = await kim.ask("POST", "/api/v1/waste/analyses", json={"image_key": key})
            assert answer.status_code == 202
        assert (await kim.ask("POST", messages, json={"content": f"{mark} 페트병"})).status_code == 202
        await asyncio.sleep(1)
        answer = await kim.ask("DELETE", "/api/v1/auth/me", json={"password": PASSWORD})
        assert answer.status_code == 202
        await until_empty(lambda: traces.database(but=LATER))
    finally:
        for part in ("worker-storage", "worker-ai"):
            system.ask("resume", part=part)
    system.later(uploads.LIFETIME.total_seconds() + 60)
    await until_empty(traces.database)
    await until_empty(traces.store)
    await until_empty(lambda: traces.redis("BROKER_REDIS_URL"))


async def test_everybody_who_keeps_something_of_a_person_is_asked(system: System) -> None:
    """Whoever has a column `user_id` outside of auth erases people."""
    with psycopg.connect(system.environment["MIGRATION_DB_URL"]) as conn:
        rows = conn.execute(
            "SELECT DISTINCT table_schema::text FROM information_schema.columns WHERE column_name = 'user_id'"
            " AND table_name <> 'idempotency' AND table_schema <> 'auth'"
        ).fetchall()
    folders = {"users": "userinfo", "locations": "location"}
    assert {folders.get(row[0], row[0]) for row in rows} == set(SERVICES)
