"""What the gateway answers by itself: problems, the one document of all services, and public copies as a store has them"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from emulator.network import gateway, public_copies
from emulator.network.forward import Route
from emulator.network.merge import merge
from emulator.network.public_copies import PublicCopies
from emulator.network.refusals import Refused, away, send_problem
from emulator.network.upstream import Upstream
from tests import support


class Client:
    """Who is answered."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    async def __call__(self, message: dict[str, Any]) -> None:
        self.messages.append(message)

    @property
    def head(self) -> dict[bytes, bytes]:
        return dict(self.messages[0]["headers"])


async def test_a_refusal_is_a_whole_problem() -> None:
    client = Client()
    await send_problem(client, away("api-waste"), b"r-1")
    start, body = client.messages
    assert msgspec.json.decode(body["body"]) == {
        "type": "urn:eco2:gateway:unavailable",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "api-waste does not answer. Try again in a moment.",
        "instance": "r-1",
    }
    assert (start["type"], start["status"], body["type"]) == ("http.response.start", 503, "http.response.body")
    assert client.head == {
        b"content-type": b"application/problem+json",
        b"content-length": str(len(body["body"])).encode(),
        b"x-request-id": b"r-1",
        b"retry-after": b"2",
    }


def document(name: str, **components: Any) -> dict[str, Any]:
    parts = {"schemas": components} if components else {}
    path = {"get": {"answer": {"$ref": "#/components/schemas/One"}}}
    about = {"title": name, "version": "7"}
    return {
        "openapi": "3.1.1",
        "info": about,
        "tags": [{"name": name}],
        "paths": {f"/{name}": path},
        "components": parts,
    }


def test_documents_become_one_that_has_all_of_each() -> None:
    assert merge({"api-a": document("a", One=1), "api-b": document("b", One=1, Two=2)}, ["api-c"]) == {
        "openapi": "3.1.1",
        "info": {"title": "Eco²", "version": "7"},
        "servers": [{"url": "/"}],
        "tags": [{"name": "a"}, {"name": "b"}],
        "paths": document("a")["paths"] | document("b")["paths"],
        "components": {"schemas": {"One": 1, "Two": 2}},
        "x-missing-services": ["api-c"],
    }


def test_a_component_of_another_s_name_is_named_after_its_service_wherever_it_is_meant() -> None:
    merged = merge({"api-a": document("a", One=1), "api-chat-llm": document("b", One=2)}, [])
    assert merged["components"] == {"schemas": {"One": 1, "ChatLlmOne": 2}}
    meant = [merged["paths"][path]["get"]["answer"]["$ref"].rpartition("/")[2] for path in ("/a", "/b")]
    assert meant == ["One", "ChatLlmOne"]
    assert "x-missing-services" not in merged


def test_without_any_document_there_is_still_one() -> None:
    assert merge({}, ["api-a"]) | {"x-missing-services": []} == {
        "openapi": "3.1.0",
        "info": {"title": "Eco²", "version": "1"},
        "servers": [{"url": "/"}],
        "tags": [],
        "paths": {},
        "components": {},
        "x-missing-services": [],
    }


class Store:
    """Answers as told, and keeps the heads of what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.asked.append(head.decode().lower())
                writer.write(self.answer)


NAMES = {"S3_BUCKET": "bucket", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key", "AWS_REGION": "here"}


async def test_a_service_that_says_nothing_is_missing_in_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "_OPENAPI", 0.01)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with asyncio.timeout(30), support.answering(silent) as address:
        routes = [Route("/api/v1/a", "api-a", address), Route("/_dashboard", "dashboard", address)]
        made = gateway.Gateway(routes, NAMES | {"S3_ENDPOINT_URL": address})
        assert (await made._openapi())["x-missing-services"] == ["api-a"]


ROUTES = [Route("/api/v1/a", "api-a", "http://a"), Route("/_dashboard", "dashboard", "http://d")]
HOST = (b"host", b"here")


def front() -> gateway.Gateway:
    return gateway.Gateway(ROUTES, NAMES | {"S3_ENDPOINT_URL": "http://s3"})


async def asked(path: str, *headers: tuple[bytes, bytes], version: str = "1.1") -> Client:
    client = Client()
    scope = {"type": "http", "method": "GET", "path": path, "http_version": version, "headers": list(headers)}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    await front()(scope, receive, client)
    return client


async def test_the_gateway_says_what_there_is_and_whether_it_is_ready() -> None:
    client = await asked("/", HOST, (b"x-request-id", b"1" * 32))
    assert (client.messages[0]["status"], client.head[b"x-request-id"]) == (200, b"1" * 32)
    assert msgspec.json.decode(client.messages[1]["body"]) == {
        "name": "Eco²",
        "services": {"api-a": "/api/v1/a"},
        "docs": "/docs",
        "openapi": "/openapi.json",
        "images": "/cdn/images/…",
    }
    client = await asked("/_gateway", HOST)
    assert (client.messages[0]["status"], client.messages[1]["body"]) == (200, b"ready\n")
    told = {name: value for name, value in client.head.items() if name.startswith(b"x-eco2")}
    assert told == {b"x-eco2-held": b"0", b"x-eco2-passing": b"0", b"x-eco2-recording": b""}


async def test_a_service_that_is_known_to_be_away_is_not_asked() -> None:
    store, receive = Store(), Client()
    store.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab"

    async def body() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async with asyncio.timeout(30), support.answering(store.serve) as address:
        made = gateway.Gateway([Route("/api/v1/a", "api-a", address)], NAMES | {"S3_ENDPOINT_URL": address})
        scope = {"type": "http", "method": "GET", "path": "/api/v1/a", "http_version": "1.1", "headers": [HOST]}
        scope |= {"raw_path": b"/api/v1/a", "query_string": b"", "client": ("here", 1), "scheme": "http"}
        made.away = {"api-a"}
        await made(scope, body, receive)
        assert (receive.messages[0]["status"], store.asked) == (503, [])
        made.away = {"api-b"}
        receive = Client()
        await made(scope, body, receive)
        assert (receive.messages[0]["status"], len(store.asked)) == (200, 1)


async def test_what_a_refused_client_still_sends_is_read_before_it_is_answered_but_not_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To close a socket with bytes unread resets it, and the client would see no answer."""
    made, left = front(), 5

    async def body() -> dict[str, Any]:
        nonlocal left
        left -= 1
        return {"type": "http.request", "body": b"x" * 10, "more_body": left > 0}

    async def answer(scope: Any, receive: Any, send: Any, request_id: bytes) -> None:
        raise Refused(413, "too-large", "Content Too Large", "No.")

    monkeypatch.setattr(made, "_answer", answer)
    scope = {"type": "http", "method": "PUT", "path": "/", "http_version": "1.1", "headers": [HOST]}
    for most, unread in ((1000, 0), (30, 2)):
        monkeypatch.setattr(gateway, "_DISCARDED", most)
        left, client = 5, Client()
        await made(scope, body, client)
        assert (client.messages[0]["status"], left) == (413, unread)


@pytest.mark.parametrize(
    ("headers", "version", "status"),
    [
        ([HOST], "1.1", 200),
        ([], "1.1", 400),
        ([], "1.0", 200),
        ([HOST, HOST], "1.1", 400),
        ([HOST, (b"a" * 30_000, b"b" * (gateway.MAX_HEADERS - 30_008))], "1.1", 200),
        ([HOST, (b"a" * 30_000, b"b" * (gateway.MAX_HEADERS - 30_007))], "1.1", 431),
    ],
    ids=["right", "no host", "no host in 1.0", "two hosts", "the largest", "larger"],
)
async def test_no_service_sees_a_head_that_is_none(
    headers: list[tuple[bytes, bytes]], version: str, status: int
) -> None:
    assert (await asked("/", *headers, version=version)).messages[0]["status"] == status


async def test_an_order_says_all_that_holds_now() -> None:
    made = front()

    async def ordered(**order: Any) -> None:
        made._orders = asyncio.StreamReader()
        made._orders.feed_data(msgspec.json.encode(order) + b"\n")
        made._orders.feed_eof()
        await made.obey()

    def served(method: str, path: str) -> str | None:
        route = made._route(method, path)
        return route and route.service

    await ordered(
        away=["api-b"],
        services=[("/api/v1/b", "api-b", "http://b")],
        errors={"api-b": "no\n such\tnäme"},
        apart=[("GET", "/api/v1/b/[a-z]+", "api-b.one", "http://one")],
        hold=True,
    )
    assert (made.away, made._reload_error("api-b"), made._reload_error("api-a")) == (
        {"api-b"},
        [(b"x-eco2-reload-error", b"no such n?me")],
        [],
    )
    assert [served("GET", path) for path in ("/api/v1/b/x", "/api/v1/b/x/y", "/api/v1/bx", "/api/v1/a")] == [
        "api-b.one",
        "api-b",
        None,
        None,
    ]
    assert (served("POST", "/api/v1/b/x"), served("GET", "/_dashboard/x"), made.tap.held) == (
        "api-b",
        "dashboard",
        True,
    )
    await ordered()
    assert (made.away, made.apart, made.errors, made.tap.held) == (set(), [], {}, False)
    assert served("GET", "/api/v1/b/x") == "api-b", "the services stay those that were told last"


@contextlib.asynccontextmanager
async def copies() -> AsyncIterator[tuple[Store, PublicCopies]]:
    store, upstream = Store(), Upstream()
    async with support.answering(store.serve) as address:
        yield store, PublicCopies(upstream, NAMES | {"S3_ENDPOINT_URL": address})
        upstream.close()


def asking(method: str = "GET", *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"method": method, "headers": list(headers)}


@pytest.mark.parametrize(
    ("headers", "part"),
    [
        ([(b"range", b"bytes=0-1"), (b"cookie", b"secret")], True),
        ([(b"range", b"lines=0-1")], False),
        ([(b"range", b"bytes=0-1"), (b"if-range", b'"tag"')], False),
    ],
    ids=str,
)
async def test_a_copy_is_asked_for_with_the_store_s_keys_and_the_part_that_the_browser_wants(
    headers: list[tuple[bytes, bytes]], part: bool
) -> None:
    async with copies() as (store, public):
        await public.answer("images/a b.jpg", asking("GET", *headers), Client(), b"r-1")
    [head] = store.asked
    assert head.startswith("get /bucket/images/a%20b.jpg http/1.1\r\n")
    assert "authorization: aws4-hmac-sha256 credential=id/" in head
    assert ("range: bytes=0-1" in head) is part
    assert "cookie" not in head


@pytest.mark.parametrize(
    ("condition", "status"), [(b'"1"', 304), (b'"0", W/"1"', 304), (b"*", 304), (b'"2"', 200), (b"", 200)]
)
async def test_of_a_copy_that_the_browser_has_it_gets_the_name_and_no_content(condition: bytes, status: int) -> None:
    client = Client()
    async with copies() as (store, public):
        store.answer = b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nETag: "1"\r\n\r\nab'
        await public.answer("images/a", asking("GET", (b"if-none-match", condition)), client, b"r-1")
    assert client.messages[0]["status"] == status
    assert client.head[b"etag"] == b'"1"'
    assert (b"content-length" in client.head, client.messages[1]["body"]) == (
        (True, b"ab") if status == 200 else (False, b"")
    )


async def test_a_copy_s_answer_has_what_a_browser_needs_and_nothing_of_the_store_s_own() -> None:
    client = Client()
    async with copies() as (store, public):
        store.answer = (
            b"HTTP/1.1 206 Partial Content\r\nContent-Length: 2\r\nContent-Type: image/jpeg\r\nETag: 1\r\n"
            b"Content-Range: bytes 0-1/9\r\nAccept-Ranges: bytes\r\nLast-Modified: then\r\nServer: store\r\n\r\nab"
        )
        await public.answer("images/a", asking(), client, b"r-1")
    assert client.head == {
        b"content-length": b"2",
        b"content-type": b"image/jpeg",
        b"etag": b"1",
        b"content-range": b"bytes 0-1/9",
        b"accept-ranges": b"bytes",
        b"last-modified": b"then",
        b"cache-control": b"public, max-age=31536000, immutable",
        b"x-content-type-options": b"nosniff",
        b"access-control-allow-origin": b"*",
        b"x-request-id": b"r-1",
    }
    assert client.messages[0]["status"] == 206
    assert client.messages[1] == {"type": "http.response.body", "body": b"ab"}


async def test_a_copy_is_kept_as_the_store_says_and_of_a_head_there_is_no_content() -> None:
    client = Client()
    async with copies() as (store, public):
        store.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCache-Control: no-cache\r\n\r\n"
        await public.answer("images/a", asking("HEAD"), client, b"r-1")
    assert store.asked[0].startswith("head ")
    assert client.head[b"cache-control"] == b"no-cache"
    assert client.messages[1]["body"] == b""


@pytest.mark.parametrize(
    ("status", "refused"),
    [(200, None), (206, None), (304, None), (416, None), (403, 404), (404, 404), (301, 503), (400, 503), (500, 503)],
)
async def test_what_the_store_says_is_a_copy_none_or_a_store_that_is_away(status: int, refused: int | None) -> None:
    client = Client()
    async with copies() as (store, public):
        content = b"" if status == 304 else b"Content-Length: 2\r\n"
        store.answer = b"HTTP/1.1 %d X\r\n%b\r\n%b" % (status, content, b"" if status == 304 else b"ab")
        found = None
        try:
            await public.answer("images/a", asking(), client, b"r-1")
        except Refused as refusal:
            found = refusal.status
    assert found == refused
    assert len(client.messages) == (0 if refused else 2)


@pytest.mark.parametrize("key", ["raw/a", "images/../raw/a", "images", "", "images/a/.."])
async def test_what_is_no_public_copy_the_store_is_not_asked_for(key: str) -> None:
    async with copies() as (store, public):
        with pytest.raises(Refused) as refused:
            await public.answer(key, asking(), Client(), b"r-1")
    assert (refused.value.status, store.asked) == (404, [])


async def test_a_store_that_says_nothing_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public_copies, "_PATIENCE", 0.05)
    async with copies() as (store, public), asyncio.timeout(60):
        store.answer = b""
        with pytest.raises(Refused) as refused:
            await public.answer("images/a", asking(), Client(), b"r-1")
    assert refused.value.status == 503
