"""From the question to the last event over the real outbox, relay, worker and reply function; only the worker's mind is ours."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from runtime.binding import bind_queue
from runtime.http.host import build
from shared.db import Database
from shared.errors import Unavailable
from shared.messages import Answered, AnswerQuestion
from shared.progress import Progress, Publisher, stream
from shared.redis import connect
from shared.tasks import Result, TaskFailed
from shared.triggers import queue
from tests import support
from tests.chat_llm.conftest import ANSWER, BASE, MILK_CARTON, Listener
from tests.conftest import Person, Serve
from tests.runtime.owner import eventually, worker


class Mind:
    """An ai worker's function that does as it is told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.asked: list[tuple[str, list[str]]] = []

    def __call__(self, message: AnswerQuestion, progress: Progress) -> Result:
        question = message.question
        self.asked.append((question, [turn.content for turn in message.history]))
        if question == "안 되는 질문":
            raise TaskFailed("not-answered", "The question could not be answered.")
        if question == "끊기는 질문" and len(self.asked) == 1:
            progress.publish_tokens(["처음 "], 0)
            self.go_on.wait(20)
            raise Unavailable("api-recycle-info")
        for index, word in enumerate(ANSWER.split(" ")):
            progress.publish_tokens([f"{word} "], index)
        record = Answered([MILK_CARTON], provider="test", model="mind", language="ko")
        return Result(record=record, payload={"text": ANSWER})


@pytest.fixture
def mind(broker_url: str, tmp_path: Path) -> Iterator[Mind]:
    mind = Mind()

    @queue(AnswerQuestion)
    def answer_question(message: AnswerQuestion, progress: Progress) -> Result:
        return mind(message, progress)

    with connect(broker_url) as client:
        bound = bind_queue(answer_question, {"publisher": Publisher(client)})
        with worker(broker_url, tmp_path, "ai", {"answer_question": bound}):
            yield mind


@pytest.fixture
async def system(environment: dict[str, str], db: Callable[[str], Awaitable[Database]]) -> AsyncIterator[Any]:
    # Questions that other tests asked and no one answered would be answered here, too.
    async with (await db("chat_llm")).connection() as conn:
        await conn.execute("DELETE FROM outbox")
    edge, _ = build(["chat_llm"], environment, background=True, access_log=False)
    async with support.lifespan(edge):
        yield edge


async def read_all(listener: Listener) -> list[tuple[str, Any]]:
    events = []
    while True:
        event = await listener.next()
        events.append((event.name, event.data))
        if event.name in ("done", "failed"):
            await listener.leave()
            return events


async def put(client: Any, person: Person, conversation: str, content: str) -> str:
    answer = await client.post(f"{BASE}/{conversation}/messages", json={"content": content}, headers=person.headers)
    assert answer.status_code == 202, answer.text
    return str(answer.headers["location"])


async def test_a_question_is_answered_and_the_next_one_knows_it(
    system: Any, serve: Serve, person: Person, mind: Mind
) -> None:
    client = await serve("chat_llm")
    conversation = (await client.post(BASE, json={}, headers=person.headers)).json()["id"]
    reply = await put(client, person, conversation, "우유팩은?")
    events = await read_all(Listener(system, f"{reply}/events", person.headers))
    assert [name for name, _ in events] == ["token"] * len(ANSWER.split(" ")) + ["done"]
    assert "".join(data["text"] for _, data in events[:-1]).strip() == events[-1][1]["content"] == ANSWER
    reply = await put(client, person, conversation, "그럼 뚜껑은?")
    await read_all(Listener(system, f"{reply}/events", person.headers))
    # Others' tests ask too, and what they left may come before.
    assert mind.asked[-2:] == [("우유팩은?", []), ("그럼 뚜껑은?", ["우유팩은?", ANSWER])]
    messages = (await client.get(f"{BASE}/{conversation}/messages", headers=person.headers)).json()["items"]
    assert [message["status"] for message in messages] == ["success"] * 4


async def test_an_interrupted_answer_is_begun_anew_before_the_listener_s_eyes(
    system: Any, serve: Serve, person: Person, mind: Mind
) -> None:
    client = await serve("chat_llm")
    conversation = (await client.post(BASE, json={}, headers=person.headers)).json()["id"]
    reply = await put(client, person, conversation, "끊기는 질문")
    listener = Listener(system, f"{reply}/events", person.headers)
    assert (await listener.next()).data == {"text": "처음 ", "index": 0}
    mind.go_on.set()
    events = await read_all(listener)
    assert [name for name, _ in events] == ["restart"] + ["token"] * len(ANSWER.split(" ")) + ["done"]
    assert events[-1][1]["content"] == ANSWER


async def test_a_question_that_fails_says_why(system: Any, serve: Serve, person: Person, mind: Mind) -> None:
    client = await serve("chat_llm")
    conversation = (await client.post(BASE, json={}, headers=person.headers)).json()["id"]
    reply = await put(client, person, conversation, "안 되는 질문")
    [(name, message)] = await read_all(Listener(system, f"{reply}/events", person.headers))
    assert (name, message["error"]) == ("failed", "The question could not be answered.")


async def test_a_conversation_deleted_while_it_is_answered_leaves_no_tokens(
    system: Any, serve: Serve, person: Person, mind: Mind, broker_url: str
) -> None:
    client = await serve("chat_llm")
    conversation = (await client.post(BASE, json={}, headers=person.headers)).json()["id"]
    reply = await put(client, person, conversation, "끊기는 질문")
    listener = Listener(system, f"{reply}/events", person.headers)
    await listener.next()
    assert (await client.delete(f"{BASE}/{conversation}", headers=person.headers)).status_code == 204
    mind.go_on.set()
    assert (await read_all(listener))[-1][1]["error_code"] == "deleted"
    with connect(broker_url) as redis:
        key = stream(UUID(reply.rpartition("/")[2]))
        # The run goes on to its end; its outcome finds no row, and takes its tokens with it.
        await asyncio.to_thread(eventually, lambda: len(mind.asked) == 2, "the second run")
        await asyncio.to_thread(eventually, lambda: not redis.exists(key), "the stream is gone")
