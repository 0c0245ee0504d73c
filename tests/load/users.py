"""Virtual users: each uploads a photo, has it analysed, follows it to the end, and begins again.

A user honours Retry-After, as an app should: a refusal is waited out and the same step repeated, within `PATIENCE` for the whole
try. Every photo is another: one that the system has seen before would be answered from its cache.
"""

import asyncio
import random
import ssl
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any
from uuid import UUID

import httpx
import msgspec

from tests.support import Keys, access_token, photo

# Seconds in which a try has to succeed, refusals and their waits among them.
PATIENCE = 240.0
# Seconds that a user waits for one answer; events may be as far apart as the queue before the photo is long.
ANSWER = 12.0
API = "/api/v1/waste"
_QUANTIZERS = b"\xff\xdb"


class Try(msgspec.Struct):
    """One photo of one user: when it began (seconds of the run), how long it took, and how it ended."""

    began: float
    seconds: float = 0.0
    outcome: str = ""  # `success`, or what went wrong
    step: str = ""
    refused: int = 0  # times that Retry-After was waited out


class Failed(Exception):
    """This try can't go on; the words are what is counted."""


class Photos:
    """Photographs of which no two have the same pixels, made without encoding each: by the quantizers of a JPEG.

    Of some pictures in turn, or of one that is drawn.
    """

    def __init__(self, seed: int = 0, pictures: Sequence[bytes] = ()) -> None:
        self._random = random.Random(seed)
        self._pictures = cycle(pictures or [photo(640, 480)])

    def another(self) -> bytes:
        picture = next(self._pictures)
        at = picture.index(_QUANTIZERS) + 5  # marker, length, number of the table
        changed = bytes(max(1, value + self._random.randint(-3, 3)) for value in picture[at : at + 8])
        return picture[:at] + changed + picture[at + len(changed) :]


class User:
    """One person with connections of their own."""

    def __init__(
        self, gateway: str, number: int, keys: Keys, photos: Photos, context: ssl.SSLContext, clock: Callable[[], float]
    ) -> None:
        self._keys = keys
        self._id = UUID(int=(7 << 76) | (2 << 62) | number)
        self._token, self._renew_at = "", 0.0
        self._photos = photos
        self._clock = clock
        self._client = httpx.AsyncClient(
            base_url=gateway, trust_env=False, verify=context, timeout=httpx.Timeout(ANSWER, read=PATIENCE)
        )

    async def live(self, until: float, tries: list[Try]) -> None:
        """Begin new tries until that moment of the run, and end the last."""
        async with self._client:
            while self._clock() < until:
                one = Try(self._clock())
                tries.append(one)
                try:
                    async with asyncio.timeout(PATIENCE):
                        await self.once(one)
                    one.outcome = "success"
                except Failed as failed:
                    one.outcome = str(failed)
                except TimeoutError:
                    one.outcome = f"{one.step}: not within {PATIENCE:.0f} s"
                except httpx.HTTPError as error:
                    one.outcome = f"{one.step}: {type(error).__name__}"
                one.seconds = self._clock() - one.began

    async def once(self, one: Try) -> None:
        """What a user does again and again: a photo, from the upload to its answer."""
        content = self._photos.another()
        wanted = {"content_type": "image/jpeg", "size_bytes": len(content)}
        upload = (await self._ask(one, "POST", f"{API}/uploads", json=wanted)).json()
        one.step = "store"
        stored = await self._client.post(upload["url"], data=upload["fields"], files={"file": ("photo.jpg", content)})
        if stored.status_code not in (200, 204):
            raise Failed(f"store {stored.status_code}")
        key = {"Idempotency-Key": upload["image_key"]}
        accepted = await self._ask(one, "POST", f"{API}/analyses", json={"image_key": upload["image_key"]}, headers=key)
        path = f"{API}/analyses/{accepted.json()['id']}"
        while (done := await self._follow(one, path)) is None:
            pass
        if done["status"] != "success":
            raise Failed(f"analysis {done.get('error_code')}")

    async def _ask(
        self, one: Try, method: str, path: str, json: dict[str, Any], headers: dict[str, str] | None = None
    ) -> httpx.Response:
        one.step = path
        while True:
            answer = await self._client.request(method, path, headers=self._signed(headers), timeout=ANSWER, json=json)
            if answer.is_success:
                return answer
            await self._wait_out(one, answer)

    async def _follow(self, one: Try, path: str) -> dict[str, str] | None:
        """The analysis at its end; None for a stream that ended before."""
        one.step = "events"
        async with self._client.stream("GET", f"{path}/events", headers=self._signed()) as answer:
            if not answer.is_success:
                await answer.aread()
                await self._wait_out(one, answer)
                return None
            event = ""
            async for line in answer.aiter_lines():
                if line.startswith("event: "):
                    event = line.removeprefix("event: ")
                elif line.startswith("data: ") and event in ("done", "failed", "error"):
                    found: dict[str, str] = msgspec.json.decode(line.removeprefix("data: "))
                    return found
        return None

    async def _wait_out(self, one: Try, answer: httpx.Response) -> None:
        after = answer.headers.get("retry-after")
        if answer.status_code not in (429, 503) or after is None:
            raise Failed(f"{answer.request.method} {answer.status_code}")
        if "gateway" in answer.json().get("type", ""):
            raise Failed("the gateway takes the service for away")
        one.refused += 1
        await asyncio.sleep(float(after) * random.uniform(1.0, 1.2))

    def _signed(self, more: dict[str, str] | None = None) -> dict[str, str]:
        if time.monotonic() > self._renew_at:
            self._token, self._renew_at = access_token(self._keys, self._id, self._id), time.monotonic() + 600
        return {"Authorization": f"Bearer {self._token}"} | (more or {})


async def crowd(
    gateway: str,
    count: int,
    keys: Keys,
    seconds: float,
    clock: Callable[[], float],
    kind: type[User] = User,
    photos: Photos | None = None,
) -> list[Try]:
    """Let so many users of a kind live for that time; they arrive within its first eighth."""
    tries: list[Try] = []
    context, photos = ssl.create_default_context(), photos or Photos()

    async def arrive(number: int) -> None:
        await asyncio.sleep(seconds / 8 * number / count)
        await kind(gateway, number, keys, photos, context, clock).live(seconds, tries)

    await asyncio.gather(*(arrive(number) for number in range(count)))
    return tries


def outcomes(tries: list[Try]) -> Counter[str]:
    """How often which."""
    return Counter(one.outcome for one in tries)
