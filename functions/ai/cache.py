"""Answers that were given before, in the cache's Redis: the same photo, nearly the same photo, the same question.

Everything here can be computed again. A cache that is away is a cache that knows nothing.
"""

from __future__ import annotations

import hashlib
import logging
import unicodedata
from io import BytesIO
from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec import Struct

from shared import clock
from shared.messages import Classification

if TYPE_CHECKING:
    import redis

log = logging.getLogger(__name__)

KEPT = 7 * 86_400
"""Seconds for which an answer is given again."""

DISTANCE = 3
"""Bits in which the perceptual hashes of two photos may differ for one answer; measured in docs/AI.md."""

TONES = 16
"""Levels (of 256) by which no red, green or blue of the two photos' 16 by 16 pictures may differ.

The hash alone would take a photo in 3,000 for another one: that is many false answers beside a week's photos.
"""

_BITS = 64
# Two hashes within DISTANCE bits agree wholly in at least one of DISTANCE + 1 parts: such a part finds its neighbours.
_PARTS = DISTANCE + 1
_PART_BITS = _BITS // _PARTS

T = TypeVar("T")


class _Kept(Struct, frozen=True):
    """An answer and when it was given: the clock decides its age, Redis only tidies up."""

    at: float
    answer: msgspec.Raw


class Look(Struct, frozen=True):
    """What a photo looks like: its perceptual hash, and 16 by 16 pixels of red, green and blue to be sure."""

    bits: int
    tones: bytes

    def distance(self, other: Look) -> int | None:
        """Bits by which the hashes differ; None for another photo."""
        bits = (self.bits ^ other.bits).bit_count()
        if bits > DISTANCE or len(self.tones) != len(other.tones):
            return None
        if any(abs(one - two) > TONES for one, two in zip(self.tones, other.tones, strict=True)):
            return None
        return bits


class _Seen(Struct, frozen=True):
    """A photo's look and the answer to it."""

    look: Look
    at: float
    answer: Classification


def look(photo: bytes) -> Look:
    """The hash has a bit for each pair of neighbours of a 9 by 8 grey picture: whether it gets brighter (dHash)."""
    from PIL import Image  # for who pays for a look at photos: 4 MB

    with Image.open(BytesIO(photo), formats=("JPEG", "PNG", "WEBP")) as image:
        image.draft("RGB", (128, 128))
        colours = image.convert("RGB")
    pixels = colours.convert("L").resize((9, 8), Image.Resampling.BOX).tobytes()
    tones = colours.resize((16, 16), Image.Resampling.BOX).tobytes()
    bits = 0
    for row in range(8):
        for column in range(8):
            bits = bits << 1 | (pixels[row * 9 + column] < pixels[row * 9 + column + 1])
    return Look(bits, tones)


def question_key(*parts: str) -> str:
    """A key for a question with all that its answer rests on, the same for spellings that differ in form alone."""
    text = "\x1f".join(" ".join(unicodedata.normalize("NFKC", part).casefold().split()) for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()


class Cache:
    """Safe to use from several threads."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def get(self, kind: str, key: str, form: type[T]) -> T | None:
        """The answer kept under a key, or None."""
        from redis.exceptions import RedisError

        try:
            raw = self._client.get(f"ai:{kind}:{key}")
        except (RedisError, OSError) as error:
            log.debug("cache away: %s", error)
            return None
        if not isinstance(raw, str | bytes):
            return None
        try:
            kept = msgspec.json.decode(raw, type=_Kept)
            return msgspec.json.decode(kept.answer, type=form) if clock.time() - kept.at < KEPT else None
        except msgspec.MsgspecError:
            # Written by another version of this code.
            return None

    def put(self, kind: str, key: str, answer: object) -> None:
        """Keep an answer."""
        from redis.exceptions import RedisError

        kept = msgspec.json.encode(_Kept(clock.time(), msgspec.Raw(msgspec.json.encode(answer))))
        try:
            self._client.set(f"ai:{kind}:{key}", kept, ex=KEPT)
        except (RedisError, OSError) as error:
            log.debug("cache away: %s", error)

    def near(self, model: str, wanted: Look) -> Classification | None:
        """The answer to the photo that looks most like it, if one looks the same, or None."""
        from redis.exceptions import RedisError

        try:
            pipe = self._client.pipeline(transaction=False)
            for key in _part_keys(model, wanted.bits):
                pipe.lrange(key, 0, _LONGEST)
            found = pipe.execute()
        except (RedisError, OSError) as error:
            log.debug("cache away: %s", error)
            return None
        best, answer = DISTANCE + 1, None
        for raw in {entry for entries in found for entry in entries}:
            try:
                seen = msgspec.json.decode(raw, type=_Seen)
            except msgspec.MsgspecError:
                continue
            distance = wanted.distance(seen.look)
            if distance is not None and distance < best and clock.time() - seen.at < KEPT:
                best, answer = distance, seen.answer
        return answer

    def put_near(self, model: str, seen: Look, answer: Classification) -> None:
        """Keep the answer to a photo for photos that look like it."""
        from redis.exceptions import RedisError

        raw = msgspec.json.encode(_Seen(seen, clock.time(), answer))
        try:
            pipe = self._client.pipeline(transaction=False)
            for key in _part_keys(model, seen.bits):
                pipe.lpush(key, raw)
                pipe.ltrim(key, 0, _LONGEST)
                pipe.expire(key, KEPT)
            pipe.execute()
        except (RedisError, OSError) as error:
            log.debug("cache away: %s", error)


# Photos kept under one part: a plain picture (all bits 0) has many relatives, and none may make the list long.
_LONGEST = 63


def _part_keys(model: str, bits: int) -> list[str]:
    mask = (1 << _PART_BITS) - 1
    return [f"ai:near:{model}:{n}:{bits >> n * _PART_BITS & mask:x}" for n in range(_PARTS)]
