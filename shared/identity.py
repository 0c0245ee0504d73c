"""Who is asking: verifies access tokens from the JWKS file alone, and knows within seconds which sessions were revoked.

An access token is a JWT (RFC 9068) signed with Ed25519. Checking a signature costs about 100 µs and a request's whole
budget is a few, so a token once verified is remembered; its expiry and its session's revocation are looked at on every
request all the same.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import re
import time
from collections.abc import Iterable
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from msgspec import Struct

from shared import clock
from shared.errors import Unauthorized

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger(__name__)

ISSUER = "urn:eco2:auth"
AUDIENCE = "urn:eco2:api"
TOKEN_TYPE = "at+jwt"  # noqa: S105 - the JOSE header's `typ` (RFC 9068 §2.1), no secret
ACCESS_SECONDS = 900

# A sorted set in the broker's Redis: session ids, scored with the moment (epoch seconds) of their revocation.
REVOKED_KEY = "auth:revoked"
# Real seconds between two readings of the revoked sessions, the patience for one (both together below the 5 s that are
# promised), and between two looks at the JWKS file.
READ_EVERY = 2.0
READ_WITHIN = 2.0
LOOK_EVERY = 1.0
# A reading goes back this far behind the newest entry seen, for writers whose clocks or commits lag.
OVERLAP = 60.0
# Seconds by which the clock of the process that signs may differ from that of the one that revokes.
LAG = 5.0
# A revocation outlives every token of its session by this much.
KEPT = ACCESS_SECONDS + 2 * OVERLAP
# Bytes of tokens remembered by one process, and the longest that is looked at. One of ours has about 450 characters, and what
# is remembered of it takes as much again.
REMEMBERED = 4 * 1024 * 1024
OVERHEAD = 500
# Revocations remembered by one process, of some 250 bytes each: more than a hundred persons a second who log out.
REVOKED = 100_000
LONGEST = 1024
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_BEARER = re.compile(r"bearer +([^ ]+)", re.IGNORECASE)


class User(Struct, frozen=True):
    """The person who sent a request, and the session its token belongs to. Logs call them by their alias."""

    id: UUID
    session_id: UUID
    alias: str = ""


class InvalidToken(Unauthorized):
    """The access token is not valid."""

    type = "urn:eco2:auth:invalid-token"

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail)
        # RFC 6750 §3.1: a client that sees `invalid_token` refreshes and repeats.
        self.headers = {"WWW-Authenticate": f'Bearer error="invalid_token", error_description="{self.detail}"'}


class KeySetError(ValueError):
    """A JWKS file is unreadable or holds no usable key; the message is one line that names the file."""


class _Key(Struct):
    kid: str
    crv: str = ""
    x: str = ""


class _KeySet(Struct):
    keys: list[_Key]


class Session(Struct, frozen=True):
    """Whom a token is for, and until when (epoch seconds)."""

    user: User
    expires_at: float


def read_jwks(file: Path) -> dict[str, dict[str, str]]:
    """Return the Ed25519 keys of a JWK set by their `kid`; keys of other kinds are left out.

    Raises:
        KeySetError: when the file can't be read, is not a JWK set, or holds no such key.
    """
    try:
        found = msgspec.json.decode(file.read_bytes(), type=_KeySet).keys
    except OSError as error:
        raise KeySetError(f"{file} can't be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise KeySetError(f"{file} is no JWK set: {error}") from error
    # 32 bytes make 43 characters of base64url; anything else would fail later, at the first token.
    keys = {
        key.kid: {"kty": "OKP", "crv": "Ed25519", "x": key.x}
        for key in found
        if key.crv == "Ed25519" and re.fullmatch(r"[A-Za-z0-9_-]{43}", key.x)
    }
    if not keys:
        raise KeySetError(f"{file} holds no Ed25519 key")
    return keys


class Verifier:
    """Turns an Authorization header into a User. One a process; used from its event loop only.

    `jwt` and `cryptography` take 60 ms to import, a sixth of a service's cold start: they are imported by
    `follow_revocations`, which starts after readiness, or by the first token if that comes earlier.
    """

    def __init__(self, jwks_file: Path) -> None:
        """Read the keys.

        Raises:
            KeySetError: when the file is missing or unusable: a service that could verify no one should not start.
        """
        self._file = jwks_file
        self._stamp = self._stat()
        self._jwks = read_jwks(jwks_file)
        self._keys: dict[str, Any] = {}
        self._next_look = time.monotonic() + LOOK_EVERY
        self._known: dict[str, Session] = {}
        self._size = 0
        self._revoked: dict[UUID, float] = {}
        self._void_until = 0.0

    def authenticate(self, authorization: str | None) -> User:
        """Return the user whose valid access token the header holds.

        Raises:
            Unauthorized: without a bearer token.
            InvalidToken: when it is malformed, expired, made for something else or signed by no key of ours, or when
                its session was revoked.
        """
        if not authorization:
            raise Unauthorized
        if time.monotonic() >= self._next_look:
            self._look()
        # By the token and not by the header, which has as many spellings as there are numbers of blanks.
        token = authorization[7:] if authorization.startswith("Bearer ") else ""
        known = self._known.get(token)
        if known is None:
            token, known = self._remember(authorization)
        if known.expires_at <= clock.time():
            self._forget(token)
            raise InvalidToken("The access token has expired.")
        return self.admit(known)

    def admit(self, session: Session) -> User:
        """Let in whom a ticket or a token is for.

        Raises:
            InvalidToken: the session has ended meanwhile.
        """
        if self.ended(session):
            raise InvalidToken("The session has ended.")
        _session.set((self, session))
        return session.user

    def ended(self, session: Session) -> bool:
        """Whether the session was revoked or the token has expired since."""
        return (
            session.expires_at <= clock.time()
            or session.user.session_id in self._revoked
            or session.expires_at <= self._void_until
        )

    def _remember(self, authorization: str) -> tuple[str, Session]:
        if len(authorization) > LONGEST + 100:
            raise InvalidToken
        bearer = _BEARER.fullmatch(authorization)
        if bearer is None:
            raise Unauthorized
        token = bearer[1]
        known = self._known.get(token)
        if known is None:
            known = self._verify(token)
            self._known[token] = known
            self._size += len(token) + OVERHEAD
            while self._size > REMEMBERED:
                # The oldest goes: dicts keep insertion order, and tokens live 15 minutes, so it is the nearest to its end.
                self._forget(next(iter(self._known)))
        return token, known

    def _forget(self, token: str) -> None:
        if self._known.pop(token, None) is not None:
            self._size -= len(token) + OVERHEAD

    def _verify(self, token: str) -> Session:
        from shared.lean_jwt import jwt

        if len(token) > LONGEST or not _TOKEN.fullmatch(token) or not _canonical(token.rpartition(".")[2]):
            raise InvalidToken
        try:
            header = jwt.get_unverified_header(token)
            # `crit` and `b64` change what a signature means (RFC 7515 §4.1.11, RFC 7797): our tokens never carry them.
            if str(header.get("typ", "")).lower() != TOKEN_TYPE or "crit" in header or "b64" in header:
                raise InvalidToken
            claims = jwt.decode(
                token,
                self._key(str(header.get("kid", ""))),
                algorithms=["EdDSA"],
                audience=AUDIENCE,
                issuer=ISSUER,
                # Expiry is compared in `authenticate`, with the system's clock instead of the machine's.
                options={"require": ["exp", "sub", "sid"], "verify_exp": False, "verify_iat": False},
            )
            user_id = UUID(claims["sub"])
            return Session(User(user_id, UUID(claims["sid"]), alias_of(user_id)), float(claims["exp"]))
        except (jwt.InvalidTokenError, ValueError, TypeError, AttributeError) as error:
            # The last three: claims of a wrong type, such as a `sid` that is not a UUID.
            raise InvalidToken from error

    def _key(self, kid: str) -> Any:
        key = self._keys.get(kid)
        if key is None:
            if kid not in self._jwks:
                raise InvalidToken("The access token was signed with an unknown key.")
            from shared.lean_jwt import jwt

            key = self._keys[kid] = jwt.PyJWK(self._jwks[kid] | {"alg": "EdDSA"}).key
        return key

    def _stat(self) -> tuple[int, int, int]:
        try:
            stat = self._file.stat()
        except OSError:
            return (0, 0, 0)
        return (stat.st_mtime_ns, stat.st_ino, stat.st_size)

    def _look(self) -> None:
        """Read the keys again if their file has changed; with a broken file go on with the keys we have."""
        self._next_look = time.monotonic() + LOOK_EVERY
        stamp = self._stat()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._jwks = read_jwks(self._file)
        except KeySetError as error:
            log.error("the public keys stay as they were: %s", error)
            return
        # What was verified with a key that is gone must not live on in memory.
        self._keys.clear()
        self._known.clear()
        self._size = 0
        log.info("public keys read again: %s", ", ".join(self._jwks))

    async def follow_revocations(self, redis: Redis) -> None:
        """Keep the list of revoked sessions fresh until cancelled; to be started once the service is ready.

        With Redis away the list stays as it was: tokens of sessions revoked meanwhile live out their 15 minutes.
        """
        from redis.exceptions import RedisError

        await asyncio.to_thread(warm)
        away = False
        since = "-inf"
        while True:
            try:
                async with asyncio.timeout(READ_WITHIN):
                    found = await redis.zrangebyscore(REVOKED_KEY, since, "+inf", withscores=True)
            except (RedisError, OSError, TimeoutError) as error:
                if not away:
                    log.warning("revoked sessions can't be read: %s", type(error).__name__)
                # A Redis that comes back may have lost or gained entries anywhere: read all of it then.
                away, since = True, "-inf"
            else:
                if away:
                    log.info("revoked sessions are being read again")
                away = False
                since = self._take(found)
            await asyncio.sleep(READ_EVERY)

    def _take(self, found: Iterable[Any]) -> str:
        """Add revocations, forget those whose tokens have all expired, and return the score to go on from."""
        for member, score in found:
            try:
                self._revoked[UUID(member.decode() if isinstance(member, bytes) else member)] = score
            except ValueError:
                log.warning("left out an entry of the revoked sessions that is not a session's id")
        oldest = clock.time() - KEPT
        for session_id in [key for key, score in self._revoked.items() if score < oldest]:
            del self._revoked[session_id]
        self._forget_revocations()
        # One from a clock that goes ahead must not hide those that come before its moment has.
        return str(min(max(self._revoked.values()), clock.time()) - OVERLAP) if self._revoked else "-inf"

    def _forget_revocations(self) -> None:
        """Keep the newest only, and let no token in that may be of a session whose revocation is forgotten: others refresh."""
        if len(self._revoked) <= REVOKED:
            return
        ordered = sorted(self._revoked, key=self._revoked.__getitem__)
        # More than one, so that not each reading sorts them.
        gone = ordered[: len(ordered) - REVOKED * 9 // 10]
        # A token that was signed after that moment is of none of these.
        self._void_until = max(self._void_until, self._revoked[gone[-1]] + LAG + ACCESS_SECONDS)
        for session_id in gone:
            del self._revoked[session_id]
        log.warning("more than %d sessions were revoked: older tokens have to be refreshed", REVOKED)


# Who asks in this context, and who knows whether that still holds.
_session: ContextVar[tuple[Verifier, Session] | None] = ContextVar("session", default=None)


def current_session() -> Session:
    """The session of the request that this context answers. Raises LookupError where no one asked with a token."""
    found = _session.get()
    if found is None:
        raise LookupError("no one asked with a token")
    return found[1]


def session_over() -> bool:
    """Whether the session of the request that this context answers has ended meanwhile: for answers that go on."""
    found = _session.get()
    return found is not None and found[0].ended(found[1])


def _canonical(part: str) -> bool:
    """Whether this is the one spelling of its bytes in base64url: its last character may have bits that decode to nothing."""
    try:
        decoded = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        return False
    return base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() == part


def alias_of(user_id: UUID) -> str:
    """What logs call a person: found from the id, which an operator has while the account exists, and not the other way.

    Logs can't be erased line by line; with the account gone, nothing in them leads back to the person.
    """
    return "u-" + hashlib.blake2b(user_id.bytes, digest_size=8).hexdigest()


async def announce_revocations(redis: Redis, session_ids: Iterable[UUID]) -> None:
    """Tell every process that the tokens of these sessions are void from now on.

    Raises whatever the client raises when Redis is away.
    """
    now = clock.time()
    scores = {str(session_id): now for session_id in session_ids}
    if not scores:
        return
    async with redis.pipeline(transaction=True) as pipe:
        pipe.zadd(REVOKED_KEY, scores)
        pipe.zremrangebyscore(REVOKED_KEY, "-inf", now - KEPT)
        await pipe.execute()


def warm() -> None:
    """Load what the first token needs (100 ms), with a key that verifies none."""
    # jwt imports cryptography's parts itself; a key makes OpenSSL's provider load too.
    from shared.lean_jwt import jwt

    jwt.PyJWK({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": "A" * 43})
