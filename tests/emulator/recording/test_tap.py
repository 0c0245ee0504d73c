"""What the gateway's tap writes of the requests that pass, whoever ends them, and whom it keeps waiting"""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emulator.network.refusals import Receive, Scope, Send
from emulator.recording import form, tap
from emulator.recording.form import Body
from emulator.recording.tap import Tap
from shared import trace

JSON, STREAM = (b"content-type", b"application/json"), (b"content-type", b"text/event-stream; charset=utf-8")
LEFT = {"type": "http.disconnect"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "one" / form.BODIES).mkdir(parents=True)
    return tmp_path / "one"


@pytest.fixture
def open_tap(folder: Path) -> Tap:
    made = Tap()
    made.order(str(folder), hold=False)
    return made


def scope(path: str = "/x", query: bytes = b"", method: str = "GET") -> Scope:
    headers = [(b"Accept", b"text/plain"), (b"X-Request-Id", b"none of it"), (b"te", b"x")]
    return {"path": path, "raw_path": path.encode(), "query_string": query, "method": method, "headers": headers}


def start(*headers: tuple[bytes, bytes], status: int = 200) -> Scope:
    return {"type": "http.response.start", "status": status, "headers": list(headers or (JSON,))}


def piece(content: bytes, *, more: bool = False) -> Scope:
    return {"type": "http.response.body", "body": content, "more_body": more}


def answering(*messages: Scope, after: Callable[[], Any] | None = None) -> tap.App:
    """An application that reads the whole request, answers so, and does something behind it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        for message in messages:
            await send(message)
        if after is not None and asyncio.iscoroutine(found := after()):
            await found

    return app


async def watch(to: Tap, app: tap.App, *bodies: bytes, left: bool = False, **about: Any) -> list[Scope]:
    """Send a request through it; what the client got. `left`: it goes behind its request."""
    parts = [{"type": "http.request", "body": body, "more_body": True} for body in bodies]
    coming = iter([*parts, LEFT if left else {"type": "http.request"}])
    got: list[Scope] = []

    async def receive() -> Scope:
        return next(coming)

    async def send(message: Scope) -> None:
        got.append(message)

    await to.watch(app, scope(**about), receive, send, b"id-1")
    return got


async def test_a_request_and_its_answer_are_kept_whole_and_pass_unchanged(open_tap: Tap, folder: Path) -> None:
    said = [
        start(JSON, (b"Date", b"today"), (b"Connection", b"close"), status=201),
        piece(b"{", more=True),
        piece(b"}"),
    ]
    trace.set_current(f"00-{'ab' * 16}-{'cd' * 8}-01")  # of this test's task alone
    got = await watch(open_tap, answering(*said), b"a", b"b", path="/x/%EA", query=b"q=1", method="POST")
    assert got == await watch(Tap(), answering(*said)) == said, "as without a recording"
    (kept,) = form.read_exchanges(folder)
    assert (kept.id, kept.to, kept.method, kept.path) == ("id-1", "gateway", "POST", "/x/%EA?q=1")
    assert kept.trace == "ab" * 16
    assert kept.headers == [("accept", "text/plain")], "what is of this connection alone is left out"
    assert kept.body == Body(2, "ab")
    assert (kept.answer.status, kept.answer.body, kept.answer.ended) == (201, Body(2, "{}"), "whole")
    assert kept.answer.headers == [("content-type", "application/json"), ("date", "today")]
    assert 0 <= kept.answer.seconds < 60
    await watch(open_tap, answering(start(), piece(b"")))
    assert form.read_exchanges(folder)[1].path == "/x", "without a query there is no question mark"


async def test_of_what_is_longer_than_is_kept_the_beginning_is(
    open_tap: Tap, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tap, "LONGEST_ANSWER", 5)
    monkeypatch.setattr(tap, "_LONGEST_REQUEST", 4)
    await watch(open_tap, answering(start(), piece(b"abc", more=True), piece(b"defg", more=True), piece(b"h")), b"1234")
    (kept,) = form.read_exchanges(folder)
    assert kept.body == Body(4, "1234")
    assert kept.answer.body == Body(8, "abcde", hash=hashlib.sha256(b"abcdefgh").hexdigest(), cut=True)


def ended(folder: Path) -> list[tuple[str, int]]:
    return [(one.answer.ended, one.answer.status) for one in form.read_exchanges(folder)]


async def test_who_ended_it_is_kept_too(open_tap: Tap, folder: Path) -> None:
    await watch(open_tap, answering(start(), piece(b"x", more=True)), left=True)
    await watch(open_tap, answering(start(), piece(b"x", more=True)))
    await watch(open_tap, answering(start(), piece(b"x")), left=True)
    with pytest.raises(RuntimeError):
        await watch(open_tap, answering(start(), after=raising))
    assert ended(folder) == [("left", 200), ("broken", 200), ("whole", 200), ("broken", 200)]
    assert open_tap.passing == 0


def raising() -> None:
    raise RuntimeError("it broke")


@pytest.mark.parametrize("path", ["/_emulator/", "/_gateway"])
async def test_our_own_looking_is_not_recorded_nor_kept_waiting(open_tap: Tap, folder: Path, path: str) -> None:
    open_tap.order(str(folder), hold=True)
    got = await asyncio.wait_for(watch(open_tap, answering(start(), piece(b"")), path=path), 10)
    assert (got, ended(folder)) == ([start(), piece(b"")], [])


async def test_while_it_holds_nobody_comes_in_and_who_is_in_is_counted(open_tap: Tap, folder: Path) -> None:
    seen: list[int] = []
    await watch(open_tap, answering(start(), after=lambda: seen.append(open_tap.passing)))
    await watch(open_tap, answering(start(STREAM), after=lambda: seen.append(open_tap.passing)))
    await watch(open_tap, answering(start((b"x-was", STREAM[1])), after=lambda: seen.append(open_tap.passing)))
    assert (seen, open_tap.passing) == ([1, 0, 1], 0), "an event stream may stay for long: it does not count"
    open_tap.order(str(folder), hold=True)
    assert open_tap.held
    waiting = asyncio.create_task(watch(open_tap, answering(start(), piece(b""))))
    for _ in range(5):
        await asyncio.sleep(0)
    assert (waiting.done(), open_tap.passing, len(form.read_exchanges(folder))) == (False, 0, 3)
    open_tap.order(str(folder), hold=False)
    await waiting
    assert (open_tap.held, len(form.read_exchanges(folder))) == (False, 4)


async def test_a_recording_that_ends_keeps_what_streams_have_said_so_far_and_nothing_after_it(
    open_tap: Tap, folder: Path, tmp_path: Path
) -> None:
    go_on, begun = asyncio.Event(), asyncio.Event()

    def waits() -> Any:
        begun.set()
        return go_on.wait()

    stream = asyncio.create_task(watch(open_tap, answering(start(STREAM), piece(b"data: 1", more=True), after=waits)))
    await begun.wait()
    begun.clear()
    silent = asyncio.create_task(watch(open_tap, answering(after=waits)))
    await begun.wait()
    open_tap.order(str(folder), hold=False)  # the same once more
    assert form.read_exchanges(folder) == []
    open_tap.order("", hold=False)
    assert (open_tap.recording, open_tap._log) == ("", None)
    (kept,) = form.read_exchanges(folder)  # not what has no answer yet
    assert (kept.answer.ended, kept.answer.body) == ("left", Body(7, "data: 1"))
    go_on.set()
    await asyncio.gather(stream, silent)
    assert open_tap._watched == set()
    await watch(open_tap, answering(start(), piece(b"")))
    assert len(form.read_exchanges(folder)) == 1
    (tmp_path / "two" / form.BODIES).mkdir(parents=True)
    for place, name in ((tmp_path / "nowhere", ""), (folder, "one"), (folder, "one"), (tmp_path / "two", "two")):
        open_tap.order(str(place), hold=False)
        assert open_tap.recording == name
    await watch(open_tap, answering(start(), piece(b"")))
    assert (len(form.read_exchanges(folder)), len(form.read_exchanges(tmp_path / "two"))) == (1, 1)
