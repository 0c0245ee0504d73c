"""Photos a second of the ai worker, from queue to result, beside onnxruntime alone on the same network and one thread.

Both in processor time, so that what else runs on the machine counts for neither: photos per second of one core kept busy.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

from emulator.redis import RedisServer
from functions.ai import model_build
from functions.ai.labels import MODEL
from functions.storage.images import make_copies
from runtime.broker import Broker
from runtime.relay import Row, to_message
from shared import clock
from shared.ids import new_id
from shared.objects import ObjectStore
from shared.settings import Settings
from tests import support

PHOTOS = 150
WARM = 30
LIMIT = timedelta(minutes=10)

RAW = """
import sys, time
import numpy as np
from pathlib import Path
from functions.ai.embedded import Classifier
classifier = Classifier(Path(sys.argv[1]))
images = np.random.default_rng(1).integers(0, 255, (8, 1, classifier.side, classifier.side, 3), dtype=np.uint8)
for image in images: classifier.run(image)
begun = time.process_time()
for number in range(80): classifier.run(images[number % 8])
print((time.process_time() - begun) / 80)
"""


def photograph() -> bytes:
    """A photograph of scikit-image's wheel in the size of a phone's, as the storage worker keeps it."""
    import skimage

    source = Image.open(Path(skimage.__file__).parent / "data" / "coffee.png").convert("RGB")
    target = BytesIO()
    source.resize((3200, 2400)).save(target, "JPEG", quality=90)
    return make_copies(target.getvalue()).thumbnail


def run() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="eco2-bench-") as name:
        folder = Path(name)
        path, _ = model_build.write(folder / "model", MODEL)
        raw = float(_python("-c", RAW, str(path)))
        redis = [RedisServer(folder, kind).start() for kind in ("broker", "cache")]
        try:
            with support.s3(folder) as s3:
                ours, memory = _worker(folder, redis[0].url, redis[1].url, s3)
        finally:
            for server in redis:
                server.stop()
    return [
        {
            "name": "photos a core-second of the ai worker, queue to result",
            "ours": round(1 / ours, 1),
            "raw": round(1 / raw, 1),
            "ratio": round(raw / ours, 3),
            "budget": "≥ 0.8",
            "unit": "1/s",
            "note": f"{MODEL}; a 400-pixel JPEG fetched from the object store for each photo",
        },
        {"name": "memory of the ai worker, unique", "ours": round(memory, 1), "budget": "≤ 256", "unit": "MiB"},
    ]


def _python(*arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=True
    ).stdout


def _worker(folder: Path, broker_url: str, cache_url: str, s3: support.S3) -> tuple[float, float]:
    """Processor seconds a photo, and MiB of its own at the end."""
    given = {
        "S3_ENDPOINT_URL": s3.url,
        "S3_BUCKET": s3.bucket,
        "AWS_ACCESS_KEY_ID": s3.access_key,
        "AWS_SECRET_ACCESS_KEY": s3.secret_key,
    }
    store = ObjectStore(Settings(**{name.lower(): value for name, value in given.items()}))
    store.put("images/bench/thumb.jpg", photograph(), content_type="image/jpeg")
    environment = given | {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "WORKER_DB_URL": "postgresql://nobody@127.0.0.1:9/none",
        "BROKER_REDIS_URL": broker_url,
        "CACHE_REDIS_URL": cache_url,
        "CDN_BASE_URL": "http://127.0.0.1:9",
        "JOURNAL_PATH": str(folder / "worker.db"),
        "MODEL_DIR": str(folder / "model"),
        "SERVICE_URLS": "api-recycle-info=http://127.0.0.1:9,api-location=http://127.0.0.1:9",
        "LOG_LEVEL": "warning",
    }
    process = psutil.Popen([sys.executable, "-m", "runtime.worker", "ai"], env=environment, stdout=subprocess.DEVNULL)
    broker = Broker(broker_url)
    try:
        _send(broker, 0, WARM)
        _wait(process, broker, WARM)
        before = process.cpu_times()
        _send(broker, WARM, PHOTOS)
        _wait(process, broker, WARM + PHOTOS)
        after = process.cpu_times()
        memory = process.memory_full_info().uss / (1 << 20)
    finally:
        broker.close()
        process.terminate()
        process.wait(20)
    return (after.user + after.system - before.user - before.system) / PHOTOS, memory


def _send(broker: Broker, first: int, count: int) -> None:
    for number in range(first, first + count):
        # Of another content by its hash, so that none is answered from the cache.
        arguments = {
            "image_key": "images/bench/thumb.jpg",
            "thumbnail_key": "images/bench/thumb.jpg",
            "content_hash": hashlib.sha256(str(number).encode()).hexdigest(),
        }
        row = Row(new_id(), "ai/classify_photo", arguments, "owner/took", new_id(), None, clock.now(), LIMIT, 1, 0)
        broker.publish([to_message("owner", row)])


def _wait(process: psutil.Popen, broker: Broker, count: int) -> None:
    while broker.depth("owner") < count:
        if process.poll() is not None:
            raise RuntimeError("the worker has ended")
        time.sleep(0.05)
