"""Chat with the other services' places taken by small real ones: an api-location of one answer, a worker of one outcome."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
from msgspec import Struct

from functions.chat_llm.answered import answered
from runtime.http.host import build
from shared import clock
from shared.db import Database
from shared.ids import new_id
from shared.messages import Answered, Outcome, Source, TaskError
from shared.progress import Publisher
from shared.redis import connect
from tests import support
from tests.conftest import Person, Serve, Take

BASE = "/api/v1/chat/conversations"
MILK_CARTON = Source(new_id(), "우유팩")
ANSWER = "우유팩은 헹구고 말려서 종이팩 수거함에 넣어요."


@pytest.fixture
async def client(serve: Serve) -> httpx.AsyncClient:
    return await serve("chat_llm")


@pytest.fixture
async def chat(db: Any) -> Database:
    database: Database = await db("chat_llm")
    return database


@pytest.fixture
def publisher(patient: None, broker_url: str) -> Iterator[Publisher]:
    """What a worker's progress goes through."""
    publisher = Publisher(connect(broker_url))
    yield publisher
    publisher.close()


class Asked(Struct):
    """A question that was accepted, and what its task looks like."""

    conversation: str
    question: str
    reply: UUID
    task: UUID
    message: dict[str, Any]

    @property
    def path(self) -> str:
        return f"{BASE}/{self.conversation}/messages/{self.reply}"


async def begin(client: httpx.AsyncClient, person: Person, **body: Any) -> str:
    answer = await client.post(BASE, json=body, headers=person.headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def ask(
    client: httpx.AsyncClient, person: Person, chat: Database, content: str, conversation: str | None = None
) -> Asked:
    conversation = conversation or await begin(client, person)
    answer = await client.post(f"{BASE}/{conversation}/messages", json={"content": content}, headers=person.headers)
    assert answer.status_code == 202, answer.text
    reply = UUID(answer.json()["reply"]["id"])
    [(task, message)] = await tasks_of(chat, reply)
    return Asked(conversation, answer.json()["message"]["id"], reply, task, message)


async def tasks_of(chat: Database, reply: UUID) -> list[tuple[UUID, dict[str, Any]]]:
    async with chat.connection() as conn:
        cursor = await conn.execute(
            "SELECT id, message FROM outbox WHERE subject = %s AND actor = 'ai/answer_question'"
            " AND reply = 'chat_llm/answered'",
            [reply],
        )
        return await cursor.fetchall()


def success(asked: Asked, text: str = ANSWER) -> Outcome:
    record = Answered([MILK_CARTON], provider="embedded", model="items", language="ko")
    return Outcome(
        task_id=asked.task,
        run_id=new_id(),
        subject=asked.reply,
        status="success",
        completed_at=clock.now(),
        record=msgspec.to_builtins(record),
        payload={"text": text},
    )


def failure(asked: Asked) -> Outcome:
    error = TaskError("interrupted", "The answer could not be written: please ask again.")
    return Outcome(
        task_id=asked.task,
        run_id=new_id(),
        subject=asked.reply,
        status="failure",
        completed_at=clock.now(),
        error=error,
    )


async def give(take: Take, outcome: Outcome) -> None:
    await take(answered, outcome)


class Event(Struct):
    """One Server-Sent Event as a client reads it."""

    name: str
    data: dict[str, Any]
    id: str | None = None


def parse(text: str) -> list[Event]:
    events = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            events.append(Event(fields["event"], json.loads(fields["data"]), fields.get("id")))
    return events


class Listener:
    """Reads events while they come: httpx's ASGI transport waits for the end of an answer."""

    def __init__(self, app: Any, path: str, headers: dict[str, str]) -> None:
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._gone = asyncio.Event()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("eco2.test", 80),
        }
        self._running = asyncio.create_task(app(scope, self._receive, self._messages.put))
        self._asked = False
        self._heard: list[Event] = []

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def next(self) -> Event:
        """The next event that is not a comment."""
        while True:
            if self._heard:
                return self._heard.pop(0)
            message = await asyncio.wait_for(self._messages.get(), 60)
            self._heard = parse(message.get("body", b"").decode())

    async def leave(self) -> None:
        self._gone.set()
        await asyncio.wait_for(self._running, 60)


@pytest.fixture
async def app(patient: None, environment: dict[str, str]) -> AsyncIterator[Any]:
    """The service's application itself, for listeners."""
    edge, _ = build(["chat_llm"], environment, background=False, access_log=False)
    async with support.lifespan(edge):
        yield edge


class Location:
    """An api-location that gives everybody the same places, or never an answer."""

    def __init__(self) -> None:
        self.places: Any = []
        self.silent = False
        self.status = "200 OK"
        self.next_cursor: str | None = None
        self.requests: list[str] = []
        self.url = ""
        self._clients: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Location"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        async with server:
            yield self
            # Since Python 3.12 a server that is closed waits until its clients have gone, and ours keep their connections.
            for writer in self._clients:
                writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                self.requests.append(head)
                if self.silent:
                    await asyncio.sleep(60)
                more = self.next_cursor is not None and f"cursor={self.next_cursor}" not in head
                places = [] if more else self.places
                body = json.dumps({"items": places, "next_cursor": self.next_cursor if more else None}).encode()
                writer.write(f"HTTP/1.1 {self.status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def location() -> AsyncIterator[Location]:
    async with Location().running() as running:
        yield running
