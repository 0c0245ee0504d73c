"""Access tokens: what is let in, what is not, and how fast a revoked session is shut out."""

import asyncio
import base64
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from redis import exceptions as redis_exceptions
from redis.asyncio import Redis

from functions.auth import keys
from shared import clock, identity
from shared.errors import Unauthorized
from shared.identity import InvalidToken, KeySetError, User, Verifier
from tests.support import answering

USER = User(UUID(int=1), UUID(int=2), identity.alias_of(UUID(int=1)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    keys.init(tmp_path)
    return tmp_path


@pytest.fixture
def verifier(folder: Path) -> Verifier:
    return Verifier(folder / keys.JWKS_FILE)


def claims(**changed: Any) -> dict[str, Any]:
    now = int(clock.time())
    good = {
        "iss": identity.ISSUER,
        "aud": identity.AUDIENCE,
        "sub": str(USER.id),
        "sid": str(USER.session_id),
        "iat": now,
        "exp": now + identity.ACCESS_SECONDS,
    }
    return {key: value for key, value in {**good, **changed}.items() if value is not None}


def signed(folder: Path, header: dict[str, Any] | None = None, **changed: Any) -> str:
    key = keys.read_signing_keys(folder / keys.SIGNING_FILE).keys[0]
    headers = {"kid": key.kid, "typ": identity.TOKEN_TYPE, **(header or {})}
    private = jwt.PyJWK(msgspec.to_builtins(key)).key
    return jwt.encode(claims(**changed), private, algorithm="EdDSA", headers=headers)


async def until(true: Callable[[], bool], seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:  # noqa: ASYNC110 - what changes is not ours to signal
        await asyncio.sleep(0.02)
    return true()


def refused(verifier: Verifier, authorization: str | None) -> bool:
    try:
        verifier.authenticate(authorization)
    except Unauthorized:
        return True
    return False


def test_a_good_token_names_its_user_and_session(folder: Path, verifier: Verifier) -> None:
    assert verifier.authenticate(f"Bearer {signed(folder)}") == USER
    assert verifier.authenticate(f"bearer {signed(folder)}") == USER


def test_the_second_look_at_a_token_is_from_memory(folder: Path, verifier: Verifier) -> None:
    header = f"Bearer {signed(folder)}"
    assert verifier.authenticate(header) is verifier.authenticate(header)


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Basic a2ltOmVjbw==", "token"])
def test_without_a_bearer_token_the_answer_asks_for_one(verifier: Verifier, authorization: str | None) -> None:
    with pytest.raises(Unauthorized) as raised:
        verifier.authenticate(authorization)
    assert raised.value.headers == {"WWW-Authenticate": "Bearer"}


def test_a_bad_token_is_told_so_in_www_authenticate(verifier: Verifier) -> None:
    with pytest.raises(InvalidToken) as raised:
        verifier.authenticate("Bearer a.b.c")
    assert raised.value.headers["WWW-Authenticate"].startswith('Bearer error="invalid_token"')


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": 1_700_000_000},
        {"exp": None},
        {"exp": "soon"},
        {"exp": [1]},
        {"aud": "somebody-else"},
        {"aud": None},
        {"iss": "urn:somebody-else"},
        {"iss": None},
        {"sub": None},
        {"sub": "kim"},
        {"sub": 7},
        {"sid": None},
        {"sid": "kim"},
        {"sid": 7},
        {"sid": ["00000000-0000-0000-0000-000000000001"]},
    ],
    ids=str,
)
def test_a_signed_token_with_wrong_claims_is_refused(folder: Path, verifier: Verifier, changed: dict[str, Any]) -> None:
    assert refused(verifier, f"Bearer {by_hand(folder, claims(**changed))}")


def by_hand(folder: Path, body: Any, header: dict[str, Any] | None = None) -> str:
    key = keys.read_signing_keys(folder / keys.SIGNING_FILE).keys[0]
    head = {"alg": "EdDSA", "kid": key.kid, "typ": identity.TOKEN_TYPE, **(header or {})}

    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    text = f"{part(json.dumps(head).encode())}.{part(json.dumps(body).encode())}"
    private = Ed25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode(key.d + "="))
    return f"{text}.{part(private.sign(text.encode()))}"


@pytest.mark.parametrize("body", [[], "kim", 7, None, {}], ids=repr)
def test_a_signed_body_that_is_no_claims_is_refused(folder: Path, verifier: Verifier, body: Any) -> None:
    assert refused(verifier, f"Bearer {by_hand(folder, body)}")


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"typ": None},
        {"typ": 7},
        {"kid": "another"},
        {"kid": None},
        {"kid": 7},
        {"kid": ["x"]},
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": None},
        {"crit": ["exp"]},
        {"b64": False, "crit": ["b64"]},
        {"b64": False},
        {"b64": True},
    ],
    ids=str,
)
def test_a_signed_token_with_a_wrong_header_is_refused(
    folder: Path, verifier: Verifier, header: dict[str, Any]
) -> None:
    assert not refused(verifier, f"Bearer {by_hand(folder, claims())}")
    assert refused(verifier, f"Bearer {by_hand(folder, claims(), header)}")


def test_a_key_that_comes_with_the_token_is_not_believed(folder: Path, verifier: Verifier) -> None:
    other = keys.new_key(0)
    ours = keys.read_signing_keys(folder / keys.SIGNING_FILE).keys[0]
    header = {"kid": ours.kid, "typ": identity.TOKEN_TYPE, "jwk": msgspec.to_builtins(other.public())}
    token = jwt.encode(claims(), jwt.PyJWK(msgspec.to_builtins(other)).key, algorithm="EdDSA", headers=header)
    assert refused(verifier, f"Bearer {token}")


def test_the_public_key_is_no_hmac_secret(folder: Path, verifier: Verifier) -> None:
    ours = keys.read_signing_keys(folder / keys.SIGNING_FILE).keys[0]
    header = {"kid": ours.kid, "typ": identity.TOKEN_TYPE}
    token = jwt.encode(claims(), ours.x, algorithm="HS256", headers=header)
    assert refused(verifier, f"Bearer {token}")


def test_a_changed_token_is_refused_though_the_first_was_remembered(folder: Path, verifier: Verifier) -> None:
    token = signed(folder)
    verifier.authenticate(f"Bearer {token}")
    head, body, signature = token.split(".")
    other = by_hand(folder, claims(sub=str(uuid4()))).split(".")[1]
    assert refused(verifier, f"Bearer {head}.{other}.{signature}")
    assert refused(verifier, f"Bearer {head}.{body}.{signature[:-4]}AAAA")
    assert refused(verifier, f"Bearer {head}.{body}.")


@pytest.mark.parametrize("token", ["", ".", "..", "é" * 20, "\x00", "a" * 100_000, "a.b.c", "{}.{}.{}"])
def test_rubbish_is_refused(verifier: Verifier, token: str) -> None:
    assert refused(verifier, f"Bearer {token}")


def test_a_remembered_token_still_expires(folder: Path, verifier: Verifier, tmp_path: Path) -> None:
    header = f"Bearer {signed(folder)}"
    verifier.authenticate(header)
    offset = tmp_path / "clock"
    clock.write_offset(str(offset), identity.ACCESS_SECONDS + 1)
    clock.use_file(str(offset))
    try:
        with pytest.raises(InvalidToken, match="expired"):
            verifier.authenticate(header)
    finally:
        clock.use_file(os.environ.get("ECO2_CLOCK_FILE"))


def test_what_is_remembered_of_tokens_is_bounded_in_bytes(
    folder: Path, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "REMEMBERED", 5000)
    headers = [f"Bearer {signed(folder, jti=str(number) * 50)}" for number in range(10)]
    for header in headers:
        verifier.authenticate(header)
        assert verifier._size == sum(len(token) + identity.OVERHEAD for token in verifier._known) <= 5000
    assert headers[-1][7:] in verifier._known
    assert headers[0][7:] not in verifier._known
    # One may take the places of several.
    monkeypatch.setattr(identity, "REMEMBERED", 2000)
    verifier.authenticate(f"Bearer {signed(folder)}")
    assert 0 < verifier._size <= 2000


def test_a_token_is_remembered_once_however_its_header_is_spelled(folder: Path, verifier: Verifier) -> None:
    token = signed(folder)
    for header in (f"Bearer {token}", f"bearer {token}", f"BEARER     {token}", f"Bearer{' ' * 90}{token}"):
        assert verifier.authenticate(header) == USER
    assert list(verifier._known) == [token]
    most = identity.LONGEST + 100 - len("Bearer") - len(token)
    assert verifier.authenticate(f"Bearer{' ' * most}{token}") == USER
    for header in (
        f"Bearer{' ' * (most + 1)}{token}",
        f"Bearer{' ' * 50_000}{token}",
        f"Bearer {token}{' ' * 50_000}",
        f"Bearer {token} ",
    ):
        assert refused(verifier, header)
    assert list(verifier._known) == [token]


def test_a_token_is_accepted_in_its_one_spelling(folder: Path, verifier: Verifier) -> None:
    token = signed(folder)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    same = [token[:-1] + letter for letter in alphabet if letter != token[-1]]
    decoded = {base64.urlsafe_b64decode(one.rpartition(".")[2] + "==") for one in same}
    assert base64.urlsafe_b64decode(token.rpartition(".")[2] + "==") in decoded, "some decode to the same bytes"
    assert all(refused(verifier, f"Bearer {other}") for other in [*same, token + "=", token + "==", token + "\n"])
    assert verifier.authenticate(f"Bearer {token}") == USER


def test_a_new_key_is_taken_up_and_a_dropped_one_forgotten(
    folder: Path, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "LOOK_EVERY", 0.0)
    verifier._next_look = 0.0
    before = f"Bearer {signed(folder)}"
    verifier.authenticate(before)
    keys.rotate(folder, after=0)
    after = f"Bearer {signed(folder)}"
    assert verifier.authenticate(after) == USER
    assert verifier.authenticate(before) == USER
    newest = keys.SigningKeys(keys.read_signing_keys(folder / keys.SIGNING_FILE).keys[:1])
    (folder / keys.JWKS_FILE).write_bytes(msgspec.json.encode(newest.public()))
    assert verifier.authenticate(after) == USER
    assert refused(verifier, before)


def test_a_broken_file_leaves_the_keys_as_they_were(
    folder: Path, verifier: Verifier, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(identity, "LOOK_EVERY", 0.0)
    verifier._next_look = 0.0
    (folder / keys.JWKS_FILE).write_text('{"keys": [')
    for _ in range(2):
        assert verifier.authenticate(f"Bearer {signed(folder)}") == USER
    assert caplog.text.count("the public keys stay as they were") == 1, "said once, and not once a second"
    (folder / keys.JWKS_FILE).unlink()
    assert verifier.authenticate(f"Bearer {signed(folder)}") == USER


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"keys": []}', '{"keys": [{"kid": "a", "kty": "RSA", "n": "x"}]}',
     '{"keys": [{"kid": "a", "kty": "OKP", "crv": "Ed25519", "x": "short"}]}',
     '{"keys": [{"kid": "a", "kty": "OKP", "crv": "X25519", "x": "%s"}]}' % ("A" * 43)],
)  # fmt: skip
def test_a_service_without_usable_keys_does_not_start(tmp_path: Path, content: str) -> None:
    file = tmp_path / "jwks.json"
    with pytest.raises(KeySetError, match=r"jwks\.json can't be read"):
        Verifier(file)
    file.write_text(content)
    with pytest.raises(KeySetError, match=r"jwks\.json"):
        Verifier(file)


async def test_a_revoked_session_is_shut_out_within_five_seconds(
    folder: Path, verifier: Verifier, broker_url: str
) -> None:
    header = f"Bearer {signed(folder)}"
    other = f"Bearer {signed(folder, sid=str(uuid4()))}"
    async with Redis.from_url(broker_url, decode_responses=True) as redis:
        following = asyncio.create_task(verifier.follow_revocations(redis))
        assert verifier.authenticate(header) == USER
        await identity.announce_revocations(redis, [USER.session_id])
        assert await until(lambda: refused(verifier, header))
        assert verifier.authenticate(other)
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        # A process that starts later reads what was revoked before.
        late = Verifier(folder / keys.JWKS_FILE)
        following = asyncio.create_task(late.follow_revocations(redis))
        assert await until(lambda: refused(late, header))
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        await redis.delete(identity.REVOKED_KEY)


async def test_without_redis_tokens_live_and_the_list_is_kept(
    folder: Path, verifier: Verifier, broker_url: str
) -> None:
    verifier._take([(str(USER.session_id), clock.time())])
    # No one listens there.
    async with Redis(host="127.0.0.1", port=1, decode_responses=True) as nowhere:
        following = asyncio.create_task(verifier.follow_revocations(nowhere))
        await asyncio.sleep(0.3)
        assert not following.done()
        assert refused(verifier, f"Bearer {signed(folder)}")
        assert verifier.authenticate(f"Bearer {signed(folder, sid=str(uuid4()))}")
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


async def test_a_broker_that_hangs_is_waited_for_no_longer_than_was_said(
    verifier: Verifier, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(identity, "READ_WITHIN", 0.05)
    done = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()

    patient: dict[str, Any] = {"socket_timeout": 600, "socket_connect_timeout": 600}
    async with answering(hang) as address, Redis.from_url(address.replace("http", "redis"), **patient) as hanging:
        following = asyncio.create_task(verifier.follow_revocations(hanging))
        said = await until(lambda: "can't be read: TimeoutError" in caplog.text, 20)
        done.set()
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
    assert said


def test_whoever_was_let_in_is_shut_out_when_their_token_expires(folder: Path, verifier: Verifier) -> None:
    """A stream goes on, and a ticket waits: neither is looked at by its token again."""
    living, over = (identity.Session(USER, clock.time() + seconds) for seconds in (60, -1))
    assert verifier.admit(living) == USER
    assert not identity.session_over()
    with pytest.raises(InvalidToken):
        verifier.admit(over)


def test_more_revocations_than_are_remembered_let_no_one_in(
    folder: Path, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are forgotten count all the same: whatever was signed before them has to be refreshed."""
    monkeypatch.setattr(identity, "REVOKED", 10)
    now = clock.time()
    many = [(str(uuid4()), now - 300 + number) for number in range(25)]
    # Those that are read again come behind newer ones.
    verifier._take([*many[12:], (str(USER.session_id), now - 301), *many[:12]])
    assert len(verifier._revoked) <= 10
    assert {session.hex for session in verifier._revoked} == {UUID(name).hex for name, _ in many[-9:]}
    before, after = now - 302 + identity.ACCESS_SECONDS, now - 200 + identity.ACCESS_SECONDS
    assert refused(verifier, f"Bearer {signed(folder, exp=before)}")
    assert refused(verifier, f"Bearer {signed(folder, sid=str(uuid4()), exp=before)}"), "it is not known whose that is"
    assert verifier.authenticate(f"Bearer {signed(folder, sid=str(uuid4()), exp=after)}")
    # The clock of the process that signs may go so far behind that of the one that revokes.
    newest = now - 300 + 15 + identity.LAG + identity.ACCESS_SECONDS
    for exp, shut_out in ((newest - 2, True), (newest + 2, False)):
        assert refused(verifier, f"Bearer {signed(folder, sid=str(uuid4()), exp=exp)}") == shut_out
    # All is read again after Redis was away, and older ones come: what is shut out stays so.
    verifier._take([(str(uuid4()), now - 600 + number) for number in range(3)])
    assert refused(verifier, f"Bearer {signed(folder, sid=str(uuid4()), exp=newest - 2)}")
    verifier._take([(str(USER.session_id), now - 301), *many])
    assert len(verifier._revoked) <= 10


def test_a_token_has_one_spelling(folder: Path, verifier: Verifier) -> None:
    token = signed(folder)
    signs = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    # The last of a signature's characters has four bits that decode to nothing.
    same = signs.index(token[-1]) & ~15
    for other in set(signs[same : same + 16]) - {token[-1]}:
        assert refused(verifier, f"Bearer {token[:-1]}{other}")
    assert not refused(verifier, f"Bearer {token}")


async def test_revocations_that_no_token_outlives_leave_the_broker(broker_url: str) -> None:
    old, young, new = (str(uuid4()) for _ in range(3))
    async with Redis.from_url(broker_url, decode_responses=True) as redis:
        ages = {old: clock.time() - identity.KEPT - 5, young: clock.time() - identity.ACCESS_SECONDS - 100}
        await redis.zadd(identity.REVOKED_KEY, ages)
        await identity.announce_revocations(redis, [UUID(new)])
        scores = [await redis.zscore(identity.REVOKED_KEY, session) is not None for session in (old, young, new)]
        await redis.zrem(identity.REVOKED_KEY, young, new)
    assert scores == [False, True, True]


def test_a_revocation_is_forgotten_once_all_its_tokens_have_expired(verifier: Verifier) -> None:
    old, new = uuid4(), uuid4()
    verifier._take([(str(old), clock.time() - identity.KEPT - 1), (str(new).encode(), clock.time() - 1)])
    assert set(verifier._revoked) == {new}
    # A process that signed by a clock that goes behind.
    lately = uuid4()
    verifier._take([(str(lately), clock.time() - identity.ACCESS_SECONDS - 100)])
    assert set(verifier._revoked) == {new, lately}


def test_logs_call_a_person_by_an_alias_that_does_not_lead_back() -> None:
    person = uuid4()
    assert identity.alias_of(person) == identity.alias_of(person) != identity.alias_of(uuid4())
    assert person.hex[:8] not in identity.alias_of(person)
    assert len(identity.alias_of(person)) == len("u-") + 16, "two people have one too seldom to happen"


async def test_a_revocation_by_a_process_whose_clock_lags_is_read_too(
    folder: Path, verifier: Verifier, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "READ_EVERY", 0.02)
    late = uuid4()
    async with Redis.from_url(broker_url, decode_responses=True) as redis:
        following = asyncio.create_task(verifier.follow_revocations(redis))
        await identity.announce_revocations(redis, [USER.session_id])
        assert await until(lambda: refused(verifier, f"Bearer {signed(folder)}"))
        # Behind what was read already by nearly all that is allowed.
        await redis.zadd(identity.REVOKED_KEY, {str(late): clock.time() - identity.OVERLAP + 10})
        assert await until(lambda: refused(verifier, f"Bearer {signed(folder, sid=str(late))}"))
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        await redis.delete(identity.REVOKED_KEY)


def test_what_is_no_session_s_id_hides_none_of_those_beside_it(verifier: Verifier) -> None:
    before, behind, now = uuid4(), uuid4(), clock.time()
    verifier._take([(str(before), now), ("no session", now), (str(behind), now)])
    assert set(verifier._revoked) == {before, behind}


def test_a_revocation_by_a_process_whose_clock_goes_ahead_hides_no_later_one(verifier: Verifier) -> None:
    since = verifier._take([(str(uuid4()), clock.time() + 10 * identity.OVERLAP)])
    assert float(since) < clock.time()


async def test_after_an_outage_all_revocations_are_read_again_and_not_the_newest_alone(
    folder: Path, verifier: Verifier, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that was restored from a copy may have gained entries from before what was read last."""
    monkeypatch.setattr(identity, "READ_EVERY", 0.02)
    gained = uuid4()
    async with Redis.from_url(broker_url, decode_responses=True) as redis:
        real, asked = redis.zrangebyscore, asyncio.Event()

        async def away(*_: Any, **__: Any) -> Any:
            asked.set()
            raise redis_exceptions.ConnectionError

        following = asyncio.create_task(verifier.follow_revocations(redis))
        await identity.announce_revocations(redis, [USER.session_id])
        assert await until(lambda: refused(verifier, f"Bearer {signed(folder)}"))
        monkeypatch.setattr(redis, "zrangebyscore", away)
        await asyncio.wait_for(asked.wait(), 60)
        await redis.zadd(identity.REVOKED_KEY, {str(gained): clock.time() - identity.OVERLAP * 2})
        monkeypatch.setattr(redis, "zrangebyscore", real)
        assert await until(lambda: refused(verifier, f"Bearer {signed(folder, sid=str(gained))}"), 60)
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        await redis.delete(identity.REVOKED_KEY)


def test_a_token_whose_end_has_come_is_remembered_no_more(folder: Path, verifier: Verifier, tmp_path: Path) -> None:
    token = signed(folder, exp=clock.time() + 100)
    verifier.authenticate(f"Bearer {token}")
    offset = tmp_path / "clock"
    clock.write_offset(str(offset), 101)
    clock.use_file(str(offset))
    try:
        assert refused(verifier, f"Bearer {token}")
        assert (verifier._known, verifier._size) == ({}, 0)
    finally:
        clock.use_file(os.environ.get("ECO2_CLOCK_FILE"))


def test_what_is_counted_of_remembered_tokens_is_what_is_remembered(
    folder: Path, verifier: Verifier, tmp_path: Path
) -> None:
    def counted() -> bool:
        return verifier._size == sum(len(token) + identity.OVERHEAD for token in verifier._known)

    token = signed(folder)
    for spelled in ("Bearer ", "bearer  ", "BEARER "):
        verifier.authenticate(spelled + token)
        assert (len(verifier._known), counted()) == (1, True)
    verifier._forget("never seen")
    assert counted()
    keys.rotate(folder)
    verifier._look()
    assert (len(verifier._known), counted()) == (0, True)
    verifier.authenticate(f"Bearer {token}")
    assert (len(verifier._known), counted()) == (1, True)


@pytest.mark.parametrize("kept", ["time", "time and size"])
def test_a_file_that_was_replaced_within_one_tick_of_the_clock_is_read_again(
    folder: Path, verifier: Verifier, kept: str
) -> None:
    public = folder / keys.JWKS_FILE
    before, old = public.stat(), public.read_bytes()
    (folder / keys.SIGNING_FILE).unlink()
    keys.init(folder)
    if kept == "time":
        public.write_bytes(public.read_bytes() + b"\n")
    assert public.read_bytes() != old
    os.utime(public, ns=(before.st_atime_ns, before.st_mtime_ns))
    verifier._look()
    assert verifier.authenticate(f"Bearer {signed(folder)}") == USER


async def test_who_ends_no_session_tells_no_one(broker_url: str) -> None:
    async with Redis.from_url(broker_url) as redis:
        await redis.delete(identity.REVOKED_KEY)
        await identity.announce_revocations(redis, [])
        assert not await redis.exists(identity.REVOKED_KEY)
