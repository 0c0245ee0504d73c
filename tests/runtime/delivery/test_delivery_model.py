"""Journal, syncer and two stores as a state machine: whatever happens in whatever order, nothing is lost and nothing falls."""

import contextlib
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from runtime.journal.drain import Syncer
from runtime.journal.journal import Journal
from runtime.journal.states import MAX_INTERRUPTIONS, Ended, Start
from shared import clock
from shared.ids import new_id

# Few, so that much happens to each.
TASKS = st.sampled_from([str(UUID(int=n)) for n in range(4)])
_RANK = {"pending": 0, "failure": 1, "success": 2}


class _Died(Exception):
    """The syncer was killed here."""


class Delivery(RuleBasedStateMachine):
    """Two workers with a journal each, a syncer beside each, one PostgreSQL. The model is the best state of each task."""

    dsn: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="eco2-model-")
        self.journals = [Journal(Path(self.folder.name) / f"w{n}.db") for n in range(2)]
        self.conn = psycopg.connect(self.dsn, autocommit=True)
        for table in ("task_results", "task_history", "quarantine"):
            self.conn.execute(f"DELETE FROM {table}")
        self.best: list[dict[str, str]] = [{}, {}]
        self.runs: list[dict[str, Start]] = [{}, {}]
        self.ended_runs: set[tuple[str, str]] = set()
        # Of each journal's tasks: the run that its row tells of, the retries that an operator wants and that have ended, and
        # how often its worker died with it.
        self.row_runs: list[dict[str, str]] = [{}, {}]
        self.wanted: list[Counter[str]] = [Counter(), Counter()]
        self.tried: list[Counter[str]] = [Counter(), Counter()]
        self.deaths: list[Counter[str]] = [Counter(), Counter()]
        self.seen: dict[str, int] = {}

    def teardown(self) -> None:
        for worker in range(2):
            self._sync(worker)
        best: dict[str, str] = {}
        for journal in self.best:
            for task, state in journal.items():
                best[task] = max(best.get(task, "pending"), state, key=_RANK.__getitem__)
        there = dict(self.conn.execute("SELECT task_id, status FROM task_results").fetchall())
        assert there == best, "PostgreSQL has each task, in the best state that any journal reached"
        history = self.conn.execute(
            "SELECT task_id, event_data ->> 'run_id' FROM task_history WHERE event_type IN ('completed', 'failed')"
        ).fetchall()
        assert len(history) == len(set(history))
        assert set(history) == self.ended_runs, "every run that ended stands in the history, once"
        self.conn.close()
        for journal in self.journals:
            journal.close()
        self.folder.cleanup()

    def _sync(self, worker: int, reach: Callable[[str], None] = lambda point: None) -> None:
        syncer = Syncer("storage", self.journals[worker].path, self.dsn, batch=3, reach=reach)
        try:
            while syncer.cycle().changed:
                pass
        finally:
            syncer.close()

    @rule(task=TASKS, worker=st.integers(0, 1))
    def begin(self, task: str, worker: int) -> None:
        start = Start(task, "act", str(new_id()), clock.now().isoformat(), self.wanted[worker][task])
        (found,) = self.journals[worker].begin([start]).result()
        state = self.best[worker].get(task)
        again = state == "failure" and self.wanted[worker][task] > self.tried[worker][task]
        if state in (None, "pending", "failure" if again else None) and self.deaths[worker][task] < MAX_INTERRUPTIONS:
            assert found is None
            self.best[worker].setdefault(task, "pending")
            self.runs[worker][task] = start
            if not again:
                self.row_runs[worker][task] = start.run_id
            return
        assert found is not None
        if state == "pending":
            # Its worker died with it once too often.
            state = self.best[worker][task] = "failure"
            self.ended_runs.add((task, self.row_runs[worker][task]))
            self.tried[worker][task] = start.retries
        assert found.status == state

    @rule(task=TASKS, worker=st.integers(0, 1), status=st.sampled_from(["success", "failure"]))
    def end(self, task: str, worker: int, status: Any) -> None:
        start = self.runs[worker].pop(task, None)
        if start is None:
            return
        ended = Ended(task, start.run_id, status, clock.now().isoformat(), "hash", '{"a": 1}')
        self.journals[worker].end(ended, start, start.queued_at).result()
        if _RANK[status] >= _RANK[self.best[worker][task]]:
            self.row_runs[worker][task] = start.run_id
            self.tried[worker][task] = start.retries
        self.best[worker][task] = max(self.best[worker][task], status, key=_RANK.__getitem__)
        self.ended_runs.add((task, start.run_id))

    @rule(task=TASKS, worker=st.integers(0, 1))
    def want_again(self, task: str, worker: int) -> None:
        if self.best[worker].get(task) == "failure":
            self.wanted[worker][task] = self.tried[worker][task] + 1
            self.deaths[worker][task] = 0

    @rule(task=TASKS, worker=st.integers(0, 1), times=st.integers(1, 5))
    def die_with(self, task: str, worker: int, times: int) -> None:
        for _ in range(times):
            start = self.runs[worker].get(task)
            if start is None:
                return
            journal = self.journals[worker]
            journal.working(0, start.run_id)
            running = Path(f"{journal.path}.running")
            noted = running.read_bytes()
            journal.close()
            running.write_bytes(noted)
            self.journals[worker] = Journal(journal.path)
            self.runs[worker].clear()
            self.deaths[worker][task] += 1
            self.begin(task, worker)

    @rule(worker=st.integers(0, 1), task=TASKS, status=st.sampled_from(["success", "failure", None]))
    def sync_and_meddle(self, worker: int, task: str, status: Any) -> None:
        """The task goes on between the syncer's commit and its mark."""
        self.begin(task, worker)

        met = False

        def meddle(reached: str) -> None:
            nonlocal met
            if reached == "committed" and not met:
                met = True
                if status:
                    self.end(task, worker, status)
                else:
                    self.begin(task, worker)

        self._sync(worker, meddle)

    @rule(worker=st.integers(0, 1))
    def sync_without_the_worker(self, worker: int) -> None:
        path = self.journals[worker].path
        self.journals[worker].close()
        self._sync(worker)
        self.journals[worker] = Journal(path)
        self.runs[worker].clear()

    @rule(worker=st.integers(0, 1))
    def sync(self, worker: int) -> None:
        self._sync(worker)

    @rule(worker=st.integers(0, 1), point=st.sampled_from(["read", "committed", "marked"]))
    def sync_and_die(self, worker: int, point: str) -> None:
        def die(reached: str) -> None:
            if reached == point:
                raise _Died

        with contextlib.suppress(_Died):
            self._sync(worker, die)

    @rule(worker=st.integers(0, 1))
    def restart(self, worker: int) -> None:
        path = self.journals[worker].path
        self.journals[worker].close()
        self.journals[worker] = Journal(path)
        self.runs[worker].clear()

    @invariant()
    def states_only_rise(self) -> None:
        for task, status in self.conn.execute("SELECT task_id, status FROM task_results").fetchall():
            assert _RANK[status] >= self.seen.get(task, 0)
            self.seen[task] = _RANK[status]


@pytest.fixture
def model(environment: dict[str, str]) -> type[Delivery]:
    Delivery.dsn = environment["WORKER_DB_URL"]
    return Delivery


def test_no_order_of_runs_ends_syncs_and_crashes_loses_or_lowers_a_task(model: type[Delivery]) -> None:
    run_state_machine_as_test(
        model,
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
