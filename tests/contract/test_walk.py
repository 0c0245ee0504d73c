"""A walk through all of API.md on the running system: every path, method, status and field that it names."""

import asyncio
import re
import time
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import httpx
import pytest
from redis import Redis

from runtime.services import load_services
from tests import web
from tests.auth.signing_in import RETURN_TO, App
from tests.contract.conftest import PASSWORD, Somebody, System, somebody
from tests.contract.table import NESTED, PREFIXES, TABLE, WASTE_TYPES, Row

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


class Walk:
    """Asks, compares with the contract, and keeps what was seen."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.seen: set[tuple[str, str, str, int]] = set()

    async def __call__(
        self,
        service: str,
        method: str,
        path: str,
        *ids: str,
        as_: Somebody | None = None,
        status: int | None = None,
        query: str = "",
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> Any:
        (row,) = [r for r in TABLE if (r.service, r.method, r.path) == (service, method, path)]
        address = PREFIXES[service] + path.replace("{}", "%s") % ids + query
        answer = await self.client.request(
            method, address, headers={**(as_.headers if as_ else {}), **(headers or {})}, **more
        )
        wanted = row.success if status is None else status
        assert answer.status_code == wanted, f"{method} {address}: {answer.status_code} {answer.text}"
        self.seen.add((service, method, path, wanted))
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            return answer
        if row.success == 204:
            assert answer.content == b""
            return answer
        if not row.answer:
            return answer
        assert answer.headers["content-type"] == "application/json"
        body = answer.json()
        self.check(row, body)
        return body if method != "POST" or not row.idempotent else (body, answer)

    def check(self, row: Row, body: Any) -> None:
        """Every field is there; times are RFC 3339 in UTC."""
        if row.paged:
            assert {"items", "next_cursor"} <= set(body)
        for entity in body["items"] if row.paged else body if isinstance(body, list) else [body]:
            assert set(row.answer.split()) <= set(entity), f"{row.method} {row.path}: {entity}"
            for name, value in entity.items():
                if name.endswith("_at") and value is not None:
                    assert _TIME.fullmatch(value), f"{name}: {value}"
                inner = value if isinstance(value, list) else [value]
                for part in inner if name in NESTED else []:
                    if isinstance(part, dict):
                        assert set(NESTED[name].split()) <= set(part), f"{name}: {part}"


@pytest.fixture
def walk(gateway: httpx.AsyncClient) -> Walk:
    return Walk(gateway)


async def test_a_walk_through_the_whole_contract(walk: Walk, gateway: httpx.AsyncClient) -> None:
    kim = await auth(walk, gateway)
    await accounts(walk, gateway, kim)
    await userinfo(walk, kim)
    await location(walk, kim)
    await recycle_info(walk, kim)
    await waste(walk, kim)
    await chat(walk, kim)
    await walk("auth", "DELETE", "/me", as_=kim, json={"password": "a new password"})
    wanted = {(r.service, r.method, r.path, status) for r in TABLE for status in (r.success, *r.named)}
    assert wanted - walk.seen == set()


async def accounts(walk: Walk, client: httpx.AsyncClient, kim: Somebody) -> None:
    """Sign-in with a provider, a provider added and removed, letters."""
    providers = await walk("auth", "GET", "/oauth/providers")
    assert {one["provider"] for one in providers} == {"kakao", "google", "naver"}

    async def come_back(app: App, url: str) -> str:
        back = urlsplit(await app.consent(url))
        done = await walk("auth", "GET", "/oauth/{}/callback", app.provider, query=f"?{back.query}")
        return dict(parse_qsl(urlsplit(done.headers["location"]).query))["code"]

    app = App(client)
    query = f"?return_to={RETURN_TO}&code_challenge={app.challenge}"
    started = await walk("auth", "GET", "/oauth/{}/start", "kakao", query=query)
    outside = "{0.scheme}://{0.netloc}".format(urlsplit(started.headers["location"]))
    code = await come_back(app, started.headers["location"])
    exchanged = {"code": code, "code_verifier": app.verifier}
    tokens = await walk("auth", "POST", "/oauth/exchange", json=exchanged)
    alone = Somebody(client, app.subject, {}, tokens)
    await walk("auth", "DELETE", "/identities/{}", "kakao", as_=alone, status=409)
    more = App(client, "google")
    wanted = {"return_to": RETURN_TO, "code_challenge": more.challenge}
    link = await walk("auth", "POST", "/identities/{}", "google", as_=kim, json=wanted)
    exchanged = {"code": await come_back(more, link["url"]), "code_verifier": more.verifier}
    await walk("auth", "POST", "/oauth/exchange", json=exchanged)
    assert [one["provider"] for one in await walk("auth", "GET", "/identities", as_=kim)] == ["google"]
    await walk("auth", "DELETE", "/identities/{}", "google", as_=kim)

    lee = await somebody(client, "lee")
    await walk("auth", "POST", "/email/verification", as_=lee)
    verify = await letter(outside, lee.user["email"], "Verify")
    await walk("auth", "POST", "/email/verify", json={"token": verify})
    await walk("auth", "POST", "/password/forgot", json={"email": lee.user["email"]})
    changed = {"token": await letter(outside, lee.user["email"], "password"), "new_password": "a newer horse"}
    await walk("auth", "POST", "/password/reset", json=changed)
    await walk("auth", "POST", "/password/reset", json=changed, status=400)


async def letter(outside: str, to: str, subject: str) -> str:
    """The token in the newest letter to an address with this word in its subject."""
    end = time.monotonic() + 60
    async with web.AsyncClient() as client:
        while True:
            letters = (await client.get(f"{outside}/mail", params={"to": to})).json()
            texts = [one["text"] for one in letters if subject in one["subject"]]
            if texts:
                return re.findall(r"\b[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])", texts[0])[-1]
            assert time.monotonic() < end, f"no letter about {subject} to {to}"
            await asyncio.sleep(0.2)


async def auth(walk: Walk, client: httpx.AsyncClient) -> Somebody:
    name = f"walk-{uuid4().hex}"
    body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
    user = await walk("auth", "POST", "/register", json=body)
    await walk("auth", "POST", "/register", json=body, status=409)
    tokens = await walk("auth", "POST", "/login", json={"username": name, "password": PASSWORD})
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 900)
    await walk("auth", "POST", "/login", json={"username": name, "password": "wrong password"}, status=401)
    nobody = {"username": f"nobody-{uuid4().hex}", "password": "wrong password"}
    for _ in range(10):
        await walk("auth", "POST", "/login", json=nobody, status=401)
    many = await walk("auth", "POST", "/login", json=nobody, status=429)
    assert int(many.headers["retry-after"]) >= 1
    tokens = await walk("auth", "POST", "/refresh", json={"refresh_token": tokens["refresh_token"]})
    await walk("auth", "POST", "/refresh", json={"refresh_token": "unknown"}, status=401)
    kim = Somebody(client, name, user, tokens)
    assert await walk("auth", "GET", "/me", as_=kim) == user
    other = await walk("auth", "POST", "/login", json={"username": user["email"], "password": PASSWORD})
    listed = await walk("auth", "GET", "/sessions", as_=kim)
    assert sorted(session["current"] for session in listed["items"]) == [False, True]
    (there,) = [session["id"] for session in listed["items"] if not session["current"]]
    await walk("auth", "DELETE", "/sessions/{}", there, as_=kim)
    await walk("auth", "DELETE", "/sessions/{}", there, as_=kim, status=404)
    await walk("auth", "POST", "/logout", json={"refresh_token": other["refresh_token"]})
    change = {"current_password": PASSWORD, "new_password": "a new password"}
    await walk("auth", "PUT", "/password", as_=kim, json=change)
    keys = (await walk("auth", "GET", "/jwks.json"))["keys"]
    assert all("d" not in key for key in keys)
    return kim


async def userinfo(walk: Walk, kim: Somebody) -> None:
    profile = await walk("userinfo", "GET", "/me", as_=kim)
    assert profile["user_id"] == kim.user["id"]
    changed = await walk("userinfo", "PATCH", "/me", as_=kim, json={"nickname": "김 씨", "bio": "분리배출"})
    assert (changed["nickname"], changed["bio"]) == ("김 씨", "분리배출")
    assert (await walk("userinfo", "PATCH", "/me", as_=kim, json={"bio": None}))["bio"] is None
    await walk("userinfo", "PATCH", "/me", as_=kim, json={"avatar_url": "http://example.com/x.jpg"}, status=400)
    settings = await walk("userinfo", "GET", "/me/settings", as_=kim)
    assert settings["language"] == "ko"
    settings = await walk("userinfo", "PATCH", "/me/settings", as_=kim, json={"language": "en", "theme": "dark"})
    assert (settings["language"], settings["theme"]) == ("en", "dark")
    await walk("userinfo", "PATCH", "/me/settings", as_=kim, json={"theme": "pink"}, status=400)
    public = await walk("userinfo", "GET", "/{}", kim.user["id"], as_=kim)
    assert public["nickname"] == "김 씨"
    await walk("userinfo", "POST", "/me/avatar/uploads", as_=kim, json={"content_type": "image/jpeg", "size_bytes": 9})
    key = await kim.upload(where="/api/v1/users/me/avatar/uploads")
    await walk("userinfo", "PUT", "/me/avatar", as_=kim, json={"image_key": key})

    async def has_avatar() -> str | None:
        found: str | None = (await walk("userinfo", "GET", "/me", as_=kim))["avatar_url"]
        return found

    url = await until(has_avatar)
    picture = await walk.client.get(url)
    assert picture.status_code == 200
    assert picture.headers["content-type"].startswith("image/")


async def location(walk: Walk, kim: Somebody) -> None:
    home = {"name": "집", "address": "서울특별시 중구 세종대로 110", "latitude": 37.5663, "longitude": 126.9779}
    place, _ = await walk("location", "POST", "/me", as_=kim, json={**home, "is_default": True})
    work, _ = await walk("location", "POST", "/me", as_=kim, json={"name": "일", "address": "a", "is_default": True})
    listed = await walk("location", "GET", "/me", as_=kim)
    assert [one["id"] for one in listed["items"] if one["is_default"]] == [work["id"]]
    assert (await walk("location", "GET", "/me/{}", place["id"], as_=kim))["latitude"] == 37.5663
    changed = await walk("location", "PATCH", "/me/{}", place["id"], as_=kim, json={"name": "우리 집"})
    assert changed["name"] == "우리 집"
    await walk("location", "DELETE", "/me/{}", work["id"], as_=kim)
    await walk("location", "GET", "/me/{}", work["id"], as_=kim, status=404)
    near = await walk("location", "GET", "/centers", query="?lat=37.5663&lon=126.9779&radius_m=50000&limit=5")
    distances = [center["distance_m"] for center in near["items"]]
    assert distances == sorted(distances)
    await walk(
        "location", "GET", "/centers", query="?lat=37.5&lon=127&open_at=2026-01-05T10:00:00%2B09:00&item=plastic"
    )
    inside = await walk("location", "GET", "/centers", query="?bbox=126,37,128,38")
    assert "truncated" in inside
    await walk("location", "GET", "/centers", query="?bbox=1,2,3", status=400)
    found = await walk("location", "GET", "/centers/search", query="?q=서울")
    for center in (near["items"] + found["items"])[:1]:
        one = await walk("location", "GET", "/centers/{}", center["id"])
        assert one["name"] == center["name"]
    if not near["items"] + found["items"]:
        pytest.fail("the sample data has no collection centers")


async def recycle_info(walk: Walk, kim: Somebody) -> None:
    categories = await walk("recycle_info", "GET", "/categories")
    assert {category["category"] for category in categories} <= set(WASTE_TYPES.split())
    items = await walk("recycle_info", "GET", "/items", query="?category=paper&limit=3")
    assert [item["category"] for item in items["items"]] == ["paper"] * 3
    item = await walk("recycle_info", "GET", "/items/{}", items["items"][0]["id"])
    assert item["name"] == items["items"][0]["name"]
    found = await walk("recycle_info", "GET", "/search", query="?q=페트병&limit=5", as_=kim)
    assert found["query"] == "페트병"
    assert 0 < len(found["items"]) <= 5
    assert all({*["id", "name", "category", "score"]} <= set(one) for one in found["items"])
    queries = await walk("recycle_info", "GET", "/queries", as_=kim)
    assert [query["query"] for query in queries["items"]] == ["페트병"]
    await walk("recycle_info", "DELETE", "/queries", as_=kim)
    assert (await walk("recycle_info", "GET", "/queries", as_=kim))["items"] == []


async def waste(walk: Walk, kim: Somebody) -> None:
    form = await walk(
        "waste", "POST", "/uploads", as_=kim, json={"content_type": "image/jpeg", "size_bytes": 10 * 1024 * 1024}
    )
    assert re.fullmatch(rf"uploads/{kim.user['id']}/[0-9a-f]{{32}}", form["image_key"])
    await walk("waste", "POST", "/analyses", as_=kim, json={"image_key": form["image_key"]}, status=404)
    key = await kim.upload()
    again = {"Idempotency-Key": "walk"}
    first, answer = await walk("waste", "POST", "/analyses", as_=kim, json={"image_key": key}, headers=again)
    assert answer.headers["location"] == f"{PREFIXES['waste']}/analyses/{first['id']}"
    assert (first["status"], first["waste_type"]) == ("pending", None)
    same, _ = await walk("waste", "POST", "/analyses", as_=kim, json={"image_key": key}, headers=again)
    assert same == first
    await walk("waste", "POST", "/analyses", as_=kim, json={"image_key": key}, status=404)
    events = await walk("waste", "GET", "/analyses/{}/events", first["id"], as_=kim)
    assert events.headers["content-type"].startswith("text/event-stream")
    names = re.findall(r"^event: (\w+)$", events.text, re.M)
    assert names[-1] == "done"
    assert set(names) <= {"progress", "done"}
    analysis = await walk("waste", "GET", "/analyses/{}", first["id"], as_=kim)
    assert analysis["status"] == "success"
    assert analysis["waste_type"] in WASTE_TYPES.split()
    assert 0 <= analysis["confidence"] <= 1
    assert analysis["completed_at"]
    for image in analysis["images"]:
        assert image["s3_key"].startswith(f"images/{first['id']}/")
        assert (await walk.client.get(image["cloudfront_url"])).status_code == 200
    broken, _ = await walk("waste", "POST", "/analyses", as_=kim, json={"image_key": await kim.upload(b"no image")})
    failed = await walk("waste", "GET", "/analyses/{}/events", broken["id"], as_=kim)
    assert re.findall(r"^event: (\w+)$", failed.text, re.M)[-1] == "failed"
    assert (await walk("waste", "GET", "/analyses/{}", broken["id"], as_=kim))["error"]
    listed = await walk("waste", "GET", "/analyses", as_=kim)
    assert [one["id"] for one in listed["items"]] == [broken["id"], first["id"]]
    corrected = await walk("waste", "PATCH", "/analyses/{}", first["id"], as_=kim, json={"waste_type": "glass"})
    assert (corrected["corrected_type"], corrected["waste_type"]) == ("glass", analysis["waste_type"])
    await walk("waste", "PATCH", "/analyses/{}", first["id"], as_=kim, json={"waste_type": "gold"}, status=400)
    stats = await walk("waste", "GET", "/stats", as_=kim)
    assert stats["total"] == 1
    assert stats["by_type"] == {"glass": 1}
    await walk("waste", "DELETE", "/analyses/{}", first["id"], as_=kim)
    await walk("waste", "GET", "/analyses/{}", first["id"], as_=kim, status=404)

    async def gone() -> bool:
        found = [await walk.client.get(image["cloudfront_url"]) for image in analysis["images"]]
        return all(answer.status_code == 404 for answer in found)

    assert await until(gone)


async def chat(walk: Walk, kim: Somebody) -> None:
    untitled, _ = await walk("chat_llm", "POST", "/conversations", as_=kim, json={})
    talk, _ = await walk("chat_llm", "POST", "/conversations", as_=kim, json={"title": "우유팩"})
    listed = await walk("chat_llm", "GET", "/conversations", as_=kim)
    assert [one["id"] for one in listed["items"]] == [talk["id"], untitled["id"]]
    renamed = await walk("chat_llm", "PATCH", "/conversations/{}", talk["id"], as_=kim, json={"title": "종이팩"})
    assert renamed["title"] == "종이팩"
    asked, _ = await walk(
        "chat_llm",
        "POST",
        "/conversations/{}/messages",
        talk["id"],
        as_=kim,
        json={"content": "우유팩은 어떻게 버려요?"},
    )
    assert asked["reply"]["status"] == "pending"
    ids = (talk["id"], asked["reply"]["id"])
    events = await walk("chat_llm", "GET", "/conversations/{}/messages/{}/events", *ids, as_=kim)
    names = re.findall(r"^event: (\w+)$", events.text, re.M)
    assert names[-1] == "done"
    assert set(names) <= {"token", "restart", "done"}
    reply = await walk("chat_llm", "GET", "/conversations/{}/messages/{}", *ids, as_=kim)
    assert (reply["role"], reply["status"]) == ("assistant", "success")
    assert reply["content"]
    messages = await walk("chat_llm", "GET", "/conversations/{}/messages", talk["id"], as_=kim)
    assert [one["role"] for one in messages["items"]] == ["user", "assistant"]
    for content in ("", "a" * 4001):
        await walk(
            "chat_llm",
            "POST",
            "/conversations/{}/messages",
            talk["id"],
            as_=kim,
            json={"content": content},
            status=400,
        )
    assert (await walk("chat_llm", "GET", "/conversations/{}", talk["id"], as_=kim))["message_count"] == 2
    await walk("chat_llm", "DELETE", "/conversations/{}", untitled["id"], as_=kim)
    await walk("chat_llm", "GET", "/conversations/{}", untitled["id"], as_=kim, status=404)


async def until(look: Any, seconds: float = 30) -> Any:
    """Look until there is something."""
    end = time.monotonic() + seconds
    while not (found := await look()):
        assert time.monotonic() < end, "it did not come about"
        await asyncio.sleep(0.1)
    return found


async def test_a_session_that_ended_is_shut_out_of_every_service(gateway: httpx.AsyncClient, system: System) -> None:
    kim, lee = await somebody(gateway), await somebody(gateway)
    private = [r for r in TABLE if r.method == "GET" and not r.public and "{}" not in r.path and r.service != "auth"]
    ways = {row.service: PREFIXES[row.service] + row.path for row in private}
    assert set(ways) == set(PREFIXES) - {"auth"}
    for way in ways.values():
        assert (await kim.ask("GET", way)).status_code == 200, way
    assert (await kim.ask("POST", "/api/v1/auth/logout")).status_code == 204
    await asyncio.sleep(5)
    for way in ways.values():
        answer = await kim.ask("GET", way)
        assert answer.status_code == 401, way
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
        assert (await lee.ask("GET", way)).status_code == 200


def test_every_service_is_in_the_broker_as_its_own_user(system: System) -> None:
    with Redis.from_url(system.environment["BROKER_REDIS_URL"], decode_responses=True) as broker:
        users = {client["user"] for client in broker.client_list()}
    assert users - {"default"} == {service.name for service in load_services().values()}
