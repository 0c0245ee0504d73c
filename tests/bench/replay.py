"""A recording: what it costs a request, and how long its replay of 100 requests takes."""

import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from tests.emulator.conftest import Emulator, make
from tests.emulator.recording.scenes import Visitor, a_day

REQUESTS = 100
EACH = 300


def _get(emulator: Emulator) -> float:
    """Milliseconds of a small GET through the gateway, the median of many."""
    taken = []
    with httpx.Client(base_url=emulator.url, trust_env=False) as client:
        for _ in range(EACH):
            started = time.perf_counter()
            assert client.get("/api/v1/recycle/categories").status_code == 200
            taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken)


def run() -> list[dict[str, Any]]:
    model = Path(tempfile.mkdtemp(prefix="eco2-bench-model-"))
    emulator = make(model)
    try:
        emulator.up()
        _get(emulator)
        without = _get(emulator)
        emulator.eco2("record", "on", "cost")
        recorded = _get(emulator)
        emulator.eco2("record", "off")
        started = time.perf_counter()
        emulator.eco2("record", "on", "hundred")
        begun = time.perf_counter() - started
        person = a_day(emulator.url)
        for number in range(REQUESTS - 15):
            reader = person if number % 3 else Visitor(emulator.url)
            reader.ask("GET", "/recycle/search", 200, params={"q": f"페트병 {number}"})
        emulator.eco2("record", "off")
        started = time.perf_counter()
        done = emulator.eco2("replay", "hundred", timeout=300)
        took = time.perf_counter() - started
        assert f"no difference in {REQUESTS} requests" in done.stdout, done.stdout
        started = time.perf_counter()
        emulator.eco2("replay", "cost", timeout=300)
        empty = time.perf_counter() - started
    finally:
        emulator.destroy()
        shutil.rmtree(model)
    return [
        {"name": "a small GET, recorded", "ours": recorded, "raw": without, "ratio": recorded / without, "unit": "ms"},
        {"name": "record on, the state's copy with it", "ours": begun, "unit": "s"},
        {
            "name": f"replay of {REQUESTS} requests",
            "ours": took,
            "unit": "s",
            "note": f"a photo and a question among them, start and end of the second system included; {EACH} GETs: {empty:.1f} s",
        },
    ]
