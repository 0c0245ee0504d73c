"""Sends a recording's requests again, in their order: each when what it had behind it is done, at the time that it came."""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import httpcore

from emulator.recording import form
from emulator.recording.align import Aligned
from emulator.recording.beside import Beside
from emulator.recording.compare import Recorded
from emulator.recording.form import Exchange
from emulator.recording.order import Order, sets_going
from emulator.recording.work import Work
from shared import clock

# Seconds that the clock jumps over only when nothing is under way: a task would be taken for lost.
_JUMP = 5.0
# A task that has not ended by then is reported by what it did not do.
_WORKING = 60.0
_LOOK = 0.01
_PATIENCE = 70.0
# A client that left is played so much longer than it stayed, at most.
_LEAVING = 2.0


class Sender:
    """Sends to one second emulator."""

    def __init__(self, recorded: Recorded, to: Beside, aligned: Aligned, transform: "Transform | None" = None) -> None:
        self._recorded = recorded
        self._order = Order(recorded.exchanges, recorded.spans)
        self._to = to
        self._aligned = aligned
        self._transform = transform or Transform()
        self._urls = {"gateway": urlsplit(to.gateway), "s3": urlsplit(to.environment["S3_ENDPOINT_URL"])}
        self._work = Work(to.environment["MIGRATION_DB_URL"])
        self._answers: dict[str, asyncio.Task[None]] = {}
        self._behind: list[Exchange] = []  # sent, and not known to be done
        clock.use_file(str(to.clock))

    async def send(self, exchanges: Iterable[Exchange]) -> None:
        """Send them all, and return when what they set going has ended."""
        async with httpcore.AsyncConnectionPool(max_connections=None, max_keepalive_connections=20) as pool:
            for exchange in exchanges:
                await self._wait_for(exchange)
                await self._set_clock(exchange.at)
                self._answers[exchange.id] = asyncio.create_task(self._one(pool, exchange))
                self._behind.append(exchange)
            await asyncio.gather(*self._answers.values())
            await self._worked({exchange.trace for exchange in self._behind})
        self._work.close()

    async def _wait_for(self, exchange: Exchange) -> None:
        """Until the answers and the work are there that were there when it was recorded."""
        ended = [before for before in self._behind if before.end <= exchange.at]
        await asyncio.gather(*(self._answers[before.id] for before in ended))
        done = [before for before in ended if self._order.had_ended(before, exchange)]
        await self._worked({before.trace for before in done if sets_going(before)})
        gone = {before.id for before in done}
        self._behind = [before for before in self._behind if before.id not in gone]

    async def _worked(self, traces: set[str]) -> None:
        deadline = time.monotonic() + _WORKING
        traces.discard("")
        while traces and time.monotonic() < deadline and traces & self._work.open(clock.time()):  # noqa: ASYNC110 - a table
            await asyncio.sleep(_LOOK)

    async def _set_clock(self, at: float) -> None:
        """Let it be the time when the request came; never earlier than it is."""
        ahead = at - time.time()
        if ahead <= clock.offset():
            return
        if ahead - clock.offset() > _JUMP:
            await asyncio.gather(*self._answers.values())
            await self._worked({exchange.trace for exchange in self._behind})
            ahead = max(at - time.time(), clock.offset())
        clock.write_offset(str(self._to.clock), ahead)

    async def _one(self, pool: httpcore.AsyncConnectionPool, exchange: Exchange) -> None:
        url = self._urls[exchange.to]
        path = self._transform.path(self._aligned.put(exchange.path))
        headers = self._transform.headers([(name, self._aligned.put(value)) for name, value in exchange.headers])
        content = form.content_of(self._recorded.folder, exchange.body)
        if content:
            put = self._aligned.put_form if exchange.to == "s3" else self._aligned.put
            content = put(content.decode("latin-1")).encode("latin-1")
            content = self._transform.body(exchange, content)
        has_body = bool(content) or exchange.method in ("POST", "PUT", "PATCH")
        headers += [("content-length", str(len(content)))] if has_body else []
        headers += [("host", url.netloc), ("x-request-id", exchange.given_id)]
        if exchange.trace:
            headers.append(("traceparent", f"00-{exchange.trace}-{os.urandom(8).hex()}-01"))
        request = httpcore.Request(
            exchange.method,
            httpcore.URL(scheme=b"http", host=url.hostname or "", port=url.port, target=path.encode("latin-1")),
            headers=[(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers],
            content=content or None,
            extensions={"timeout": {"connect": 5.0, "read": _PATIENCE, "write": _PATIENCE, "pool": None}},
        )
        stays = exchange.answer.seconds + _LEAVING if exchange.answer.ended == "left" else None
        with contextlib.suppress(
            httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, TimeoutError
        ):
            async with asyncio.timeout(stays):
                answer = await pool.handle_async_request(request)
                try:
                    body = await answer.aread()
                finally:
                    await answer.aclose()
            self._learn(exchange, body)

    def _learn(self, exchange: Exchange, body: bytes) -> None:
        """Ids and tokens of the answer, for requests to come that name them."""
        was = form.content_of(self._recorded.folder, exchange.answer.body)
        self._aligned.learn(_decoded(was), _decoded(body))


class Transform:
    """What becomes of a request before it is sent, besides its ids; nothing, as a rule."""

    def path(self, path: str) -> str:
        return path

    def headers(self, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        return headers

    def body(self, exchange: Exchange, content: bytes) -> bytes:
        return content


def _decoded(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None
