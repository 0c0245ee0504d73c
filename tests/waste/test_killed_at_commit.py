"""A process killed just at the COMMIT of a group of requests: no one was told of what is not there, and nothing is twice."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import httpx
import pytest

from shared.db import Database
from tests import web
from tests.conftest import Person
from tests.waste.conftest import BASE, outbox, upload

# A replica without its relay: what is accepted here is nobody else's work.
PROGRAM = """
import asyncio, os
from runtime.http.host import build
from shared import db
from tests.support import listening

# Statements that the server keeps are not on the line.
db.PREPARED_AFTER = None

async def main():
    edge, _ = build(["waste"], os.environ, background=False, access_log=False)
    async with listening(edge) as address:
        print(address, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
REQUESTS = 5
# The analyses of a group are the rows of one statement, as JSON.
LOOKS_FOR_THE_KEY, INSERTS = b"FROM idempotency", b'"upload_key":'


class Holding:
    """Between a replica and PostgreSQL. Of the first COMMIT the answer is late, so that the others gather behind it; at the
    second one everything stops: before the server has it, or, with `told`, before its answer is passed on.

    Attributes:
        groups: how many analyses the first transaction has, and the second one.
        stopped: it has come to that.
    """

    def __init__(self, port: int, *, told: bool) -> None:
        self.groups = [0, 0]
        self.stopped = asyncio.Event()
        self._port, self._told = port, told
        self._looks = self._commits = 0
        self._all_look = asyncio.Event()
        self._never = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._port)
        back = asyncio.create_task(self._pass_back(from_server, writer))
        with suppress(ConnectionError):
            while said := await reader.read(1 << 16):
                await self._pass_on(said, to_server)
        back.cancel()
        to_server.close()
        writer.close()

    async def _pass_on(self, said: bytes, to_server: asyncio.StreamWriter) -> None:
        self._looks += said.count(LOOKS_FOR_THE_KEY)
        if self._looks >= REQUESTS:
            self._all_look.set()
        if self._commits < 2:
            self.groups[self._commits] += said.count(INSERTS)
        if b"COMMIT" in said and (self._commits or self._looks):
            self._commits += 1
            if self._commits == 1:
                await self._all_look.wait()
                await asyncio.sleep(0.3)
            elif not self._told:
                self.stopped.set()
                return
        to_server.write(said)

    async def _pass_back(self, from_server: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while said := await from_server.read(1 << 16):
                if self._told and self._commits == 2:
                    self.stopped.set()
                    await self._never.wait()
                writer.write(said)
        writer.close()


@asynccontextmanager
async def replica(
    environment: dict[str, str], between: Holding
) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """Its address, and the process."""
    async with await asyncio.start_server(between.serve, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        url = environment["API_WASTE_DB_URL"]
        through = url.replace(f":{urlsplit(url).port}", f":{port}")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
            | environment | {"API_WASTE_DB_URL": through},
            stdout=subprocess.PIPE,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            yield (await process.stdout.readline()).decode().strip(), process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


@pytest.mark.parametrize("told", [False, True], ids=["before PostgreSQL has it", "before the answer to it"])
async def test_whoever_asks_again_finds_what_was_done_once_and_what_was_not_is_done_then(
    client: httpx.AsyncClient,
    waste: Database,
    person: Person,
    own: Callable[[str], dict[str, str]],
    told: bool,
) -> None:
    keys = [await upload(client, person) for _ in range(REQUESTS)]
    environment = own("waste")
    between = Holding(urlsplit(environment["API_WASTE_DB_URL"]).port or 0, told=told)

    async def ask(by: httpx.AsyncClient, key: str) -> str | None:
        """The id of the analysis; None where there was no answer."""
        with suppress(httpx.TransportError):
            headers = person.headers | {"Idempotency-Key": key[-20:]}
            body = {"image_key": key}
            answer = await by.post(f"{BASE}/analyses", json=body, headers=headers)
            if answer.status_code == 409:  # while the one that hangs has the key
                await asyncio.sleep(0.1)
                return await ask(by, key)
            assert answer.status_code == 202, answer.text
            return str(answer.json()["id"])
        return None

    async def ask_all(by: httpx.AsyncClient) -> list[str | None]:
        return await asyncio.gather(*(ask(by, key) for key in keys))

    async def there() -> set[str]:
        async with waste.connection() as conn:
            cursor = await conn.execute("SELECT id::text FROM analyses WHERE user_id = %s", [person.id])
            return {row[0] for row in await cursor.fetchall()}

    async with (
        replica(environment, between) as (address, process),
        web.AsyncClient(base_url=address, timeout=60) as dying,
    ):
        asking = asyncio.create_task(ask_all(dying))
        await asyncio.wait_for(between.stopped.wait(), 60)
        done = await there()
        first, second = between.groups
        assert first >= 1
        assert second >= 1
        assert len(done) == first + (second if told else 0)
        # Another replica is asked for the same meanwhile.
        beside = asyncio.create_task(ask_all(client))
        await asyncio.sleep(0)
        process.kill()
        answered = await asyncio.wait_for(asking, 60)
    assert {id_ for id_ in answered if id_} <= done
    assert len([id_ for id_ in answered if id_]) <= first
    others = await beside
    assert await ask_all(client) == others
    assert all(given in (None, other) for given, other in zip(answered, others, strict=True))
    assert await there() == set(others) >= done
    assert len(set(others)) == REQUESTS
    for id_ in others:
        assert len(await outbox(waste, str(id_))) == 1
