"""POST /register"""

import asyncio
import threading
import unicodedata
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from functions.auth import attempts, passwords
from shared.db import Database
from shared.ids import new_id
from shared.settings import Settings
from tests.auth.conftest import COST, PASSWORD_HASH

PATH = "/api/v1/auth/register"


def a_body(**changed: Any) -> dict[str, Any]:
    name = f"lee-{new_id().hex}"
    return {"username": name, "email": f"{name}@example.com", "password": "correct horse battery", **changed}


def wrong_fields(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return [error["field"] for error in answer.json()["errors"]]


async def test_a_person_registers_and_logs_in_by_name_and_by_email_in_any_case(auth: httpx.AsyncClient) -> None:
    body = a_body()
    answer = await auth.post(PATH, json=body)
    assert answer.status_code == 201
    assert set(answer.json()) == {"id", "username", "email", "created_at", "email_verified", "has_password"}
    assert answer.json()["username"] == body["username"]
    for login in (body["username"].upper(), body["email"].title()):
        tokens = await auth.post("/api/v1/auth/login", json={"username": login, "password": body["password"]})
        assert tokens.status_code == 200


async def test_a_name_or_an_address_in_another_case_is_taken(auth: httpx.AsyncClient) -> None:
    body = a_body()
    assert (await auth.post(PATH, json=body)).status_code == 201
    name = await auth.post(PATH, json=a_body(username=body["username"].upper()))
    assert (name.status_code, name.json()["type"]) == (409, "urn:eco2:auth:username-taken")
    email = await auth.post(PATH, json=a_body(email=body["email"].upper()))
    assert (email.status_code, email.json()["type"]) == (409, "urn:eco2:auth:email-taken")


@pytest.mark.parametrize("name", ["ab", "a" * 101, "kim lee", "kim\n", "kim@home", "김철수", "kim\u0000x", "", None, 7])
async def test_a_bad_username_is_named(auth: httpx.AsyncClient, name: Any) -> None:
    assert wrong_fields(await auth.post(PATH, json=a_body(username=name))) == ["username"]


@pytest.mark.parametrize(
    "email",
    [
        "kim",
        "kim@",
        "@example.com",
        "kim@example",
        "kim@@example.com",
        "kim lee@example.com",
        ".kim@example.com",
        "kim.@example.com",
        "ki..m@example.com",
        "kim@-example.com",
        "kim@example-.com",
        "kim@example..com",
        "kim@example.com.",
        "kim@example.com\n",
        "kim@exa_mple.com",
        "kim@[1.2.3]",
        "김@example.com",
        "kim\u0000@example.com",
        '"kim@example.com',
        "k" * 65 + "@example.com",
        "kim@" + "a" * 64 + ".com",
        "kim@" + "a.b" * 84 + ".com",
        None,
    ],
)  # fmt: skip
async def test_a_bad_email_is_named(auth: httpx.AsyncClient, email: Any) -> None:
    assert wrong_fields(await auth.post(PATH, json=a_body(email=email))) == ["email"]


@pytest.mark.parametrize("local", ["o'neil+tag", "a" * 64, '"kim lee"', '"k@i\\"m"', "{kim}", "kim/lee=x"])
async def test_unusual_addresses_that_rfc_5321_allows_are_taken(
    auth: httpx.AsyncClient, db: Callable[[str], Awaitable[Database]], local: str
) -> None:
    for domain in (f"{new_id().hex[:20]}.example", "[192.0.2.1]", "[IPv6:2001:db8::1]"):
        answer = await auth.post(PATH, json=a_body(email=f"{local}@{domain}"))
        assert answer.status_code == 201, answer.text
        async with (await db("auth")).connection() as conn:
            await conn.execute("DELETE FROM users WHERE email = %s", [f"{local}@{domain}"])


@pytest.mark.parametrize("password", ["short", "a" * 65, "é" * 37, "비밀번호" * 7, "eight\u0000888", "", None])
async def test_a_bad_password_is_named_and_never_truncated(auth: httpx.AsyncClient, password: Any) -> None:
    answer = await auth.post(PATH, json=a_body(password=password))
    assert wrong_fields(answer) == ["password"]
    if password and len(password) >= 28 and not password.isascii():
        assert "72" in answer.json()["errors"][0]["message"]


async def test_72_bytes_of_hangul_are_a_password_however_they_were_typed(auth: httpx.AsyncClient) -> None:
    body = a_body(password="비밀번호" * 6)
    assert (await auth.post(PATH, json=body)).status_code == 201
    # A Mac sends Hangul decomposed into jamo: the same password.
    decomposed = unicodedata.normalize("NFD", "비밀번호" * 6)
    login = await auth.post("/api/v1/auth/login", json={"username": body["username"], "password": decomposed})
    assert login.status_code == 200


async def test_the_database_holds_no_password(
    auth: httpx.AsyncClient, db: Callable[[str], Awaitable[Database]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "COST", COST)
    body = a_body(password="plainly visible")
    person = (await auth.post(PATH, json=body)).json()
    async with (await db("auth")).connection() as conn:
        cur = await conn.execute("SELECT password_hash FROM users WHERE id = %s", [person["id"]])
        row = await cur.fetchone()
    assert row is not None
    assert row[0].startswith("$2b$12$")
    assert "visible" not in row[0]


async def test_of_six_registrations_of_one_name_at_once_one_succeeds(auth: httpx.AsyncClient) -> None:
    body = a_body()
    answers = await asyncio.gather(*(auth.post(PATH, json=body) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 5


@pytest.mark.parametrize("password", ["password1", "        ", "1111111111", "iloveyou1", " password1 "])
async def test_a_password_that_is_guessed_first_is_refused_and_says_why(auth: httpx.AsyncClient, password: str) -> None:
    answer = await auth.post(PATH, json=a_body(password=password))
    assert wrong_fields(answer) == ["password"]
    assert "guess" in answer.json()["errors"][0]["message"]


async def test_the_own_name_is_no_password(auth: httpx.AsyncClient) -> None:
    body = a_body()
    for password in (body["username"].upper(), body["email"], body["email"].partition("@")[0]):
        assert wrong_fields(await auth.post(PATH, json=body | {"password": password[:64]})) == ["password"]


async def test_one_address_registers_so_many_an_hour_and_the_next_costs_no_hash(
    serve: Callable[..., Awaitable[httpx.AsyncClient]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    async def make(password: str, field: str) -> str:
        made.append(field)
        return PASSWORD_HASH

    monkeypatch.setattr(passwords, "hashed", make)
    auth = await serve("auth", QUOTA_REGISTRATIONS="2", TRUSTED_HOPS="1")
    headers = {"X-Forwarded-For": f"2001:db8:{new_id().hex[-4:]}:{new_id().hex[-4:]}::1"}
    answers = [await auth.post(PATH, json=a_body(), headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert answers[2].json()["type"] == "urn:eco2:auth:too-many-registrations"
    assert len(made) == 2
    assert int(answers[2].headers["retry-after"]) > 0


def test_an_hour_s_registrations_of_an_address_are_spread_over_the_hour() -> None:
    bucket = attempts.registrations_from("192.0.2.1", Settings(quota_registrations=20))
    assert (bucket.burst, bucket.interval) == (20, 180.0)


def test_the_commonest_passwords_are_loaded_once_for_all_who_register_first_at_the_same_moment() -> None:
    passwords._common.cache_clear()
    together = threading.Barrier(4)

    def ask() -> str:
        together.wait()
        return passwords._commonest()

    with ThreadPoolExecutor(4) as threads:
        found = [asked.result() for asked in [threads.submit(ask) for _ in range(4)]]
    assert "\npassword1\n" in found[0]
    assert all(one is found[0] for one in found)


async def test_an_address_is_written_to_where_there_is_a_mail_server_and_is_not_verified_by_being_typed(
    auth: httpx.AsyncClient, reached: httpx.AsyncClient, db: Callable[[str], Awaitable[Database]]
) -> None:
    database = await db("auth")
    for client, letters in ((auth, []), (reached, ["verify"])):
        body = a_body()
        person = (await client.post(PATH, json=body)).json()
        async with database.connection() as conn:
            cur = await conn.execute(
                "SELECT message ->> 'purpose' FROM outbox WHERE message ->> 'user_id' = %s", [person["id"]]
            )
            assert [row[0] for row in await cur.fetchall()] == letters
        login = await client.post("/api/v1/auth/login", json=body)
        headers = {"Authorization": f"Bearer {login.json()['access_token']}"}
        assert (await client.get("/api/v1/auth/me", headers=headers)).json()["email_verified"] is False
