"""Kills a command at each of its steps in turn. A step is a change that it asks of the API server: what there is to walk through
is seen in a run that no one cuts off, so a step that is new is walked, too.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from runtime.services import ROOT
from tests.k8s.api.kinds import Document
from tests.k8s.api.server import Server

# `make faults` walks every step, once a moment; `make slow` the first, the last and one between.
ALL = os.environ.get("ECO2_KILLS") == "all"
# A walk of a whole deploy is so long that it goes in turns: a test that takes 25 minutes is ended.
TURNS = 4 if ALL else 1
FEW = 3
Moment = Literal["instead", "after"]


class Walk:
    """One command on a cluster that is put back to `start` before each kill."""

    def __init__(self, server: Server, words: list[str], folder: Path, root: Path, **environ: str) -> None:
        self.server = server
        self.words = words
        self.start = folder / "start"
        self.output = folder / "output"
        server.store.save(self.start)
        # The commands of `root`, the tests of this checkout.
        env = {**os.environ, **environ, "PYTHONPATH": f"{root}{os.pathsep}{ROOT}"}
        self._forks = subprocess.Popen(
            [sys.executable, "-m", "tests.k8s.forks"],
            cwd=root,
            env=env,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def close(self) -> None:
        self._forks.communicate(timeout=20)

    def _ask(self, line: str) -> int:
        assert self._forks.stdin is not None
        assert self._forks.stdout is not None
        self._forks.stdin.write(f"{line}\n")
        self._forks.stdin.flush()
        return int(self._forks.stdout.readline())

    def run(self, kill_at: int | tuple[str, str] | None = None, moment: Moment = "instead") -> int:
        """Run the command; kill it instead of a change (counted from 0, or the first of a kind) or right after it.

        Return how it ended.
        """
        process = self._ask(json.dumps({"words": self.words, "output": str(self.output)}))
        self.changes: list[tuple[str, str]] = []
        last = -1  # the number of the request to kill at

        def instead(number: int) -> None:
            nonlocal last
            method, path, _ = self.server.requests[number]
            resource = path.split("/")[-1 if method == "POST" else -2]
            if (method, resource) == ("PUT", "leases"):  # renewed by the clock, in between
                return
            self.changes.append((method, resource))
            if kill_at in (len(self.changes) - 1, self.changes[-1]) and last < 0:
                last = number
                if moment == "instead":
                    kill()
                    raise ConnectionResetError  # so that it is not done

        def after(number: int) -> None:
            if number == last:
                kill()

        def kill() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)

        self.server.before_change, self.server.after_change = instead, after
        try:
            return self._ask("go")
        finally:
            self.server.before_change = self.server.after_change = lambda number: None

    def said(self) -> str:
        """What it printed."""
        return self.output.read_text(encoding="utf-8")

    def finish(self) -> None:
        """Run it to its end, as the next person would."""
        assert self.run() == 0, f"{self.where}: {self.said()}"

    def kills(self, back: Callable[[], object], *moments: Moment, turn: int = 0, turns: int = 1) -> Iterator[None]:
        """Kill at each step, once a moment; then the caller looks, and finishes it. `back` prepares each run.

        Of several turns each takes its part of the steps.
        """
        self.where = "never killed"
        back()
        self.finish()
        self.undisturbed = state(self.server)
        kinds = [("", ""), *self.changes]
        steps = list(range(len(self.changes)))
        assert len(steps) >= 4, kinds
        if not ALL:
            # Where something else begins, and of those some, from the first to the last.
            begins = [n for n, (before, kind) in enumerate(pairwise(kinds)) if before != kind or len(steps) <= FEW]
            steps = sorted({begins[round(part * (len(begins) - 1) / (FEW - 1))] for part in range(FEW)})
        for step in steps[turn::turns]:
            for moment in moments if ALL else [moments[step % len(moments)]]:
                self.server.store.load(self.start)
                back()
                self.where = f"killed {moment} change {step}, {' '.join(kinds[step + 1])}"
                ended = self.run(step, moment)
                assert ended == -signal.SIGKILL, f"{self.where}: {ended} {self.said()}"
                yield


_NOT_COMPARED = {"Event", "Lease", "Pod", "ReplicaSet", "ControllerRevision"}


def state(server: Server) -> dict[str, Document]:
    """What the cluster's objects ask for, by kind and name; not what controllers make of it."""
    with server.store.lock:
        return {
            "/".join(key): _without_uids({part: found[part] for part in ("spec", "data", "rules") if part in found})
            for key, found in sorted(server.store.objects.items())
            if key[0] not in _NOT_COMPARED
        }


def _without_uids(found: Any) -> Any:
    """Without the labels by which a Job knows its pods."""
    if isinstance(found, dict):
        return {key: _without_uids(value) for key, value in found.items() if "controller-uid" not in key}
    return [_without_uids(item) for item in found] if isinstance(found, list) else found
