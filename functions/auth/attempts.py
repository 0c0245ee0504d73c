"""How often passwords may be guessed: per name tried and per address. Only failures count (shared/rates.py)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from litestar import Request

from functions.auth import passwords
from shared import clients, rates
from shared.errors import Forbidden, TooMany, Unauthorized
from shared.rates import Bucket
from shared.settings import Settings

if TYPE_CHECKING:
    from redis.asyncio import Redis


class TooManyAttempts(TooMany):
    """Too many wrong passwords: wait before the next try."""

    type = "urn:eco2:auth:too-many-attempts"


# 10 wrong passwords at once and 40 an hour for a name; from one address (a school, an office) 100 and 400.
NAME = (10, 90.0)
ADDRESS = (100, 9.0)


def login(name: str) -> Bucket:
    """The bucket of a username or an email address as it was typed, whether anybody has it or not.

    Each has its own, a person's too: one bucket for both would tell that they belong together.
    """
    return rates.bucket("login", name, *NAME)


def logins_from(address: str) -> Bucket:
    """The bucket of all logins from one address."""
    return rates.bucket("login-address", address, *ADDRESS)


def registrations_from(address: str, settings: Settings) -> Bucket:
    """The bucket of new accounts from one address."""
    return rates.bucket("register", address, settings.quota_registrations, 3600.0 / settings.quota_registrations)


def confirmation(user_id: UUID) -> Bucket:
    """The bucket of a person who is signed in and confirms something: a stranger's wrong logins do not fill it."""
    return rates.bucket("confirm", user_id, *NAME)


def address_of(request: Request[Any, Any, Any], settings: Settings) -> str:
    """The client's address, as `shared.clients` finds it."""
    return clients.address_of(request.headers.getall("x-forwarded-for", []), request.client, settings.trusted_hops)


@asynccontextmanager
async def attempt(broker: "Redis", bucket: Bucket, *more: Bucket, address: str) -> AsyncIterator[None]:
    """Wait for a place to check a password in, and count the block as a failed try when it raises 401 or 403.

    Args:
        bucket: `login` or `confirmation`; emptied when the password is right.
        more: further buckets, which stay as they are then.
        address: the client's, `address_of`, for its place in the queue.

    Raises:
        TooManyAttempts: when one of the buckets has had its share of failures.
        passwords.Busy: as `passwords.slot`.
    """
    buckets = [bucket, *more]
    # The look comes after the wait: a thousand guesses sent at once would else all pass before the first has failed.
    async with passwords.slot(address):
        wait = await rates.wait(broker, buckets)
        if wait > 0:
            raise TooManyAttempts(retry_after=wait)
        try:
            yield
        except (Unauthorized, Forbidden):
            await rates.count(broker, buckets)
            raise
    await rates.forget(broker, [bucket])
