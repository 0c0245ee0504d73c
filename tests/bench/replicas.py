"""Replicas of the waste service and its workers: 1, 2 and 4 of each. On two cores the shape counts, and that all is done once."""

import asyncio
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from tests.emulator.conftest import Emulator, make
from tests.emulator.recording.scenes import Visitor

COUNTS = (1, 2, 4)
SECONDS = 4.0
CONNECTIONS = 16
PHOTOS = 24


def _requests(emulator: Emulator, person: Visitor) -> float:
    """Requests a second of a read by its owner, over several connections."""

    async def all_of_them() -> int:
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        async with httpx.AsyncClient(headers=person.headers, trust_env=False, limits=limits) as client:
            end = time.perf_counter() + SECONDS

            async def one() -> int:
                done = 0
                while time.perf_counter() < end:
                    answer = await client.get(f"{emulator.url}/api/v1/waste/analyses")
                    # With a Retry-After where more come than one person may ask for.
                    done += answer.status_code == 200
                return done

            return sum(await asyncio.gather(*(one() for _ in range(CONNECTIONS))))

    return asyncio.run(all_of_them()) / SECONDS


def _tasks(emulator: Emulator, person: Visitor) -> float:
    """Photographs a second from acceptance to the end of all their tasks."""
    keys = [person.upload() for _ in range(PHOTOS)]

    def accept(key: str) -> str:
        found: str = person.ask("POST", "/waste/analyses", 202, json={"image_key": key})["id"]
        return found

    started = time.perf_counter()
    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(accept, keys))
    while emulator.sql("SELECT count(*) FROM waste.outbox") != "0":
        time.sleep(0.05)
    took = time.perf_counter() - started
    known = ", ".join(f"'{id_}'" for id_ in ids)
    ended = f"SELECT count(*) FROM waste.analyses WHERE status = 'success' AND id IN ({known})"
    assert emulator.sql(ended) == str(PHOTOS)
    return PHOTOS / took


def _once(emulator: Emulator) -> None:
    """Every task ran once, and has one result."""
    emulator.eco2("clock", "advance", "6m")  # the syncers' time
    deadline = time.monotonic() + 60
    total = "SELECT count(*) FROM tasks.task_results WHERE status = 'success' AND task_name = 'classify_photo'"
    while emulator.sql(total) != str(PHOTOS * len(COUNTS) + 1):
        assert time.monotonic() < deadline, f"{emulator.sql(total)} photographs have a record"
        time.sleep(0.2)
    assert emulator.sql("SELECT count(*) FROM tasks.task_results WHERE runs > 1") == "0"
    assert emulator.sql("SELECT count(*) - count(DISTINCT s3_key) FROM waste.images") == "0"


def run() -> list[dict[str, Any]]:
    model = Path(tempfile.mkdtemp(prefix="eco2-bench-model-"))
    rows: list[dict[str, Any]] = []
    try:
        emulator = make(model)
        try:
            emulator.up()
            person = Visitor(emulator.url)
            person.register()
            person.log_in()
            person.photograph()
            base: dict[str, float] = {}
            for count in COUNTS:
                emulator.eco2("scale", f"api-waste={count}", f"worker-storage={count}", f"worker-ai={count}")
                person.log_in()
                for name, measure in (("requests", _requests), ("photographs", _tasks)):
                    found = measure(emulator, person)
                    base.setdefault(name, found)
                    rows.append(
                        {
                            "name": f"{name} a second, {count} of each",
                            "ours": found,
                            "raw": base[name],
                            "ratio": found / base[name],
                            "unit": "1/s",
                        }
                    )
            _once(emulator)
            emulator.down()
            started = time.perf_counter()
            emulator.eco2(
                *("up", "--detach", "--port", str(emulator.port)),
                *("--replicas", "api-waste=3,worker-storage=3,worker-ai=3"),
            )
            rows.append({"name": "up, with 3 of each", "ours": time.perf_counter() - started, "unit": "s"})
        finally:
            emulator.destroy()
    finally:
        shutil.rmtree(model)
    return rows
