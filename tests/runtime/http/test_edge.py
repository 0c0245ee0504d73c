"""The edge: what other origins may read, what no one keeps, and bodies and queries that are not what they should be."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import UUID

import httpx
import msgspec
import pytest
from litestar import get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.response import Stream

from runtime.http import edge as edge_module
from runtime.http import switch
from runtime.http.cors import Cors
from runtime.http.edge import Edge
from runtime.http.hosted import Hosted, read_settings
from runtime.services import find
from runtime.telemetry import AccessLog
from shared.errors import TooMany, Unavailable
from shared.http import CurrentUser
from shared.identity import alias_of
from tests import support
from tests.conftest import make_person

PAGE = "https://app.eco2.example"
BASE = "/api/v1/auth"


@get("/public")
async def public(q: Annotated[str, QueryParameter()] = "") -> str:
    return q


@get("/mine")
async def mine(user: CurrentUser) -> str:
    return str(user.id)


@post("/made", status_code=201)
async def made(data: JSONBody[dict[str, str]]) -> dict[str, str]:
    return data


@post("/mine-made", status_code=201)
async def mine_made(user: CurrentUser, data: JSONBody[dict[str, str]]) -> dict[str, str]:
    return data


@get("/busy")
async def busy() -> None:
    raise TooMany


@get("/away")
async def away() -> None:
    raise Unavailable("database")


@get("/things/{thing_id:uuid}")
async def thing(thing_id: FromPath[UUID]) -> str:
    return str(thing_id)


@get("/events")
async def events(user: CurrentUser) -> Stream:
    return Stream(iter([b"event: done\ndata: {}\n\n"]), media_type="text/event-stream")


# Set when somebody has come to a function that takes for ever.
arrived = asyncio.Event()


@get("/slow")
async def slow() -> None:
    arrived.set()
    await asyncio.Future()


@get("/begun")
async def begun() -> Stream:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        arrived.set()
        await asyncio.Future()

    return Stream(pieces())


HANDLERS = [public, mine, made, mine_made, busy, away, thing, events, slow, begun]
Serving = Callable[..., Any]


class Noted(AccessLog):
    """An access log that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__("auth", "json")
        self.paths: list[str] = []
        self.statuses: list[int] = []
        self.users: list[str | None] = []

    def add(self, method: str, path: str, status: int, seconds: float, user: str | None, *ids: str) -> None:
        self.users.append(user)
        self.paths.append(path)
        self.statuses.append(status)


@pytest.fixture
def serving(environment: dict[str, str]) -> Serving:
    @asynccontextmanager
    async def serving(**more: str) -> AsyncIterator[tuple[httpx.AsyncClient, Noted]]:
        service, log = find("auth"), Noted()
        hosted = Hosted(service, read_settings(service, environment | more), background=False, handlers=HANDLERS)
        app = Edge([hosted], log)
        async with support.lifespan(app):
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type]  # httpx types an ASGI scope as any mapping
            async with httpx.AsyncClient(transport=transport, base_url="http://eco2.test") as client:
                yield client, log

    return serving


async def test_every_answer_can_be_read_by_a_page_of_an_allowed_origin_refusals_too(
    serving: Serving, keys: support.Keys
) -> None:
    async with serving(CORS_ORIGINS=f"https://other.example, {PAGE}") as (client, _):
        for method, path, status, more in (
            ("GET", "/public", 200, {}),
            ("GET", "/mine", 401, {}),
            ("GET", "/nothing", 404, {}),
            ("POST", "/public", 405, {}),
            ("POST", "/made", 413, {"content": b"x" * 300_000, "headers": {"Content-Type": "application/json"}}),
            ("POST", "/made", 415, {"content": b"x", "headers": {"Content-Type": "text/plain"}}),
            ("GET", "/busy", 429, {}),
            ("GET", "/away", 503, {}),
        ):
            headers = {"Origin": PAGE} | more.pop("headers", {})  # type: ignore[attr-defined]  # mypy joins the rows' last fields to `object`
            answer = await client.request(method, BASE + path, headers=headers, **more)
            assert answer.status_code == status
            assert answer.headers["access-control-allow-origin"] == PAGE
            assert "origin" in answer.headers["vary"].lower()
            exposed = set(answer.headers["access-control-expose-headers"].split(", "))
            assert exposed == {"ETag", "Location", "Retry-After", "WWW-Authenticate", "X-Request-Id", "Allow"}
            assert "access-control-allow-credentials" not in answer.headers
        assert (await client.get("/elsewhere", headers={"Origin": PAGE})).headers["access-control-allow-origin"] == PAGE
        stream = await client.get(f"{BASE}/events", headers=make_person(keys).headers | {"Origin": PAGE})
        assert (stream.headers["content-type"].partition(";")[0], stream.headers["access-control-allow-origin"]) == (
            "text/event-stream",
            PAGE,
        )


async def test_the_reference_is_a_page_where_the_setting_says_so(serving: Serving) -> None:
    async with serving(API_DOCS="true") as (client, _):
        page = await client.get(f"{BASE}/docs")
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "script-src 'self';" in page.headers["content-security-policy"]
        assert f'src="{BASE}/docs/scalar.js"' in page.text
        for name, kind in (("page.js", "text/javascript"), ("page.css", "text/css"), ("scalar.js", "text/javascript")):
            assert (await client.get(f"{BASE}/docs/{name}")).headers["content-type"] == f"{kind}; charset=utf-8"
        errors = (await client.get(f"{BASE}/docs/errors")).text
        assert '<tr id="urn:eco2:too-many-requests">' in errors
        assert (await client.get(f"{BASE}/docs/openapi.json")).json()["paths"]
        assert (await client.get(f"{BASE}/docs/../../x")).status_code == 404
    async with serving() as (client, _):
        assert (await client.get(f"{BASE}/docs")).status_code == 404


async def test_a_browser_that_asks_first_hears_what_it_may_send(serving: Serving) -> None:
    ask = {"Origin": PAGE, "Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization"}
    async with serving(CORS_ORIGINS=PAGE) as (client, _):
        answer = await client.options(f"{BASE}/mine", headers=ask)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["access-control-allow-origin"] == PAGE
        methods, headers = (
            set(answer.headers[f"access-control-allow-{what}"].split(", ")) for what in ("methods", "headers")
        )
        assert methods == {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}
        assert headers == {
            *("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match"),
            *("Last-Event-ID", "X-Request-Id", "traceparent"),
        }
        assert answer.headers["access-control-max-age"] == "600", "it need not ask before each request"
        vary = ", ".join(answer.headers.get_list("vary"))
        assert set(vary.split(", ")) == {
            *("Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"),
        }
        # Not a browser's question: the methods of the address.
        plain = await client.options(f"{BASE}/mine", headers={"Origin": PAGE})
        assert plain.headers["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.eco2.example.evil.test",
        "http://app.eco2.example",
        "https://appXeco2.example",
        "null",
        PAGE + ":1",
        "*",
    ],
)
async def test_a_page_of_another_origin_gets_nothing_to_read_by(serving: Serving, origin: str) -> None:
    async with serving(CORS_ORIGINS=PAGE) as (client, _):
        for headers in ({"Origin": origin}, {"Origin": origin, "Access-Control-Request-Method": "GET"}):
            for method in ("GET", "OPTIONS"):
                answer = await client.request(method, f"{BASE}/public", headers=headers)
                assert not [name for name in answer.headers if name.startswith("access-control")]
                assert answer.headers["vary"] == "Origin", "a cache must not give it to the others"


async def test_without_the_setting_there_is_no_cors_at_all(serving: Serving) -> None:
    async with serving() as (client, _):
        answer = await client.get(f"{BASE}/public", headers={"Origin": PAGE})
        assert not {"vary", "access-control-allow-origin"} & set(answer.headers)


def test_a_port_may_be_any_where_the_setting_says_so() -> None:
    cors = Cors("http://localhost:*,https://a.example")
    for origin in (b"http://localhost", b"http://localhost:5173"):
        assert (b"access-control-allow-origin", origin) in cors.headers(origin)
    for origin in (b"http://localhost:5173.evil.test", b"http://localhost.evil.test", b"https://a.example:8443"):
        assert cors.headers(origin) == [(b"vary", b"Origin")]


@pytest.mark.parametrize("written", [PAGE, f"{PAGE}/", f" {PAGE} ", f"{PAGE},", f"https://a.example,{PAGE}"])
def test_an_origin_is_meant_however_the_setting_writes_it(written: str) -> None:
    cors = Cors(written)
    assert cors.on
    assert (b"access-control-allow-origin", PAGE.encode()) in cors.headers(PAGE.encode())
    for other in (None, b"", b"null", PAGE.upper().encode(), f"{PAGE}/".encode(), f"{PAGE}.evil.test".encode()):
        assert cors.headers(other) == [(b"vary", b"Origin")]
    assert not Cors(" , ").on


async def test_what_is_a_persons_or_a_token_is_kept_by_no_cache(serving: Serving, keys: support.Keys) -> None:
    person = make_person(keys)
    async with serving() as (client, _):
        assert (await client.get(f"{BASE}/mine", headers=person.headers)).headers["cache-control"] == "no-store"
        assert (await client.post(f"{BASE}/made", json={})).headers["cache-control"] == "no-store"
        answer = await client.get(f"{BASE}/public")
        assert "cache-control" not in answer.headers
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "strict-transport-security" not in answer.headers
        behind_tls = await client.get(f"{BASE}/public", headers={"X-Forwarded-Proto": "https"})
        assert "max-age=" in behind_tls.headers["strict-transport-security"]


async def test_a_coded_body_is_415_after_the_token(serving: Serving, keys: support.Keys) -> None:
    body: dict[str, Any] = {
        "content": b"x",
        "headers": {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    }
    async with serving() as (client, _):
        answer = await client.post(f"{BASE}/made", **body)
        assert answer.status_code == 415
        assert "Content-Encoding" in answer.json()["detail"]
        assert answer.headers["accept-encoding"] == "identity"
        assert (await client.post(f"{BASE}/mine-made", **body)).status_code == 401
        body["headers"] |= make_person(keys).headers
        assert (await client.post(f"{BASE}/mine-made", **body)).status_code == 415


async def test_a_client_that_leaves_before_its_body_is_whole_is_no_fault_of_ours(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    messages = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(messages)

    async def send(_: Any) -> None:
        """To no one."""

    async with serving() as (client, log):
        request = client.build_request("POST", f"{BASE}/made", json={})
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http"}
        scope |= {"path": f"{BASE}/made", "raw_path": f"{BASE}/made".encode(), "query_string": b"", "root_path": ""}
        scope |= {"headers": [(k.lower(), v) for k, v in request.headers.raw], "client": None, "server": None}
        await client._transport.app(scope, receive, send)  # type: ignore[attr-defined]  # httpx does not say which transport
    assert log.statuses == [408]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_who_stops_is_alive_but_not_ready_from_then_on(serving: Serving) -> None:
    async with serving() as (client, _):
        assert (await client.get("/readyz")).status_code == 200
        client._transport.app.drain()  # type: ignore[attr-defined]  # httpx does not say which transport
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "stopping")
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get(f"{BASE}/public")).status_code == 200


@pytest.mark.parametrize(
    ("path", "stops", "starts"), [("slow", True, [503]), ("begun", True, [200]), ("slow", False, [])]
)
async def test_what_a_stop_can_wait_for_no_longer_is_answered_as_away(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, path: str, stops: bool, starts: list[int]
) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    monkeypatch.setitem(globals(), "arrived", asyncio.Event())  # of this test's loop
    async with serving() as (client, log):
        edge = client._transport.app  # type: ignore[attr-defined]  # httpx does not say which transport
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http"}
        scope |= {"path": f"{BASE}/{path}", "raw_path": f"{BASE}/{path}".encode(), "query_string": b"", "root_path": ""}
        scope |= {"headers": [(b"host", b"eco2.test")], "client": None, "server": None}
        request = asyncio.create_task(edge(scope, asyncio.Future, send))
        await arrived.wait()
        if stops:
            edge.drain()
        request.cancel()
        [ended] = await asyncio.gather(request, return_exceptions=True)
    assert [message["status"] for message in sent if message["type"] == "http.response.start"] == starts
    assert isinstance(ended, asyncio.CancelledError) is (starts != [503])
    assert log.statuses == (starts or [500])
    assert [lane.taken for lane in edge._hosted[0]._lanes if lane.taken] == [], "its place is the next one's"
    if starts == [503]:
        assert dict(sent[0]["headers"])[b"retry-after"] == b"2"
        assert msgspec.json.decode(sent[1]["body"])["type"] == "urn:eco2:unavailable"


@pytest.mark.parametrize(("query", "field"), [("q=%C6%E4%C6%AE", "q"), ("a=1&q=%FF", "q"), ("%ff=1", "\ufffd")])
async def test_a_query_that_is_not_utf_8_names_its_parameter(serving: Serving, query: str, field: str) -> None:
    async with serving() as (client, _):
        answer = await client.get(f"{BASE}/public?{query}")
        assert answer.status_code == 400
        assert [error["field"] for error in answer.json()["errors"]] == [field]
        good = await client.get(f"{BASE}/public?q=%ED%8E%98%ED%8A%B8&x=%25")
        assert good.text == "페트"


async def test_a_function_that_is_off_is_off_by_every_spelling_of_its_address(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switch, "off", {})
    switch.turn(find("auth"), ["auth/thing", "waste/public"])
    switch.turn(find("waste"), [])  # another service of this process hears the same list, or an older one
    uuid = "01a20000-0000-7000-8000-000000000000"
    async with serving() as (client, _):
        for path in (
            f"/things/{uuid}",
            f"/things/{uuid}/",
            f"//things//{uuid}",
            f"/things/{uuid.upper()}",
            f"/%74hings/{uuid}",
        ):
            answer = await client.get(BASE + path)
            assert answer.status_code in (404, 503), path
        assert (await client.get(f"{BASE}/things/{uuid}")).status_code == 503
        assert (await client.head(f"{BASE}/things/{uuid}")).status_code == 503
        assert (await client.get(f"{BASE}/public")).status_code == 200


async def test_what_no_route_matches_is_masked_in_logs(serving: Serving) -> None:
    async with serving() as (client, log):
        for path in ("/kim@example.com", "/things/eyJhbGciOi.secret/mine", "/things/not-a-uuid"):
            await client.get(BASE + path)
        assert log.paths == [f"{BASE}/{{?}}", f"{BASE}/things/{{?}}/mine", f"{BASE}/things/{{?}}"]


async def test_who_asked_is_noted_by_an_alias_alone(serving: Serving, keys: support.Keys) -> None:
    person = make_person(keys)
    async with serving() as (client, log):
        for headers in (person.headers, {}):
            await client.get(f"{BASE}/mine", headers=headers)
        assert log.users == [alias_of(person.id), None]


def test_a_span_shows_no_value_that_opens_something() -> None:
    query = "q=페트&ticket=abc&limit=3&access_token=x&code=y&state=z&X-Amz-Signature=s&password=p"
    shown = edge_module._shown(query)
    assert shown.startswith("q=페트&ticket=…&limit=3&access_token=…")
    assert not re.search(r"=(abc|x|y|z|s|p)(&|$)", shown)


async def test_the_documents_are_as_they_were(serving: Serving) -> None:
    async with serving(CORS_ORIGINS=PAGE) as (client, _):
        document = msgspec.json.decode((await client.get(f"{BASE}/openapi.json")).content)
        assert f"{BASE}/mine" in document["paths"]
