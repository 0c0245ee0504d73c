"""Who looks at connections in use: whom it cuts, whom it lets be, and that it ends"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from shared import silence
from shared.db import Connection, Database
from shared.silence import Watch
from tests import support
from tests.proxies import ProxyThread


@pytest.fixture
def proxy() -> Iterator[ProxyThread]:
    with ProxyThread(seed=7) as proxy:
        yield proxy


@pytest.fixture
async def conn(proxy: ProxyThread, environment: dict[str, str]) -> AsyncIterator[Connection]:
    """A connection through the proxy, which lets nothing through any more."""
    dsn = environment["API_USERS_DB_URL"]
    port = re.search(r"127\.0\.0\.1:(\d+)", dsn)
    assert port is not None
    database = Database(dsn.replace(port[0], f"127.0.0.1:{proxy.link('postgres', int(port[1]))}"), size=1)
    await database.open()
    async with database.connection() as connection:
        await connection.execute("SELECT 1")
        database.watch.close()  # the tests' own look
        proxy.add("postgres", "hang")
        yield connection
        proxy.clear()
    await database.close()


async def lives(conn: Connection, proxy: ProxyThread) -> bool:
    proxy.clear()
    with contextlib.suppress(psycopg.OperationalError):
        return await (await conn.execute("SELECT 1")).fetchone() == (1,)
    return False


async def test_a_connection_to_a_silent_server_is_cut(
    conn: Connection, proxy: ProxyThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "PROOF", 0.05)
    watch = Watch()
    watch.begin(conn)
    await watch._look(dict(watch._since))
    watch.close()
    assert not await lives(conn, proxy)


@pytest.mark.parametrize("why", ["it answers somebody", "it is another use"])
async def test_a_connection_is_let_be_where(
    why: str, conn: Connection, proxy: ProxyThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "PROOF", 0.05)
    watch = Watch()
    watch.begin(conn)
    suspects = dict(watch._since)
    if why == "it answers somebody":
        watch.heard_at = suspects[conn]
    else:
        watch.end(conn, heard=False)
        watch.begin(conn)
    await watch._look(suspects)
    # One that is let be is a suspect again only after as long as at first.
    assert watch._since[conn] > suspects[conn]
    watch.close()
    assert await lives(conn, proxy)


async def test_it_is_noted_when_a_server_answered_last_and_when_it_last_failed_to(conn: Connection) -> None:
    watch = Watch()
    assert watch.heard_at == watch.failed_at == 0
    watch.end(conn, heard=False)
    assert watch.failed_at > watch.heard_at
    watch.end(conn)
    assert watch.heard_at >= watch.failed_at > 0


async def test_a_server_that_is_long_in_its_proof_is_not_asked_for_another(
    conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "PROOF", 600.0)
    monkeypatch.setattr(silence, "SUSPICION", 0.0)
    watch = Watch()
    watch.begin(conn)
    looks = []
    for _ in range(2):
        await asyncio.sleep(0.001)
        watch._tick()
        looks.append(watch._looking)
    watch.close()
    assert looks[0] is not None
    assert looks[0] is looks[1]


async def test_who_is_closed_looks_no_more(conn: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "PROOF", 600.0)
    watch = Watch()
    watch.begin(conn)
    watch._looking = asyncio.create_task(watch._look(dict(watch._since)))
    await asyncio.sleep(0)
    timer = watch._timer
    assert timer is not None
    watch.close()
    assert timer.cancelled()
    await asyncio.wait({watch._looking}, timeout=60)
    assert watch._looking.cancelled()


@pytest.mark.parametrize("says", [b"N", b"", None])
async def test_a_server_proves_that_it_is_there_by_a_byte_and_is_left_alone_then(
    says: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "PROOF", 600.0 if says is not None else 0.05)
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readexactly(8))
        if says:
            writer.write(says)
        if says != b"":
            async with asyncio.timeout(60):
                asked.append(await reader.read())  # to the end: whoever asked hangs up

    async with support.answering(serve) as address:
        port = int(address.rpartition(":")[2])
        assert await silence._prove("127.0.0.1", port) is (says == b"N")
    assert asked == [silence._ANYBODY, *([b""] if says != b"" else [])]
