"""Photos a second of the ai worker, from queue to result, beside onnxruntime alone on the same views of one thread.

Both on one and the same core, with the servers and this process on the others, turn by turn, and in processor time: photos
per second of that core kept busy. The network sees the same photograph, as often, in both.
"""

import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import psutil
from PIL import Image

from emulator.servers.redis import RedisServer
from functions.ai import model_build
from functions.ai.variants import MODEL
from functions.storage.images import make_copies
from runtime.delivery.broker import Broker
from runtime.delivery.envelope import task_message
from runtime.delivery.outbox import Row
from shared import clock
from shared.ids import new_id
from shared.messages import ClassifyPhoto
from shared.objects import ObjectStore
from shared.settings import Settings
from tests import support

PHOTOS = 50
WARM = 20
ROUNDS = 5
KEY = "images/bench/thumb.jpg"
LIMIT = timedelta(minutes=10)
STUCK = 60.0  # seconds without an answer after which there is none to come

RAW = """
import sys, time
from io import BytesIO
from pathlib import Path
from PIL import Image
from functions.ai.embedded import Classifier, views
classifier = Classifier(Path(sys.argv[1]))
image = views(Image.open(BytesIO(Path(sys.argv[2]).read_bytes())))
for _ in range(10): classifier.run(image)
for line in sys.stdin:
    begun = time.process_time()
    for _ in range(int(line)): classifier.run(image)
    print((time.process_time() - begun) / int(line), flush=True)
"""


def photograph() -> bytes:
    """A photograph of scikit-image's wheel in the size of a phone's, as the storage worker keeps it."""
    import skimage

    source = Image.open(Path(skimage.__file__).parent / "data" / "coffee.png").convert("RGB")
    target = BytesIO()
    source.resize((3200, 2400)).save(target, "JPEG", quality=90)
    return make_copies(target.getvalue()).thumbnail


def run() -> list[dict[str, Any]]:
    cores = sorted(os.sched_getaffinity(0))
    # The last core is for what is measured; on a machine of one core everything shares it.
    os.sched_setaffinity(0, cores[:-1] or cores)
    try:
        with tempfile.TemporaryDirectory(prefix="eco2-bench-") as name:
            pairs, memory = _measured(Path(name), cores[-1])
    finally:
        os.sched_setaffinity(0, cores)
    ours, raw = (statistics.median(times) for times in zip(*pairs, strict=True))
    return [
        {
            "name": "photos a core-second of the ai worker, queue to result",
            "ours": round(1 / ours, 1),
            "raw": round(1 / raw, 1),
            "ratio": round(statistics.median(raw / ours for ours, raw in pairs), 3),
            "budget": "≥ 0.9",
            "unit": "1/s",
            "note": f"{MODEL}; a 400-pixel JPEG fetched from the object store for each photo; medians of {ROUNDS} rounds",
        },
        {"name": "memory of the ai worker, unique", "ours": round(memory, 1), "budget": "≤ 200", "unit": "MiB"},
    ]


def _measured(folder: Path, core: int) -> tuple[list[tuple[float, float]], float]:
    """Processor seconds a photo of the worker and of onnxruntime, round by round, and the worker's MiB of its own."""
    model_build.write(folder / "model")
    photo = folder / "photo.jpg"
    photo.write_bytes(photograph())
    redis = [RedisServer(folder, kind).start() for kind in ("broker", "cache")]
    try:
        with support.s3(folder) as s3:
            environment = _environment(folder, redis[0].url, redis[1].url, s3)
            given: dict[str, Any] = {name.lower(): environment[name] for name in _STORE}
            store = ObjectStore(Settings(**given))
            store.put(KEY, photo.read_bytes(), content_type="image/jpeg")
            with _started(environment, core, "-m", "runtime.delivery.worker", "ai") as worker:
                with _started(environment, core, "-c", RAW, str(folder / "model"), str(photo)) as raw:
                    broker = Broker(redis[0].url)
                    _take(worker, broker, 0, WARM)
                    pairs = [
                        (_take(worker, broker, WARM + round_ * PHOTOS, PHOTOS), _asked(raw)) for round_ in range(ROUNDS)
                    ]
                    broker.close()
                return pairs, worker.memory_full_info().uss / (1 << 20)
    finally:
        for server in redis:
            server.stop()


_STORE = ("S3_ENDPOINT_URL", "S3_BUCKET", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def _environment(folder: Path, broker_url: str, cache_url: str, s3: support.S3) -> dict[str, str]:
    return dict(zip(_STORE, (s3.url, s3.bucket, s3.access_key, s3.secret_key), strict=True)) | {
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


@contextmanager
def _started(environment: dict[str, str], core: int, *arguments: str) -> Iterator[psutil.Popen]:
    """A Python process on that core alone, ended with the block."""
    process = psutil.Popen(
        [sys.executable, *arguments], env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        process.cpu_affinity([core])
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=20)


def _asked(raw: psutil.Popen) -> float:
    """Processor seconds a photo of onnxruntime alone."""
    raw.stdin.write(f"{PHOTOS}\n")
    raw.stdin.flush()
    return float(raw.stdout.readline())


def _take(worker: psutil.Popen, broker: Broker, first: int, count: int) -> float:
    """Processor seconds a photo of the worker, for so many photos."""
    before = worker.cpu_times()
    _send(broker, first, count)
    _wait(worker, broker, first + count)
    after = worker.cpu_times()
    return (after.user + after.system - before.user - before.system) / count


def _send(broker: Broker, first: int, count: int) -> None:
    for number in range(first, first + count):
        # Of another content by its hash, so that none is answered from the cache.
        message = ClassifyPhoto(KEY, hashlib.sha256(str(number).encode()).hexdigest(), KEY, "bench")
        row = Row(
            id=new_id(),
            actor="ai/classify_photo",
            message=msgspec.to_builtins(message),
            reply="owner/took",
            subject=new_id(),
            traceparent=None,
            created_at=clock.now(),
            time_limit=LIMIT,
        )
        broker.publish([task_message("owner", row)])


def _wait(process: psutil.Popen, broker: Broker, count: int) -> None:
    done, since = 0, time.monotonic()
    while (ended := broker.depth("owner")) < count:
        if process.poll() is not None:
            raise RuntimeError("the worker has ended")
        if ended > done:
            done, since = ended, time.monotonic()
        elif time.monotonic() - since > STUCK:
            raise RuntimeError(f"the worker has answered {ended} of {count} photos and none for {STUCK:.0f} s")
        time.sleep(0.05)
