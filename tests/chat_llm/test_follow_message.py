"""A reply as it is written: tokens, restarts, resuming, the end, and what happens when parts are away meanwhile."""

from typing import Any

import httpx
import pytest

from shared.db import Database
from shared.ids import new_id
from shared.progress import Publisher
from tests.chat_llm.conftest import ANSWER, BASE, Event, Listener, ask, failure, give, parse, success
from tests.conftest import Person, Serve, Take


def names(events: list[Event]) -> list[str]:
    return [event.name for event in events]


def say(publisher: Publisher, reply: Any, run: Any, *words: str, first: int = 0) -> None:
    for index, word in enumerate(words, first):
        publisher.add(reply, run, "token", {"text": word, "index": index})


async def test_tokens_come_while_the_reply_is_written(
    app: Any, client: httpx.AsyncClient, person: Person, chat: Database, publisher: Publisher, take: Take
) -> None:
    asked = await ask(client, person, chat, "우유팩은?")
    run = new_id()
    say(publisher, asked.reply, run, "우유팩은 ")
    listener = Listener(app, f"{asked.path}/events", person.headers)
    first = await listener.next()
    assert (first.name, first.data) == ("token", {"text": "우유팩은 ", "index": 0})
    say(publisher, asked.reply, run, "헹궈요.", first=1)
    assert (await listener.next()).data == {"text": "헹궈요.", "index": 1}
    await give(take, success(asked))
    last = await listener.next()
    assert (last.name, last.id) == ("done", None)
    assert last.data == (await client.get(asked.path, headers=person.headers)).json()
    await listener.leave()


async def test_two_listeners_hear_the_same(
    app: Any, client: httpx.AsyncClient, person: Person, chat: Database, publisher: Publisher, take: Take
) -> None:
    asked = await ask(client, person, chat, "우유팩은?")
    listeners = [Listener(app, f"{asked.path}/events", person.headers) for _ in range(2)]
    say(publisher, asked.reply, new_id(), "하나")
    heard = [await listener.next() for listener in listeners]
    assert heard[0] == heard[1]
    await give(take, success(asked))
    for listener in listeners:
        assert (await listener.next()).name == "done"
        await listener.leave()


async def test_a_new_run_tells_the_client_to_discard_the_old_one_s_tokens(
    app: Any, client: httpx.AsyncClient, person: Person, chat: Database, publisher: Publisher, take: Take
) -> None:
    asked = await ask(client, person, chat, "우유팩은?")
    say(publisher, asked.reply, new_id(), "우유", "팩")
    listener = Listener(app, f"{asked.path}/events", person.headers)
    assert [(await listener.next()).name for _ in range(2)] == ["token", "token"]
    say(publisher, asked.reply, new_id(), "우유팩은")
    assert [(await listener.next()).name for _ in range(2)] == ["restart", "token"]
    await give(take, success(asked))
    assert (await listener.next()).name == "done"
    await listener.leave()


async def test_a_listener_goes_on_after_the_last_event_it_has(
    client: httpx.AsyncClient, person: Person, chat: Database, publisher: Publisher, take: Take
) -> None:
    asked = await ask(client, person, chat, "우유팩은?")
    say(publisher, asked.reply, new_id(), "하나", "둘", "셋")
    await give(take, success(asked))
    path = f"{asked.path}/events"
    everything = parse((await client.get(path, headers=person.headers)).text)
    assert names(everything) == ["token", "token", "token", "done"]
    resumed = await client.get(path, headers=person.headers | {"Last-Event-ID": everything[1].id or ""})
    assert parse(resumed.text) == everything[2:]


async def test_a_listener_that_comes_back_in_a_new_run_starts_anew(
    client: httpx.AsyncClient, person: Person, chat: Database, publisher: Publisher, take: Take
) -> None:
    asked = await ask(client, person, chat, "우유팩은?")
    say(publisher, asked.reply, new_id(), "하나", "둘")
    path = f"{asked.path}/events"
    say(publisher, asked.reply, new_id(), "처음부터")
    await give(take, success(asked))
    everything = parse((await client.get(path, headers=person.headers)).text)
    assert names(everything) == ["token", "token", "restart", "token", "done"]
    resumed = await client.get(path, headers=person.headers | {"Last-Event-ID": everything[0].id or ""})
    assert names(parse(resumed.text)) == ["token", "restart", "token", "done"]
    resumed = await client.get(path, headers=person.headers | {"Last-Event-ID": everything[1].id or ""})
    assert names(parse(resumed.text)) == ["restart", "token", "done"]


async def test_a_listener_whose_stream_was_lost_starts_anew(
    client: httpx.AsyncClient, person: Person, chat: Database, publisher: Publisher, take: Take
) -> None:
    asked = await ask(client, person, chat, "우유팩은?")
    say(publisher, asked.reply, new_id(), "하나")
    await give(take, success(asked))
    answer = await client.get(f"{asked.path}/events", headers=person.headers | {"Last-Event-ID": "5-1"})
    assert names(parse(answer.text)) == ["restart", "token", "done"]


@pytest.mark.parametrize("last", ["0", "nonsense", "9" * 50, "-1", "99999999999999-0", "9" * 30 + "-0", b"\xb2-1"])
async def test_a_last_event_id_of_another_world_does_no_harm(
    client: httpx.AsyncClient, person: Person, chat: Database, publisher: Publisher, last: str | bytes, take: Take
) -> None:
    asked = await ask(client, person, chat, "우유팩은?")
    say(publisher, asked.reply, new_id(), "하나")
    await give(take, success(asked))
    headers: dict[Any, Any] = {
        b"Authorization": f"Bearer {person.token}".encode(),
        b"Last-Event-ID": last if isinstance(last, bytes) else last.encode(),
    }
    answer = await client.get(f"{asked.path}/events", headers=headers)
    assert (answer.status_code, names(parse(answer.text))[-1]) == (200, "done")


async def test_a_failed_reply_ends_its_events(
    client: httpx.AsyncClient, person: Person, chat: Database, take: Take
) -> None:
    asked = await ask(client, person, chat, "우유팩은?")
    await give(take, failure(asked))
    answer = await client.get(f"{asked.path}/events", headers=person.headers)
    assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == ("no-store", "no")
    assert answer.headers["content-type"].startswith("text/event-stream")
    [event] = parse(answer.text)
    assert (event.name, event.data["error_code"]) == ("failed", "interrupted")


async def test_a_question_itself_has_nothing_to_wait_for(
    client: httpx.AsyncClient, person: Person, chat: Database
) -> None:
    asked = await ask(client, person, chat, "우유팩은?")
    path = f"{BASE}/{asked.conversation}/messages/{asked.question}/events"
    [event] = parse((await client.get(path, headers=person.headers)).text)
    assert (event.name, event.data["content"]) == ("done", "우유팩은?")


async def test_deleting_the_conversation_ends_the_events_of_its_replies(
    app: Any, client: httpx.AsyncClient, person: Person, chat: Database, publisher: Publisher
) -> None:
    asked = await ask(client, person, chat, "우유팩은?")
    say(publisher, asked.reply, new_id(), "하나")
    listener = Listener(app, f"{asked.path}/events", person.headers)
    assert (await listener.next()).name == "token"
    await client.delete(f"{BASE}/{asked.conversation}", headers=person.headers)
    last = await listener.next()
    assert (last.name, last.data["error_code"]) == ("failed", "deleted")
    await listener.leave()


async def test_with_the_broker_away_the_end_is_told_without_tokens(
    serve: Serve, client: httpx.AsyncClient, person: Person, chat: Database, free_port: int, take: Take
) -> None:
    asked = await ask(client, person, chat, "우유팩은?")
    await give(take, success(asked))
    cut_off = await serve("chat_llm", BROKER_REDIS_URL=f"redis://127.0.0.1:{free_port}")
    [event] = parse((await cut_off.get(f"{asked.path}/events", headers=person.headers)).text)
    assert (event.name, event.data["content"]) == ("done", ANSWER)


async def test_no_proxy_on_the_way_gathers_the_tokens_or_keeps_them(
    client: httpx.AsyncClient, person: Person, chat: Database, take: Take
) -> None:
    asked = await ask(client, person, chat, "우유팩은?")
    await give(take, success(asked))
    answer = await client.get(f"{asked.path}/events", headers=person.headers)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert (answer.headers["x-accel-buffering"], answer.headers["cache-control"]) == ("no", "no-store")
