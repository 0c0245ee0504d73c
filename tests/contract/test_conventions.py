"""What API.md promises of every path alike, tried on each of them through the gateway."""

import re
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.contract.conftest import Somebody, System, somebody
from tests.contract.table import PREFIXES, TABLE, TICKETS, Row


def named(rows: list[Row]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", rows, ids=lambda row: f"{row.method} {PREFIXES[row.service]}{row.path}")


def address(row: Row) -> str:
    """The row's path, with ids of nothing."""
    query = {"/centers": "?lat=37.5&lon=127", "/centers/search": "?q=a", "/search": "?q=a"}
    query["/oauth/{}/start"] = f"?return_to=http://localhost:5173/&code_challenge={'c' * 43}"
    return PREFIXES[row.service] + re.sub("{}", lambda _: str(uuid4()), row.path) + query.get(row.path, "")


def a_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]
    body: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "instance"} <= set(body)
    assert body["status"] == status
    assert body["type"].startswith("urn:eco2:")
    assert body["instance"] == answer.headers["x-request-id"]
    return body


_people: dict[str, Somebody] = {}


@pytest.fixture
async def person(gateway: httpx.AsyncClient, system: System) -> Somebody:
    """One person for all of these."""
    if system.url not in _people:
        _people[system.url] = await somebody(gateway)
    known = _people[system.url]
    return Somebody(gateway, known.name, known.user, known.tokens)


@named([row for row in TABLE + TICKETS if not row.public])
async def test_without_a_token_or_with_a_bad_one_401(gateway: httpx.AsyncClient, row: Row) -> None:
    for headers in ({}, {"Authorization": "Bearer a.b.c"}, {"Authorization": "Basic a2ltOmtpbQ=="}):
        answer = await gateway.request(row.method, address(row), headers=headers, json={} if row.body else None)
        a_problem(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")


@named([row for row in TABLE if row.public and row.method == "GET"])
async def test_what_is_public_needs_no_token(gateway: httpx.AsyncClient, row: Row) -> None:
    answer = await gateway.get(address(row))
    assert answer.status_code == (404 if "{}" in row.path else 200), answer.text


@named([row for row in TABLE if row.body])
async def test_a_body_that_can_not_be_read_is_400(person: Somebody, row: Row) -> None:
    bodies = [b"{", b"[]", b'"x"', b"null", b"\xff\xfe", b'{"\xff": 1}', b"{}x", b'{"a": NaN}', b"[" * 5000]
    for content in bodies:
        if row.path == "/logout" and content == b"null":
            continue  # nothing is what this one may be sent
        answer = await person.ask(
            row.method, address(row), content=content, headers={"Content-Type": "application/json"}
        )
        body = a_problem(answer, 400)
        assert body["errors"], content
        assert all(set(error) == {"field", "message"} for error in body["errors"])


@named([row for row in TABLE if row.body and row.path != "/logout"])
async def test_a_nul_or_a_wrong_type_in_a_field_is_400_or_404_and_no_500(person: Somebody, row: Row) -> None:
    values: list[Any] = ["\u0000", 7, 10**400, 1e308, -1, [], {}, True, "\ud7ff" * 9, "a" * 5000]
    for value in values:
        body = {name: value if not isinstance(value, str) else f"kim{value}" for name in row.body.split()}
        answer = await person.ask(row.method, address(row), json=body)
        assert answer.status_code < 500, (value, answer.text)
        if value == "\u0000" and "{}" not in row.path:
            assert answer.status_code in (400, 401, 403), (value, answer.text)


@named([row for row in TABLE if row.body])
async def test_too_large_a_body_is_413_and_another_media_type_415(person: Somebody, row: Row) -> None:
    large = b'{"x": "' + b"a" * 3_000_000 + b'"}'
    answer = await person.ask(row.method, address(row), content=large, headers={"Content-Type": "application/json"})
    a_problem(answer, 413)
    for media in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx", "nonsense"):
        answer = await person.ask(row.method, address(row), content=b"{}", headers={"Content-Type": media})
        a_problem(answer, 415)


@named(TABLE)
async def test_another_method_is_405_with_allow(person: Somebody, row: Row) -> None:
    methods = {r.method for r in TABLE if (r.service, r.path) == (row.service, row.path)}
    # /me and /{} can't be told apart by an address.
    others = {"POST", "PUT", "PATCH", "DELETE"} - {r.method for r in TABLE if fits(r, row)}
    for method in sorted(others):
        answer = await person.ask(method, address(row))
        a_problem(answer, 405)
        allow = {word.strip() for word in answer.headers["allow"].split(",")}
        assert methods <= allow
        assert method not in allow


def fits(other: Row, row: Row) -> bool:
    """Whether the other row's path may be the same address."""
    pattern = re.sub(r"\\{\\}", "[^/]+", re.escape(other.path))
    return other.service == row.service and re.fullmatch(pattern, row.path) is not None


@named([row for row in TABLE if row.method == "GET" and not row.events and "{}" not in row.path])
async def test_head_says_what_get_says(person: Somebody, row: Row) -> None:
    get, head = await person.ask("GET", address(row)), await person.ask("HEAD", address(row))
    assert (head.status_code, head.content) == (get.status_code, b"")
    for name in ("content-type", "etag"):
        assert head.headers.get(name) == get.headers.get(name)


@named(TABLE)
async def test_options_names_the_methods(gateway: httpx.AsyncClient, row: Row) -> None:
    answer = await gateway.options(address(row))
    methods = {r.method for r in TABLE if (r.service, r.path) == (row.service, row.path)}
    assert answer.status_code == 204
    assert methods <= set(answer.headers["allow"].split(", "))


@named([row for row in TABLE if row.method in ("PATCH", "PUT", "DELETE") and "{}" not in row.path])
async def test_a_stale_if_match_is_412_and_nothing_happens(person: Somebody, row: Row) -> None:
    values = {"nickname": "x", "theme": "dark", "password": "no matter", "current_password": "no matter"}
    values |= {"new_password": "a new password", "image_key": "none"}
    if row.path == "/me/avatar":
        values["image_key"] = await person.upload(where="/api/v1/users/me/avatar/uploads")
    body = {name: values[name] for name in row.body.split() if name in values}
    for headers in ({"If-Match": '"stale"'}, {"If-Match": 'W/"stale", "other"'}, {"If-None-Match": "*"}):
        a_problem(await person.ask(row.method, address(row), json=body or None, headers=headers), 412)


@named([row for row in TABLE if "{}" in row.path])
async def test_an_id_that_is_none_is_404_or_400(person: Somebody, row: Row) -> None:
    for text in ("1", "x", "%00", "..%2f..", "0" * 40, "%ff", "00000000-0000-0000-0000-00000000000g"):
        path = PREFIXES[row.service] + row.path.replace("{}", text)
        answer = await person.ask(row.method, path, json=dict.fromkeys(row.body.split(), "x") if row.body else None)
        assert answer.status_code in (400, 404), (text, answer.text)
        a_problem(answer, answer.status_code)


@named([row for row in TABLE if "{}" in row.path])
async def test_what_is_not_there_is_404(person: Somebody, row: Row) -> None:
    bodies: dict[str, Any] = {"waste_type": "paper", "content": "x", "title": "x", "name": "x"}
    bodies |= {"return_to": "http://localhost:5173/", "code_challenge": "c" * 43}
    body = {name: bodies[name] for name in row.body.split() if name in bodies}
    answer = await person.ask(row.method, address(row), json=body or None)
    if (row.service, row.path) == ("userinfo", "/{}") and answer.status_code == 200:
        return  # a person unknown to userinfo has a profile of defaults: who exists is auth's to know
    a_problem(answer, 404)


@named([row for row in TABLE if row.paged])
async def test_a_bad_page_is_400_and_named(person: Somebody, row: Row) -> None:
    base = address(row)
    base += "&" if "?" in base else "?"
    for query in ("limit=0", "limit=101", "limit=x", "limit=-1", "limit=1.5"):
        assert [e["field"] for e in a_problem(await person.ask("GET", base + query), 400)["errors"]] == ["limit"]
    if "/centers" not in row.path and "{}" not in row.path:
        for cursor in ("x", "e30", "bnVsbA", "WzEsMl0", "%00", "a" * 3000):
            body = a_problem(await person.ask("GET", base + f"cursor={cursor}"), 400)
            assert [error["field"] for error in body["errors"]] == ["cursor"]


@named([row for row in TABLE if row.method == "GET" and not row.events and "{}" not in row.path])
async def test_every_answer_carries_a_request_id_and_its_own_is_kept(person: Somebody, row: Row) -> None:
    answer = await person.ask("GET", address(row))
    assert answer.status_code == 200, answer.text
    assert len(answer.headers["x-request-id"]) >= 8
    answer = await person.ask("GET", address(row), headers={"X-Request-Id": "my-own-id.1"})
    assert answer.headers["x-request-id"] == "my-own-id.1"
    answer = await person.ask("GET", address(row), headers={"X-Request-Id": "two words"})
    assert answer.headers["x-request-id"] != "two words"


@pytest.mark.parametrize("path", ["/api", "/api/v1", "/api/v1/nothing", "/api/v1/auth", "/api/v1/auth/nothing", "/x"])
async def test_no_such_address_is_404(gateway: httpx.AsyncClient, path: str) -> None:
    a_problem(await gateway.get(path), 404)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_health_and_metrics_are_not_served_through_the_gateway(gateway: httpx.AsyncClient, path: str) -> None:
    assert (await gateway.get(path)).status_code == 404


async def test_the_merged_document_holds_every_service(gateway: httpx.AsyncClient) -> None:
    document = (await gateway.get("/openapi.json")).json()
    served = {
        (method.upper(), re.sub(r"\{[^}]*\}", "{}", path))
        for path, operations in document["paths"].items()
        for method in operations
    }
    assert served == {(row.method, PREFIXES[row.service] + row.path) for row in TABLE + TICKETS}
    assert {tag["name"] for tag in document["tags"]} == {
        "auth",
        "userinfo",
        "location",
        "waste",
        "recycle-info",
        "chat-llm",
    }
    assert "x-missing-services" not in document
