"""Cold start: from exec to the first 200 that a database answered, and memory, in an environment as lean as an image's.

Both environments are made from the lock file: one with what an API service's image holds, one with Litestar, uvicorn and
psycopg alone.
"""

import os
import re
import statistics
import subprocess
import sys
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import psutil

from runtime.services import ROOT
from tests.bench._load import free_port
from tests.bench._system import system

RUNS = 9
BUILD = ROOT / "build"
UV = Path(sys.executable).with_name("uv")

BARE = """
import gc; gc.disable()
import os, sys, uvicorn
from litestar import Litestar, get
from psycopg_pool import AsyncConnectionPool
pool = AsyncConnectionPool(os.environ["DSN"], kwargs={"autocommit": True}, min_size=1, max_size=4, open=False)

@get("/readyz")
async def ready() -> dict[str, str]:
    async with pool.connection() as conn:
        await conn.execute("SELECT 1")
    return {"status": "ready"}

app = Litestar([ready], openapi_config=None, logging_config=None, on_startup=[pool.open], on_shutdown=[pool.close])
gc.freeze(); gc.enable()
uvicorn.run(app, port=int(sys.argv[1]), log_config=None, access_log=False, http="httptools", loop="uvloop", ws="none")
"""


def _environment(name: str, roots: list[str]) -> Path:
    """A virtual environment in build/ with these distributions and what they need, in the locked versions."""
    folder = BUILD / f"bench-{name}"
    python = folder / "bin" / "python"
    # The lock's versions as constraints; hashes are checked where the lock is installed as a whole (make install).
    locked = re.findall(r"^([a-z0-9][a-z0-9._-]*==[^ ;\\]+)", (ROOT / "locks/dev.txt").read_text(), re.M)
    constraints = BUILD / "bench-constraints.txt"
    constraints.parent.mkdir(exist_ok=True)
    constraints.write_text("\n".join(locked) + "\n")
    subprocess.run([UV, "venv", "--quiet", "--allow-existing", "--python", sys.executable, folder], check=True)
    install = [UV, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, "-c", constraints, *roots]
    subprocess.run(install, check=True)
    return python


def _start(argv: list[str], port: int, environment: dict[str, str]) -> tuple[float, float, float]:
    """Seconds to the first 200, CPU seconds by then, and PSS in MiB a second later."""
    environment = {"PATH": os.environ["PATH"], **environment}
    started = time.perf_counter()
    process = subprocess.Popen(argv, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not _answers(port):
            if process.poll() is not None or time.perf_counter() - started > 60:
                raise RuntimeError(f"{argv[:3]} did not start")
            time.sleep(0.002)
        seconds = time.perf_counter() - started
        times = psutil.Process(process.pid).cpu_times()
        time.sleep(1.5)
        memory = psutil.Process(process.pid).memory_full_info().pss / 2**20
        return seconds, times.user + times.system, memory
    finally:
        process.terminate()
        process.wait(20)


def _answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def run() -> list[dict[str, Any]]:
    base = ["dramatiq", "httptools", "httpx", "litestar", "msgspec", "prometheus-client", "psycopg[binary]"]
    base += ["psycopg-pool", "pyjwt[crypto]", "redis", "uvicorn", "uvloop"]
    ours = _environment("service", base)
    waste = _environment("waste", [*base, "botocore"])
    bare = _environment("bare", ["httptools", "litestar", "psycopg[binary]", "psycopg-pool", "uvicorn", "uvloop"])
    rows: list[dict[str, Any]] = []
    with system() as (environment, _, _):
        subprocess.run([ours, "-m", "compileall", "-q", "functions", "shared", "runtime"], cwd=ROOT, check=True)
        kinds = {
            "bare": lambda port: ([str(bare), "-c", BARE, str(port)], {"DSN": environment["API_USERS_DB_URL"]}),
            "ours": lambda port: (
                [str(ours), "-m", "runtime.http.host", "location"],
                environment | {"PORT": str(port)},
            ),
            "waste": lambda port: ([str(waste), "-m", "runtime.http.host", "waste"], environment | {"PORT": str(port)}),
        }
        results: dict[str, list[tuple[float, float, float]]] = {kind: [] for kind in kinds}
        for round_ in range(RUNS + 1):
            for kind, make in kinds.items():
                port = free_port()
                argv, env = make(port)
                result = _start(argv, port, env)
                if round_:
                    results[kind].append(result)
    for index, what, unit in ((0, "wall", "s"), (1, "CPU", "s")):
        mine = [result[index] for result in results["ours"]]
        raw = [result[index] for result in results["bare"]]
        rows.append(
            {
                "name": f"cold start to the first 200, {what}",
                "ours": statistics.median(mine),
                "raw": statistics.median(raw),
                "ratio": statistics.median(a / b for a, b in zip(mine, raw, strict=True)),
                "budget": "≤ 1.15 ×",
                "unit": unit,
            }
        )
    for kind, budget in (("ours", 55), ("waste", 65)):
        memory = statistics.median(result[2] for result in results[kind])
        name = "memory of a service" if kind == "ours" else "memory of waste (object store)"
        raw_memory = statistics.median(result[2] for result in results["bare"])
        row = {"name": name, "ours": memory, "raw": raw_memory, "ratio": memory / raw_memory}
        rows.append(row | {"budget": f"≤ {budget} MiB", "unit": "MiB PSS"})
    return rows
