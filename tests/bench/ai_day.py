"""What a day of photos and questions costs at an OpenAI-compatible provider, with the cache and without it.

The provider is the emulator's stub, which counts tokens about as a real one does; prices are the settings' defaults. People
send the same things again: photos are drawn from a few, some recompressed, questions from the evaluation's, by 1/rank.
"""

import hashlib
import os
import random
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from emulator.servers.ai_stub import Stub
from functions.storage.images import make_copies
from shared.redis import connect
from tests import support
from tests.bench._system import system
from tests.eval import parts
from tests.eval.at_work import AtWork
from tests.eval.photographs import labels, skimage_folder
from tests.eval.questions import OFF
from tests.eval.questions import read as read_questions

PHOTOS = 120
QUESTIONS = 120


def run() -> list[dict[str, Any]]:
    with (
        TemporaryDirectory(prefix="eco2-bench-") as name,
        system() as (environment, _, _),
        Stub() as stub,
        support.s3(Path(name)) as s3,
        parts.services(environment) as calls,
    ):
        wanted = environment | {
            "S3_ENDPOINT_URL": s3.url,
            "S3_BUCKET": s3.bucket,
            "AWS_ACCESS_KEY_ID": s3.access_key,
            "AWS_SECRET_ACCESS_KEY": s3.secret_key,
            "OPENAI_BASE_URL": stub.url,
            "OPENAI_API_KEY": "stub",
            "AI_PERSON_DOLLARS": "1000",
            "AI_PERSON_TOKENS": "1000000000",
        }
        before = dict(os.environ)
        os.environ.update(wanted)
        try:
            with_cache = _day(environment, AtWork(calls), lambda: None)
            without = _day(environment, AtWork(calls), connect(environment["CACHE_REDIS_URL"]).flushall)
        finally:
            os.environ.clear()
            os.environ.update(before)
    note = f"{PHOTOS} photos and {QUESTIONS} questions; with the cache beside without it"
    return [
        {
            "name": f"a day at a paid provider: {what}",
            "ours": round(ours, 4),
            "raw": round(raw, 4),
            "ratio": round(ours / raw, 3),
            "unit": unit,
            "note": note,
        }
        for what, unit, ours, raw in zip(("cost", "time"), ("USD", "s"), with_cache, without, strict=True)
    ]


def _day(environment: dict[str, str], at_work: AtWork, between: Callable[[], object]) -> tuple[float, float]:
    """Dollars and seconds of the same day; `between` runs before each task."""
    broker = connect(environment["BROKER_REDIS_URL"])
    for key in broker.keys("spend:*"):
        broker.delete(key)
    connect(environment["CACHE_REDIS_URL"]).flushall()
    chance = random.Random(5)
    photos, questions = _photos(), [one for one in read_questions() if one.kind != OFF]
    begun = time.perf_counter()
    for _ in range(PHOTOS):
        between()
        photo = _often(chance, photos)
        if chance.random() < 0.3:
            photo = _recompressed(photo)
        at_work.objects.put("images/day/web.jpg", photo, content_type="image/jpeg")
        at_work.classify("images/day/web.jpg", hashlib.sha256(photo).hexdigest(), spender="day")
    for _ in range(QUESTIONS):
        between()
        at_work.ask(_often(chance, questions).text, spender="day")
    seconds = time.perf_counter() - begun
    micros = sum(int(broker.hget(key, "micros") or 0) for key in broker.keys("spend:*:system"))  # type: ignore[arg-type]  # redis-py types an answer as awaitable too
    return micros / 1_000_000, seconds


def _often(chance: random.Random, things: list[Any]) -> Any:
    """One of them, the first more often than the last: by 1/rank."""
    return chance.choices(things, [1 / rank for rank in range(1, len(things) + 1)])[0]


def _photos() -> list[bytes]:
    names = [photo.name.partition("/")[2] for photo in labels() if photo.name.startswith("skimage/")]
    return [make_copies((skimage_folder() / name).read_bytes()).web for name in names]


def _recompressed(photo: bytes) -> bytes:
    target = BytesIO()
    Image.open(BytesIO(photo)).save(target, "JPEG", quality=70)
    return target.getvalue()
