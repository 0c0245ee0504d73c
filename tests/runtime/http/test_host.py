"""The host: what every function of every service gets without asking for it."""

import asyncio
import re
from typing import Annotated, Any
from uuid import UUID

import httpx
import msgspec
import pytest
from litestar import Litestar, delete, get, post
from litestar.di import Provide
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from msgspec import Meta, Struct

from k8s.programs import variables
from runtime.http.edge import Edge
from runtime.http.hosted import Hosted, read_settings
from runtime.services import find, load_services
from runtime.telemetry import AccessLog
from shared import spans
from shared.errors import Conflict
from shared.http import CurrentUser, Db, PageQuery
from shared.settings import SettingsError
from tests import support
from tests.conftest import Person, Serve, make_person


class Inner(Struct):
    count: Annotated[int, Meta(ge=1)]


class Order(Struct):
    name: Annotated[str, Meta(min_length=3)]
    inner: Inner


@post("/orders", status_code=201)
async def order(data: JSONBody[Order]) -> Order:
    return data


@get("/mine")
async def mine(user: CurrentUser) -> dict[str, str]:
    return {"id": str(user.id)}


@post("/mine", status_code=201)
async def make_mine(user: CurrentUser, data: JSONBody[Order]) -> dict[str, str]:
    return {"id": str(user.id)}


@get("/things/{thing_id:uuid}")
async def thing(thing_id: FromPath[UUID]) -> dict[str, str]:
    raise Conflict


@delete("/orders", status_code=202)
async def drop() -> None:
    pass


@get("/broken")
async def broken() -> None:
    raise RuntimeError("SELECT secret FROM safe")


@get("/range")
async def in_range(low: FromQuery[int], high: Annotated[int, QueryParameter(le=10)] = 5) -> int:
    return low + high


@get("/pages")
async def pages(page: PageQuery, db: Db) -> list[int]:
    return [page.limit, db.pool.max_size]


@post("/store", status_code=201)
async def store(data: JSONBody[dict[str, str]], db: Db) -> int:
    async with db.connection() as conn:
        cursor = await conn.execute("SELECT length(%s::text)", [data["text"]])
        row = await cursor.fetchone()
        return int(row[0]) if row else 0


_tries: list[str] = []


@post("/collisions", status_code=201)
async def collide(data: JSONBody[dict[str, str]], db: Db) -> int:
    """Collides at the first try, before or after a transaction that stays."""
    _tries.append(data["when"])
    if data["when"] == "later":
        async with db.transaction() as conn:
            await conn.execute("SELECT 1")
    async with db.transaction() as conn:
        if len(_tries) == 1:
            await conn.execute("DO $$ BEGIN RAISE 'x' USING ERRCODE = 'deadlock_detected'; END $$")
    return len(_tries)


HANDLERS = [collide, order, drop, mine, make_mine, thing, broken, in_range, pages, store]
BASE = "/api/v1/auth"


@pytest.fixture
async def client(environment: dict[str, str]) -> Any:
    service = find("auth")
    hosted = Hosted(service, read_settings(service, environment), background=False, handlers=HANDLERS)
    edge = Edge([hosted], AccessLog("auth", "json", enabled=False))
    async with support.lifespan(edge):
        transport = httpx.ASGITransport(app=edge, raise_app_exceptions=False)  # type: ignore[arg-type]  # httpx types an ASGI scope as any mapping
        async with httpx.AsyncClient(transport=transport, base_url="http://eco2.test") as client:
            yield client


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["type"].startswith("urn:eco2:")
    assert body["instance"] == answer.headers["x-request-id"]
    return body


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"name":"ab","inner":{"count":1}}', "name"),
        (b'{"name":"abc"}', "inner"),
        (b'{"name":"abc","inner":{}}', "inner.count"),
        (b'{"name":"abc","inner":{"count":0}}', "inner.count"),
        (b'{"name":5,"inner":{"count":1}}', "name"),
        (b'{"name":"abc","inner":{"count":"1"}}', "inner.count"),
        (b'{"name":"abc","inner":{"count":true}}', "inner.count"),
        (b'{"name":"abc","inner":null}', "inner"),
        (b'{"name":"abc","inner":{"count":1.5}}', "inner.count"),
        (b'{"name":5.0,"inner":{"count":1}}', "name"),
        (b'{"name":"abc","inner":{"count":' + b"[" * 700 + b"]" * 700 + b"}}", "inner.count"),
        (b'{"name":"abc","inner":{"count":1e400}}', "body"),
        (b"null", "body"),
        (b"[]", "body"),
        (b"{", "body"),
        (b'"\xff"', "body"),
        (b'{"name":"\xff\xfe\xff","inner":{"count":1}}', "body"),
        (b"", "body"),
    ],
)
async def test_a_wrong_body_is_a_400_that_names_the_field(client: httpx.AsyncClient, body: bytes, field: str) -> None:
    answer = await client.post(f"{BASE}/orders", content=body, headers={"Content-Type": "application/json"})
    assert [error["field"] for error in problem(answer, 400)["errors"]] == [field]


@pytest.mark.parametrize("count", ["7", "7.0", "70e-1", "0.7e1"])
async def test_a_whole_number_is_an_integer_however_it_is_written(client: httpx.AsyncClient, count: str) -> None:
    body = f'{{"name":"abc","inner":{{"count":{count}}}}}'
    answer = await client.post(f"{BASE}/orders", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201, answer.text
    assert answer.json()["inner"]["count"] == 7


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
async def test_an_etag_without_its_quotes_is_a_400(serve: Serve, keys: support.Keys, header: str) -> None:
    client, person = await serve("userinfo"), make_person(keys)
    for wrong in ("abc", '"a" "b"', '"a', ""):
        answer = await client.patch("/api/v1/users/me", json={}, headers=person.headers | {header: wrong})
        (error,) = problem(answer, 400)["errors"]
        assert (error["field"], error["message"]) == (header, 'must be ETags in their quotes, such as "5f3a", or *')
    for right in ("*", '"a"', 'W/"a", "b"', ' "" '):
        assert (
            await client.patch("/api/v1/users/me", json={}, headers=person.headers | {header: right})
        ).status_code in (200, 412)


async def test_what_a_pattern_wants_is_said_in_words(serve: Serve, keys: support.Keys) -> None:
    client, person = await serve("userinfo", "auth"), make_person(keys)
    for change, message in (
        (
            {"nickname": " "},
            "must be one line with something that can be seen, without U+0000 and marks that turn the direction of what follows",
        ),
        ({"bio": "a\0"}, "must not contain U+0000"),
        ({"avatar_url": "http://x"}, "can only be cleared, by null"),
    ):
        answer = await client.patch("/api/v1/users/me", json=change, headers=person.headers)
        assert problem(answer, 400)["errors"] == [{"field": next(iter(change)), "message": message}]
    body = {"username": "김 씨", "email": "kim@example.com", "password": "correct horse battery"}
    answer = await client.post("/api/v1/auth/register", json=body)
    assert problem(answer, 400)["errors"][0]["message"].startswith("takes the letters A to Z")


async def test_a_wrong_query_names_every_field(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"{BASE}/range?low=x&high=11")
    assert {error["field"] for error in problem(answer, 400)["errors"]} == {"low", "high"}
    answer = await client.get(f"{BASE}/range")
    assert problem(answer, 400)["errors"] == [{"field": "low", "message": "is required"}]


async def test_other_media_types_are_refused(client: httpx.AsyncClient) -> None:
    problem(await client.post(f"{BASE}/orders", data={"name": "abc"}), 415)
    accepted = await client.post(
        f"{BASE}/orders",
        content=b'{"name":"abc","inner":{"count":1}}',
        headers={"Content-Type": "application/json; charset=utf-8"},
    )
    assert accepted.status_code == 201


@pytest.mark.parametrize("charset", ["latin-1", "utf-16", '"euc-kr"'])
async def test_a_charset_other_than_utf_8_is_refused(client: httpx.AsyncClient, charset: str) -> None:
    headers = {"Content-Type": f"application/json; charset={charset}"}
    problem(await client.post(f"{BASE}/orders", content=b'{"name":"abc","inner":{"count":1}}', headers=headers), 415)


async def test_what_is_wrong_with_the_address_or_the_token_comes_before_the_media_type(
    client: httpx.AsyncClient, keys: support.Keys
) -> None:
    text: dict[str, Any] = {"content": b"hello", "headers": {"Content-Type": "text/plain"}}
    problem(await client.post(f"{BASE}/nothing", **text), 404)
    problem(await client.post(f"{BASE}/range", **text), 405)
    problem(await client.post(f"{BASE}/mine", **text), 401)
    text["headers"] |= make_person(keys).headers
    problem(await client.post(f"{BASE}/mine", **text), 415)


async def test_an_answer_without_content_has_none(client: httpx.AsyncClient) -> None:
    answer = await client.delete(f"{BASE}/orders")
    assert (answer.status_code, answer.content, answer.headers.get("content-type")) == (202, b"", None)


async def test_a_body_of_a_get_means_nothing(client: httpx.AsyncClient) -> None:
    for headers in ({"Content-Type": "text/plain"}, {}):
        answer = await client.request("GET", f"{BASE}/range?low=1", content=b"hello", headers=headers)
        assert (answer.status_code, answer.json()) == (200, 6)


async def test_head_is_get_without_the_body(client: httpx.AsyncClient, keys: support.Keys) -> None:
    get = await client.get(f"{BASE}/range?low=1")
    head = await client.head(f"{BASE}/range?low=1")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]
    assert head.headers["content-type"] == get.headers["content-type"]
    assert (await client.head(f"{BASE}/mine")).status_code == 401
    assert (await client.head(f"{BASE}/mine", headers=make_person(keys).headers)).status_code == 200
    assert (await client.head(f"{BASE}/orders")).status_code == 405


async def test_options_and_405_name_all_methods_of_an_address(client: httpx.AsyncClient) -> None:
    for path, methods in (("mine", "GET, HEAD, OPTIONS, POST"), ("orders", "DELETE, OPTIONS, POST")):
        answer = await client.options(f"{BASE}/{path}")
        assert (answer.status_code, answer.headers["allow"]) == (204, methods)
        answer = await client.put(f"{BASE}/{path}", json={})
        assert (answer.status_code, answer.headers["allow"]) == (405, methods)


async def test_a_body_that_is_too_large_is_a_413(client: httpx.AsyncClient) -> None:
    problem(await client.post(f"{BASE}/orders", json={"name": "a" * 300_000, "inner": {"count": 1}}), 413)


async def test_a_body_announced_too_large_is_refused_before_any_of_it_is_asked_for(environment: dict[str, str]) -> None:
    """413 at once: no 100 Continue, and no wait for the body."""
    service = find("auth")
    hosted = Hosted(service, read_settings(service, environment), background=False, handlers=HANDLERS)
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("nothing of the body was to be read")

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"a"), (b"content-type", b"application/json"), (b"content-length", b"9999999999")]
    scope: Any = {"type": "http", "method": "POST", "path": f"{BASE}/orders", "raw_path": f"{BASE}/orders".encode()}
    scope |= {
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": [*headers, (b"expect", b"100-continue")],
    }
    scope |= {"server": ("a", 80), "client": ("b", 1), "http_version": "1.1", "asgi": {"version": "3.0"}, "state": {}}
    await Edge([hosted], AccessLog("auth", "json", enabled=False))(scope, receive, send)
    assert sent[0]["status"] == 413


async def test_unknown_addresses_and_methods(client: httpx.AsyncClient) -> None:
    problem(await client.get(f"{BASE}/nothing"), 404)
    problem(await client.get("/elsewhere"), 404)
    problem(await client.get(f"{BASE}/things/not-a-uuid"), 404)
    answer = await client.put(f"{BASE}/orders", json={})
    problem(answer, 405)
    assert "POST" in answer.headers["allow"]


async def test_a_problem_keeps_its_status_and_a_bug_shows_nothing(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"{BASE}/things/01a20000-0000-7000-8000-000000000000")
    assert problem(answer, 409)["type"] == "urn:eco2:conflict"
    answer = await client.get(f"{BASE}/broken")
    assert "SELECT" not in answer.text
    assert problem(answer, 500)["type"] == "urn:eco2:internal"


async def test_in_the_emulator_a_bugs_answer_carries_its_traceback_and_its_trace(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECO2_SPANS", "127.0.0.1:9")
    spans.configure("auth")
    try:
        answer = await client.get(f"{BASE}/broken", headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
        told = problem(answer, 500)
        assert told["trace_id"] == "a" * 32
        assert "in broken" in "\n".join(told["traceback"])
        refused = problem(await client.get(f"{BASE}/things/01a20000-0000-7000-8000-000000000000"), 409)
        assert "traceback" not in refused
    finally:
        monkeypatch.delenv("ECO2_SPANS")
        spans.configure("auth")


@pytest.mark.parametrize("address", [None, "10.0.0.7:8125", "dashboard:8125", "0.0.0.0:8125", "127.0.0.1:"], ids=str)
async def test_in_a_pod_no_one_is_told_a_traceback(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, address: str | None
) -> None:
    # What a pod's manifest sets, and nothing else; also where somebody has set the emulator's variable by mistake.
    pod = {entry["name"] for service in load_services().values() for entry in variables.environment(service)}
    assert "LOG_FORMAT" in pod
    assert "ECO2_SPANS" not in pod
    if address:
        monkeypatch.setenv("ECO2_SPANS", address)
    spans.configure("auth")
    try:
        assert not spans.on()
        told = problem(await client.get(f"{BASE}/broken"), 500)
        assert set(told) == {"type", "title", "status", "detail", "instance"}
    finally:
        monkeypatch.delenv("ECO2_SPANS", raising=False)
        spans.configure("auth")


async def test_a_stranger_hears_401_before_anything_about_the_body(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"{BASE}/mine", json={"name": 5})
    problem(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_the_person_is_the_tokens_and_nobody_else(client: httpx.AsyncClient, keys: support.Keys) -> None:
    person: Person = make_person(keys)
    answer = await client.get(f"{BASE}/mine?user=x&id=y", headers=person.headers)
    assert answer.json() == {"id": str(person.id)}


async def test_what_postgresql_refuses_to_store_is_bad_input(client: httpx.AsyncClient) -> None:
    assert problem(await client.post(f"{BASE}/store", json={"text": "a\x00b"}), 400)["errors"]


async def test_a_request_whose_first_transaction_collides_is_done_again_and_no_other(client: httpx.AsyncClient) -> None:
    for when, status, tries in (("first", 201, 2), ("later", 503, 1)):
        _tries.clear()
        # As uvicorn does: each request in a context of its own.
        answer = await asyncio.create_task(client.post(f"{BASE}/collisions", json={"when": when}))
        assert (answer.status_code, len(_tries)) == (status, tries)
    assert problem(answer, 503)["type"] == "urn:eco2:busy"


async def test_ids_are_given_and_honoured(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"{BASE}/range?low=1")
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])
    answer = await client.get(f"{BASE}/range?low=1", headers={"X-Request-Id": "my-own.id:7"})
    assert answer.headers["x-request-id"] == "my-own.id:7"
    answer = await client.get(f"{BASE}/range?low=1", headers={"X-Request-Id": "x" * 200})
    assert len(answer.headers["x-request-id"]) == 32


async def test_health_names_the_parts(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "alive"}
    first = (await client.get("/readyz")).json()
    assert (first["status"], first["parts"]) == ("ready", {"database": "up", "broker": "starting"})
    second = (await client.get("/readyz")).json()
    assert (second["status"], second["parts"]) == ("ready", {"database": "up", "broker": "up"})
    assert set(second) == {"status", "parts", "reasons", "loops"}


async def test_metrics_count_requests_by_route(client: httpx.AsyncClient) -> None:
    await client.get(f"{BASE}/pages?limit=3")
    answer = await client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    text = answer.text
    line = 'eco2_request_seconds_count{method="GET",route="/api/v1/auth/pages",service="auth",status="200"}'
    assert line in text


async def test_a_database_that_is_away_is_a_503_and_comes_back_by_itself(environment: dict[str, str]) -> None:
    service = find("auth")
    away = environment | {"API_AUTH_DB_URL": "postgresql://api_auth_role:x@127.0.0.1:9/ecoeco"}
    hosted = Hosted(service, read_settings(service, away), background=False, handlers=HANDLERS)
    edge = Edge([hosted], AccessLog("auth", "json", enabled=False))
    async with support.lifespan(edge):
        transport = httpx.ASGITransport(app=edge, raise_app_exceptions=False)  # type: ignore[arg-type]  # httpx types an ASGI scope as any mapping
        async with httpx.AsyncClient(transport=transport, base_url="http://eco2.test") as client:
            answer = await client.post(f"{BASE}/store", json={"text": "a"})
            problem(answer, 503)
            assert int(answer.headers["retry-after"]) >= 1
            ready = await client.get("/readyz")
            assert (ready.status_code, ready.json()["parts"]["database"]) == (503, "away")
            assert (await client.get(f"{BASE}/range?low=1")).status_code == 200


async def test_a_handler_stays_a_plain_litestar_handler(environment: dict[str, str]) -> None:
    """Mounted in a bare app with a provider of the same name it does the same."""
    person = msgspec.convert({"id": "01a20000-0000-7000-8000-000000000000"}, dict[str, UUID])

    class Somebody:
        id = person["id"]

    bare = Litestar([mine], dependencies={"user": Provide(lambda: Somebody, sync_to_thread=False)}, openapi_config=None)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=bare), base_url="http://bare.test") as client:  # type: ignore[arg-type]  # httpx types an ASGI scope as any mapping
        assert (await client.get("/mine")).json() == {"id": str(Somebody.id)}


async def test_the_openapi_document_says_what_the_parameters_imply(client: httpx.AsyncClient) -> None:
    document = (await client.get(f"{BASE}/openapi.json")).json()
    made = document["paths"][f"{BASE}/mine"]["post"]
    assert made["security"] == [{"bearer": []}]
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert set(made["responses"]) == {"201", "400", "401", "413", "415"}
    assert "application/problem+json" in made["responses"]["400"]["content"]
    paged = document["paths"][f"{BASE}/pages"]["get"]
    assert [parameter["name"] for parameter in paged["parameters"]] == ["limit", "cursor"]
    assert set(paged["responses"]) == {"200", "400", "503"}


async def test_the_document_says_that_an_answer_has_every_field(serve: Serve) -> None:
    client = await serve("waste")
    document = (await client.get("/api/v1/waste/openapi.json")).json()
    schemas = document["components"]["schemas"]
    guide, problem_ = schemas["Guide"], schemas["ProblemDocument"]
    assert set(guide["required"]) == set(guide["properties"])
    assert set(problem_["properties"]) - set(problem_["required"]) == {"errors"}


@pytest.mark.parametrize("missing", ["API_AUTH_DB_URL", "BROKER_REDIS_URL", "AUTH_JWKS_FILE", "AUTH_SIGNING_KEY_FILE"])
def test_a_missing_setting_is_named(environment: dict[str, str], missing: str) -> None:
    without = {name: value for name, value in environment.items() if name != missing}
    with pytest.raises(SettingsError, match=missing):
        read_settings(find("auth"), without)
