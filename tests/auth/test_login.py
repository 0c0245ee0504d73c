"""POST /login, and how often passwords may be guessed"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import bcrypt
import httpx
import pytest
from bcrypt import checkpw

from functions.auth import attempts, passwords
from functions.auth import db as sql
from shared import identity, rates
from shared.db import Database
from shared.errors import TooMany, Unauthorized
from shared.ids import new_id
from shared.lean_jwt import jwt
from shared.redis import connect_async
from shared.settings import Settings
from tests.auth.conftest import COST, NOBODY, PASSWORD, PASSWORD_HASH, Account, bearer, wait_for_a_place

PATH = "/api/v1/auth/login"


async def guess(
    client: httpx.AsyncClient, name: str, password: str = "wrong password", **headers: str
) -> httpx.Response:
    return await client.post(PATH, json={"username": name, "password": password}, headers=headers)


async def test_no_cache_may_keep_tokens(account: Account) -> None:
    answer = await guess(account.client, account.username, PASSWORD)
    assert answer.headers["cache-control"] == "no-store"
    token = answer.json()["refresh_token"]
    answer = await account.client.post("/api/v1/auth/refresh", json={"refresh_token": token})
    assert answer.headers["cache-control"] == "no-store"


async def test_the_tokens_are_of_the_promised_shape(account: Account) -> None:
    tokens = await account.login()
    assert set(tokens) == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 900)
    me = await account.client.get("/api/v1/auth/me", headers=bearer(tokens))
    assert me.json()["id"] == str(account.id)


async def test_a_wrong_password_and_an_unknown_user_are_told_the_same(account: Account) -> None:
    wrong = await guess(account.client, account.username)
    unknown = await guess(account.client, f"nobody-{new_id().hex}")
    assert wrong.status_code == unknown.status_code == 401
    drop = {"instance"}
    assert {k: v for k, v in wrong.json().items() if k not in drop} == {
        k: v for k, v in unknown.json().items() if k not in drop
    }
    assert wrong.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("known", [True, False])
async def test_whatever_can_not_be_right_takes_as_much_work_as_a_wrong_password(
    account: Account, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """The time of an answer would else say who is registered, and which passwords are none."""
    compared: list[bytes] = []

    def compare(password: bytes, hashed: bytes) -> bool:
        compared.append(hashed)
        return checkpw(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", compare)
    name = account.username if known else f"nobody-{new_id().hex}"
    for password in ("wrong password", "a" * 73, "비" * 25):
        assert (await guess(account.client, name, password)).status_code == 401
    assert len(compared) == 3


def test_an_unknown_user_is_compared_with_a_hash_of_the_same_cost() -> None:
    assert COST >= 12
    assert NOBODY.startswith(f"$2b${COST}$")


@pytest.mark.parametrize("password", ["a" * 73, "비" * 25, "a" * 64 + "é" * 20])
async def test_no_password_is_cut_to_the_length_that_bcrypt_sees(account: Account, password: str) -> None:
    assert (await guess(account.client, account.username, password)).status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"username": "kim"},
        {"password": "x" * 8},
        {"username": "kim\u0000", "password": "x" * 8},
        {"username": "kim", "password": "x\u0000xxxxxx"},
        {"username": ["kim"], "password": "x" * 8},
        [],
        "kim",
    ],
)
async def test_a_malformed_body_is_400(auth: httpx.AsyncClient, body: Any) -> None:
    answer = await auth.post(PATH, json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["errors"]


async def test_no_body_is_400_and_another_media_type_415(auth: httpx.AsyncClient) -> None:
    assert (await auth.post(PATH)).status_code == 400
    assert (await auth.post(PATH, data={"username": "kim", "password": "x" * 8})).status_code == 415


async def test_after_ten_wrong_passwords_even_the_right_one_waits(auth: httpx.AsyncClient) -> None:
    name = f"nobody-{new_id().hex}"
    headers = {"X-Forwarded-For": "198.51.100.1"}
    answers = [await guess(auth, name, **headers) for _ in range(12)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 90
    assert (await guess(auth, f"other-{new_id().hex}", **headers)).status_code == 401


async def test_guesses_sent_at_once_are_counted_too(auth: httpx.AsyncClient) -> None:
    name = f"nobody-{new_id().hex}"
    answers = await asyncio.gather(*(guess(auth, name) for _ in range(30)))
    tried = sum(answer.status_code == 401 for answer in answers)
    # Those in the few places at the same instant may slip through beside each other.
    assert 10 <= tried <= 10 + passwords.AT_ONCE


async def test_nobody_alone_can_keep_all_others_from_a_place() -> None:
    async with AsyncExitStack() as stack:
        for _ in range(passwords.AT_ONCE):
            await stack.enter_async_context(passwords.slot("198.51.100.1"))
        waiting = [asyncio.create_task(wait_for_a_place("198.51.100.1")) for _ in range(passwords.WAITING)]
        await asyncio.sleep(0)
        other = asyncio.create_task(wait_for_a_place("198.51.100.2"))
        await asyncio.sleep(0)
        assert not other.done()
    busy = sum([not await task for task in waiting])
    assert busy == passwords.WAITING - passwords.WAITING_PER_ADDRESS
    assert await other


async def test_whoever_goes_away_while_they_wait_leaves_their_place_to_others() -> None:
    async with AsyncExitStack() as stack:
        for _ in range(passwords.AT_ONCE):
            await stack.enter_async_context(passwords.slot("198.51.100.1"))
        gone = [asyncio.create_task(wait_for_a_place("198.51.100.1")) for _ in range(passwords.WAITING_PER_ADDRESS)]
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        late = asyncio.create_task(wait_for_a_place("198.51.100.1"))
        await asyncio.sleep(0)
        assert not late.done()
    assert await late


async def test_the_right_password_clears_what_was_counted_for_the_name(account: Account) -> None:
    for _ in range(2):
        for _ in range(6):
            assert (await guess(account.client, account.username)).status_code == 401
        await account.login()


@pytest.mark.parametrize(("small", "capital"), [("i", "\u0130"), ("k", "\u212a")])
async def test_a_name_written_in_another_way_has_no_tries_of_its_own(
    auth: httpx.AsyncClient, small: str, capital: str
) -> None:
    # Capitals beyond ASCII that become an i for PostgreSQL, and a k for everybody.
    name = f"{small}{new_id().hex}"
    person = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
    assert (await auth.post("/api/v1/auth/register", json=person)).status_code == 201
    answers = [await guess(auth, name) for _ in range(10)]
    answers += [await guess(auth, spelt, PASSWORD) for spelt in (name, capital + name[1:])]
    assert [answer.status_code for answer in answers[:11]] == [401] * 10 + [429]
    assert answers[11].status_code in (401, 429)


async def test_one_address_may_not_try_one_password_on_everybody(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "ADDRESS", (5, 9.0))
    address = f"2001:db8:{new_id().hex[-4:]}:1::7"
    monkeypatch.setattr(attempts, "address_of", lambda request, settings: address)
    answers = [await guess(account.client, f"nobody-{new_id().hex}") for _ in range(4)]
    await account.login()  # an account of one's own must not give the address new tries
    answers += [await guess(account.client, f"nobody-{new_id().hex}") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429]


async def test_with_redis_away_a_process_counts_for_itself() -> None:
    async with connect_async("redis://127.0.0.1:1") as nowhere:
        bucket = attempts.login(f"nobody-{new_id().hex}")
        outcomes = []
        for _ in range(11):
            try:
                async with attempts.attempt(nowhere, bucket, address="198.51.100.7"):
                    raise Unauthorized
            except (Unauthorized, TooMany) as error:
                outcomes.append(error.status)
    assert outcomes == [401] * 10 + [429]
    rates.alone.until = 0.0


class FakeRequest:
    """As much of a request as the address needs."""

    def __init__(self, peer: str | None, *forwarded: str) -> None:
        self.client = SimpleNamespace(host=peer) if peer else None
        self.headers = self
        self._forwarded = list(forwarded)

    def getall(self, name: str, default: Any) -> Any:
        return self._forwarded or default


@pytest.mark.parametrize(
    ("hops", "peer", "forwarded", "address"),
    [
        (0, "192.0.2.9", ["203.0.113.7"], "192.0.2.9"),
        (1, "10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        (1, "10.0.0.1", ["1.1.1.1, 203.0.113.7"], "203.0.113.7"),
        (1, "10.0.0.1", ["1.1.1.1", "203.0.113.7"], "203.0.113.7"),
        (2, "10.0.0.1", ["1.1.1.1, 203.0.113.7, 10.0.0.2"], "203.0.113.7"),
        (2, "10.0.0.1", ["203.0.113.7"], "10.0.0.1"),
        (1, "10.0.0.1", [], "10.0.0.1"),
        (1, "10.0.0.1", ["nonsense"], "10.0.0.1"),
        (1, "10.0.0.1", ["203.0.113.7, "], "10.0.0.1"),
        (1, "10.0.0.1", ["2001:db8:1:2:3::4"], "2001:db8:1:2::/64"),
        (1, "10.0.0.1", ["::ffff:203.0.113.7"], "203.0.113.7"),
        (1, None, [], ""),
    ],
)
def test_the_address_is_the_one_that_our_own_proxy_saw(
    hops: int, peer: str | None, forwarded: list[str], address: str
) -> None:
    request: Any = FakeRequest(peer, *forwarded)
    assert attempts.address_of(request, Settings(trusted_hops=hops)) == address


async def test_a_password_that_changes_while_its_hash_is_computed_begins_no_session(
    account: Account, db: Callable[[str], Awaitable[Database]]
) -> None:
    before = sql.Credentials(account.id, PASSWORD_HASH)
    async with (await db("auth")).transaction() as conn:
        assert await sql.select_unchanged(conn, before)
        await sql.update_password(conn, account.id, PASSWORD_HASH, "another")
        assert not await sql.select_unchanged(conn, before)


async def test_a_token_says_itself_who_it_is_for_and_how_long(account: Account) -> None:
    claims = []
    for _ in range(2):
        tokens = await account.login()
        claims.append(jwt.decode(tokens["access_token"], options={"verify_signature": False}))
        assert claims[-1]["exp"] - claims[-1]["iat"] == tokens["expires_in"] == identity.ACCESS_SECONDS
    one, other = claims
    assert set(one) == {"iss", "aud", "sub", "sid", "iat", "exp", "jti"}
    assert (one["iss"], one["aud"], one["sub"]) == (identity.ISSUER, identity.AUDIENCE, str(account.id))
    assert one["sid"] != other["sid"]
    assert one["jti"] != other["jti"]
