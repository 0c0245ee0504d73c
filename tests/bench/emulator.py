"""The emulator: how long it takes to start, to reload a function, to save and restore a snapshot, and what it takes up."""

import contextlib
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.bench.costs import EACH, Scene
from tests.emulator.conftest import ROOT, Emulator, make

IDLE = 20.0  # seconds that the idle system is watched


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _family(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def _idle(pid: int) -> tuple[float, float]:
    """MB of PSS, and per cent of a core, of the system left alone."""
    time.sleep(5)
    before = {process.pid: sum(process.cpu_times()[:2]) for process in _family(pid)}
    time.sleep(IDLE)
    after = _family(pid)
    used = sum(sum(process.cpu_times()[:2]) - before.get(process.pid, 0.0) for process in after)
    return _memory(after), used / IDLE * 100


def _memory(processes: list[psutil.Process]) -> float:
    """MB of PSS of all of them: what they share is counted once."""
    found = 0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # PostgreSQL's helpers come and go
            found += process.memory_full_info().pss
    return found / 1e6


def _used(emulator: Emulator) -> float:
    """MB of PSS after someone has sent photographs and heard the answers."""
    # Before the photographs: to say how it is, each part asks its stores, and opens a connection for that.
    pid = int(emulator.about["pid"])
    scene = Scene(emulator)
    scene.photos([scene.person()], range(EACH))
    time.sleep(12)  # workers that have nothing to do give memory back, within two beats
    return _memory(_family(pid))


def _reload(emulator: Emulator, file: Path) -> float:
    """From the save to the line that says it is done."""
    log = emulator.folder / "logs" / "eco2.log"
    seen = log.read_text().count("reloaded ")
    started = time.perf_counter()
    file.write_text(file.read_text() + "\n")
    while log.read_text().count("reloaded ") == seen and time.perf_counter() - started < 60:
        time.sleep(0.005)
    return time.perf_counter() - started


def run() -> list[dict[str, Any]]:
    """The rows. A checkout of its own: the reload is measured by writing into files."""
    checkout = Path(tempfile.mkdtemp(prefix="eco2-checkout-"))
    model = Path(tempfile.mkdtemp(prefix="eco2-model-"))
    for name in ("functions", "shared", "runtime", "emulator", "k8s", "locks"):
        shutil.copytree(ROOT / name, checkout / name)
    shutil.copy(ROOT / "pyproject.toml", checkout)
    emulator = make(model)
    emulator.root = checkout
    try:
        first = _seconds(emulator.up)
        emulator.down()
        again = []
        for _ in range(3):
            again.append(_seconds(emulator.up))
            pss, cpu = _idle(int(emulator.about["pid"])) if len(again) == 3 else (0.0, 0.0)
            if len(again) < 3:
                emulator.down()
        used = _used(emulator)
        reloads = [_reload(emulator, checkout / "functions/recycle_info/list_categories.py") for _ in range(5)]
        save = _seconds(lambda: emulator.eco2("snapshot", "save", "bench"))
        restore = _seconds(lambda: emulator.eco2("snapshot", "restore", "bench", "--yes"))
    finally:
        emulator.destroy()
        shutil.rmtree(checkout)
        shutil.rmtree(model)
    command = "with the start of the command line, 0.15 s of it"
    return [
        {
            "name": "up, the first time",
            "ours": first,
            "budget": 10,
            "unit": "s",
            "note": "the classifier's file is built too",
        },
        {"name": "up, with state", "ours": statistics.median(again), "budget": 4, "unit": "s"},
        {"name": "reload of a saved function", "ours": statistics.median(reloads), "budget": 0.5, "unit": "s"},
        {"name": "idle memory of the whole system", "ours": pss, "budget": 350, "unit": "MB PSS"},
        {"name": "memory of the whole system after photos", "ours": used, "budget": 450, "unit": "MB PSS"},
        {"name": "idle CPU of the whole system", "ours": cpu, "budget": 3, "unit": "% of a core"},
        {"name": "snapshot save", "ours": save, "unit": "s", "note": command},
        {"name": "snapshot restore", "ours": restore, "budget": 1.5, "unit": "s", "note": command},
    ]
