"""Photos a second of the ai worker, from queue to result, beside onnxruntime alone on the same views of one thread.

Both on one and the same core, with the servers and this process on the others, turn by turn, and in processor time: photos
per second of that core kept busy. The networks take the same looks at the same photographs, as often, in both.
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
from pathlib import Path
from typing import Any

import msgspec
import psutil

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
from tests.bench import photographs

PHOTOS = 50
WARM = 20
ROUNDS = 5
SIZE = (2048, 1536)  # as a telephone's browser sends it
LIMIT = timedelta(minutes=10)
STUCK = 60.0  # seconds without an answer after which there is none to come

RAW = """
import sys, time
from pathlib import Path
from functions.ai.embedded import Classifier, opened, views
from functions.ai.judging import Look, read_judge
from functions.ai.stages import judged
classifier, judge, looks = Classifier(Path(sys.argv[1])), read_judge(), []
for photo in sorted(Path(sys.argv[2]).iterdir()):
    images = views(opened(photo.read_bytes()))
    def see(network, view):
        image = classifier.networks[network].fitting(images[view])[None]
        looks.append((classifier.networks[network].session, image))
        features, logits = looks[-1][0].run(["features", "logits"], {"image": image})
        return Look(network, features[0], logits[0])
    judged(judge, see)
print(len(looks), flush=True)
for line in sys.stdin:
    begun = time.process_time()
    for session, image in looks: session.run(["features", "logits"], {"image": image})
    print(time.process_time() - begun, flush=True)
"""


def thumbnails() -> list[bytes]:
    """As the storage worker keeps them."""
    return [make_copies(content).thumbnail for content in photographs.pictures(PHOTOS, SIZE)]


def run() -> list[dict[str, Any]]:
    cores = sorted(os.sched_getaffinity(0))
    # The last core is for what is measured; on a machine of one core everything shares it.
    os.sched_setaffinity(0, cores[:-1] or cores)
    try:
        with tempfile.TemporaryDirectory(prefix="eco2-bench-") as name:
            pairs, looks, memory = _measured(Path(name), cores[-1])
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
            "note": f"{MODEL}; {PHOTOS} {photographs.KIND}, {looks / PHOTOS:.1f} looks each; a 400-pixel JPEG fetched from the"
            f" object store for each; medians of {ROUNDS} rounds",
        },
        {"name": "memory of the ai worker, unique", "ours": round(memory, 1), "budget": "≤ 200", "unit": "MiB"},
    ]


def _measured(folder: Path, core: int) -> tuple[list[tuple[float, float]], int, float]:
    """Processor seconds a photo of the worker and of onnxruntime, round by round, looks at all photos, the worker's own MiB."""
    model_build.write(folder / "model")
    photos = folder / "photos"
    photos.mkdir()
    for number, content in enumerate(thumbnails()):
        (photos / f"{number:03}").write_bytes(content)
    redis = [RedisServer(folder, kind).start() for kind in ("broker", "cache")]
    try:
        with support.s3(folder) as s3:
            environment = _environment(folder, redis[0].url, redis[1].url, s3)
            given: dict[str, Any] = {name.lower(): environment[name] for name in _STORE}
            store = ObjectStore(Settings(**given))
            for number, photo in enumerate(sorted(photos.iterdir())):
                store.put(_key(number), photo.read_bytes(), content_type="image/jpeg")
            with _started(environment, core, "-m", "runtime.delivery.worker", "ai") as worker:
                with _started(environment, core, "-c", RAW, str(folder / "model"), str(photos)) as raw:
                    looks = int(raw.stdout.readline())
                    broker = Broker(redis[0].url)
                    _take(worker, broker, 0, WARM)
                    pairs = [
                        (_take(worker, broker, WARM + round_ * PHOTOS, PHOTOS), _asked(raw)) for round_ in range(ROUNDS)
                    ]
                    broker.close()
                return pairs, looks, worker.memory_full_info().uss / (1 << 20)
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


def _key(number: int) -> str:
    return f"images/bench/{number}/thumb.jpg"


def _asked(raw: psutil.Popen) -> float:
    """Processor seconds a photo of onnxruntime alone."""
    raw.stdin.write("\n")
    raw.stdin.flush()
    return float(raw.stdout.readline()) / PHOTOS


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
        key = _key(number % PHOTOS)
        message = ClassifyPhoto(key, hashlib.sha256(str(number).encode()).hexdigest(), key, "bench")
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
