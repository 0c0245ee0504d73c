"""The worker's and the syncer's processes: they start, say how they are, refuse what can't work, and stop when told."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from runtime import broker_keys as keys
from runtime.delivery.broker import Broker
from runtime.journal import journal as journals
from runtime.journal.file import open_file
from runtime.journal.journal import Journal
from runtime.journal.states import Ended, Start
from shared import clock
from shared.ids import new_id
from tests import web
from tests.runtime.delivery.test_endings import sent
from tests.runtime.owner import eventually

Popen = subprocess.Popen[str]


@contextmanager
def process(module: str, *words: str, **environment: str) -> Iterator[Popen]:
    child = subprocess.Popen(
        [sys.executable, "-m", module, *words],
        env={"PATH": os.environ["PATH"], **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.communicate()


def answer(port: int, path: str, child: Popen) -> httpx.Response:
    """The answer with a 200, or the last one of a minute in which there was none."""
    end = time.monotonic() + 60
    while True:
        over = child.poll() is not None or time.monotonic() > end
        try:
            found = web.get(f"http://127.0.0.1:{port}{path}", timeout=30)
            if found.is_success or over:
                return found
        except httpx.TransportError:
            if over:
                raise
        time.sleep(0.1)


@pytest.fixture
def around(environment: dict[str, str], tmp_path: Path, free_port: int) -> dict[str, str]:
    return environment | {"JOURNAL_PATH": str(tmp_path / "worker.db"), "HEALTH_PORT": str(free_port)}


def test_a_worker_goes_on_from_its_last_life_says_how_it_is_and_stops_when_told(
    around: dict[str, str], free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, broker = Path(around["JOURNAL_PATH"]), Broker(around["BROKER_REDIS_URL"])
    last = Journal(path)
    begun = Start(str(new_id()), "act", str(new_id()), clock.now().isoformat())
    monkeypatch.setattr(journals, "PAYLOAD_LIFETIME", timedelta(seconds=-1))
    last.begin([begun]).result()
    now = clock.now().isoformat()
    last.end(Ended(begun.task_id, begun.run_id, "success", now, "hash", "{}", '{"text": "words"}'), begun, now).result()
    mine = [keys.fetched(f"storage-{last.worker_id}", queue) for queue in ("storage", "storage.bulk")]
    broker.publish([sent("storage").message, sent("storage.bulk").message])  # of functions that only newer code knows
    with process("runtime.delivery.worker", "storage", **around) as child:
        files = Path(f"/proc/{child.pid}/fd")
        eventually(
            lambda: any(str(file.readlink()) == f"{path}.owner" for file in files.iterdir() if file.is_symlink())
        )
        last.close()  # not before the next life asks for it
        assert answer(free_port, "/healthz", child).json()["alive"] is True
        ready = answer(free_port, "/readyz", child)
        assert (ready.status_code, ready.json()["reasons"]) == (200, [])
        metrics = answer(free_port, "/metrics", child).text
        for name in ("eco2_tasks_held", "eco2_queue_depth", "eco2_journal_failing", "eco2_journal_stalled_seconds"):
            assert f'{name}{{service="storage"}}' in metrics
        eventually(lambda: all(broker.client.scard(key) for key in mine), "both are in its hands, under its name")
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 0
    assert [broker.client.scard(key) for key in mine] == [0, 0]
    for queue in ("storage", "storage.bulk"):
        [back] = broker.fetch(queue, 5, lease=True)
        broker.finish(queue, [back.id], leased={back.id})
    broker.close()
    with closing(open_file(path, readonly=True)) as db:
        assert db.execute("SELECT status, payload FROM local_tasks").fetchall() == [("success", None)]


def test_an_api_service_s_queue_functions_can_run_apart(around: dict[str, str], free_port: int) -> None:
    with process("runtime.delivery.worker", "recycle_info", **around) as child:
        assert answer(free_port, "/readyz", child).status_code == 200
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 0


def test_a_syncer_makes_one_cycle_or_many(around: dict[str, str], free_port: int) -> None:
    with process("runtime.cli", "sync", "storage", "--once", **around) as child:
        assert child.communicate(timeout=60)[0] == "synced 0 rows, 0 wait\n"
        assert child.returncode == 0
    with process("runtime.journal.syncer", "storage", **around) as child:
        body = answer(free_port, "/readyz", child).json()
        assert (body["ready"], body["backlog"]) == (True, 0)
        assert "eco2_journal_oldest_seconds" in answer(free_port, "/metrics", child).text
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 0


@pytest.mark.parametrize(
    ("module", "words", "without", "said"),
    [
        ("runtime.delivery.worker", ["storage"], "BROKER_REDIS_URL", "BROKER_REDIS_URL is not set"),
        ("runtime.delivery.worker", ["storage"], "JOURNAL_PATH", "JOURNAL_PATH is not set"),
        ("runtime.delivery.worker", ["storagee"], "", "did you mean storage?"),
        ("runtime.journal.syncer", ["storage"], "WORKER_DB_URL", "WORKER_DB_URL is not set"),
        ("runtime.journal.syncer", ["auth"], "", "auth has no journal"),
    ],
)
def test_what_is_missing_stops_the_start_with_one_line_that_names_it(
    module: str, words: list[str], without: str, said: str, around: dict[str, str]
) -> None:
    with process(module, *words, **{k: v for k, v in around.items() if k != without}) as child:
        _, error = child.communicate(timeout=60)
        assert child.returncode == 2
        assert said in error
        assert error.count("\n") == 1


def test_a_worker_does_not_start_on_a_broker_that_evicts(around: dict[str, str]) -> None:
    with process(
        "runtime.delivery.worker", "storage", **around | {"BROKER_REDIS_URL": around["CACHE_REDIS_URL"]}
    ) as child:
        _, error = child.communicate(timeout=60)
        assert child.returncode == 2
        assert "noeviction" in error
        assert error.count("\n") == 1
