"""`make mutants`: how many deliberate slips the tests notice.

    make mutants                        150 slips spread over all packages (COUNT=40 SEED=7 JOBS=2 for others)
    make mutants ARGS="functions/auth"  of these folders or files alone

Each slip is put into a copy of the checkout, and the tests that its file reaches run until one fails: first those of all programs
(the limits of its module, the contract), then those that name the function around it or who calls it, then the nearest
(tests/reach.py); last the slow ones of the file that mirrors its own, or the nearest slow ones where no test has entered its
function. A test that fails without the slip too proves nothing and is not asked. A slip whose function no test entered has not
been judged by them: further ones run. The report is build/mutants.json; slips that change nothing anyone could see are named
with a reason in `known.toml` and are not drawn.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Literal

import pytest
from msgspec import Struct

from runtime.services import ROOT
from tests.clusters import Clusters
from tests.mutants.operators import Mutant, mutants
from tests.mutants.places import around, watched
from tests.prepared import CLUSTERS
from tests.quick import chosen, slowly
from tests.reach import OF_ALL, Reach
from tests.test_limits import WRITTEN, test_a_limit_is_the_one_that_is_written_down

# Seconds of tests for one slip, by what they took when last run, and twice as many for one whose function they do not enter; how
# long a run may take that a slip has hung. A file that has never run here counts as a long one until it has; and what is left of
# the seconds when it was not is used as long as it is worth the start of servers.
BUDGET, HUNG, UNKNOWN, WORTH = 45.0, 300.0, 15.0, 10.0
LIMITS = "tests/test_limits.py"
HANGS_ANYWAY = "the tests end without a result, without the slip too"
# Drawn as often as the next: one service weighs as much as a whole package of the house.
GROUPS = (
    *(
        f"functions/{name}"
        for name in ("ai", "auth", "chat_llm", "location", "recycle_info", "storage", "userinfo", "waste")
    ),
    *("shared", "runtime/delivery", "runtime/http", "runtime/journal", "runtime", "emulator"),
    *("k8s/programs", "k8s/tools"),
)


class Verdict(Struct, frozen=True):
    """What came of one slip: noticed by the test `by`, survived those that `by` lists, or untold: none came by."""

    mutant: Mutant
    word: Literal["noticed", "survived", "untold"]
    by: str


def drawn(root: Path, count: int, seed: int, only: tuple[str, ...] = ()) -> list[Mutant]:
    """So many slips of a checkout, group by group in turn, the kinds of slips in turn within a group."""
    random_ = random.Random(seed)  # to be drawn again, not to be secret
    known = set(known_slips())
    files = {file for file, *_ in known}
    piles: dict[str, list[Mutant]] = {}
    for group in only or GROUPS:
        found = [one for file in _files(root, group) for one in mutants(file, root)]
        piles[group] = _by_kind(
            [one for one in found if one.file not in files or named(one, root) not in known], random_
        )
    picked: list[Mutant] = []
    while len(picked) < count and any(piles.values()):
        picked += [pile.pop() for pile in piles.values() if pile][: count - len(picked)]
    return picked


def _by_kind(found: list[Mutant], random_: random.Random) -> list[Mutant]:
    """Shuffled so that taking from the end meets every kind before the second of one: numbers would crowd out the locks."""
    piles: dict[str, list[Mutant]] = defaultdict(list)
    for one in found:
        piles[one.kind].append(one)
    ordered: list[tuple[int, float, Mutant]] = []
    for pile in piles.values():
        random_.shuffle(pile)
        ordered += [(-turn, random_.random(), one) for turn, one in enumerate(pile)]
    return [one for *_, one in sorted(ordered, key=lambda entry: entry[:2])]


def _files(root: Path, group: str) -> Iterator[Path]:
    place = root / group
    if place.is_file():
        yield place
        return
    inner = [root / other for other in GROUPS if other.startswith(f"{group}/")]
    for file in sorted(place.rglob("*.py")):
        if not any(folder in file.parents for folder in inner) and "migrations" not in file.parts:
            yield file


def named(slip: Mutant, root: Path) -> tuple[str, ...]:
    """A slip as `known.toml` names it: its file, its line's text, and what becomes of what. Numbers of lines change."""
    line = (root / slip.file).read_text(encoding="utf-8").splitlines()[slip.line - 1].strip()
    return slip.file, line, slip.before, slip.after


def known_slips() -> Iterator[tuple[str, ...]]:
    """What `known.toml` names."""
    for one in tomllib.loads((Path(__file__).parent / "known.toml").read_text(encoding="utf-8")).get("slip", []):
        yield one["file"], one["line"], one["before"], one["after"]


class Trial:
    """Runs slips in copies of the checkout, each copy with one at a time."""

    def __init__(self, folder: Path, jobs: int) -> None:
        self._reach = Reach()
        durations = ROOT / "build/durations.json"
        self._durations: dict[str, float] = json.loads(durations.read_text()) if durations.exists() else {}
        self._unsound: set[str] = set()
        self._sound: set[str] = set()
        # Of what makes the clusters a slip may be the cause of other ones.
        self._clusters, self._makes_clusters = folder / "clusters", self._reach.reached("tests/clusters.py")
        self._clusters.mkdir()
        Clusters.make(self._clusters)
        self._copies: SimpleQueue[Path] = SimpleQueue()
        self._reading = threading.Lock()  # two threads in `ast.parse` at once raise SystemError (Python 3.11)
        files = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split("\0")
        for number in range(jobs):
            copy = folder / str(number)
            for file in filter(None, files):
                if (ROOT / file).is_file():
                    (copy / file).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(ROOT / file, copy / file)
            (copy / "build").mkdir()
            self._copies.put(copy)

    def judge(self, mutant: Mutant) -> Verdict:
        """Put the slip in, run the tests, take it out."""
        copy = self._copies.get()
        try:
            return self._judge(copy, mutant)
        finally:
            self._copies.put(copy)

    def _judge(self, copy: Path, mutant: Mutant) -> Verdict:
        asked: list[str] = []
        entered = copy / "build/entered"
        entered.unlink(missing_ok=True)
        for tests in self._asked(mutant, entered):
            failed = self._first_failure(copy, mutant, tests, entered)
            if failed is not None:
                return Verdict(mutant, "untold" if failed == HANGS_ANYWAY else "noticed", failed)
            asked += tests
        if entered.exists():
            return Verdict(mutant, "survived", ", ".join(asked))
        return Verdict(mutant, "untold", f"none enters it: {', '.join(asked)}" if asked else "no test reaches the file")

    def _asked(self, mutant: Mutant, entered: Path) -> Iterator[list[str]]:
        """The tests that run next, as long as none has failed."""
        with self._reading:
            near = self._reach.tests_of([mutant.file], around(ROOT / mutant.file, mutant.line))
        near = sorted(
            filter(lambda test: narrowed(test, mutant.file), near),
            key=lambda test: not mutant.file.startswith(OF_ALL.get(test, ())),
        )
        asked: list[str] = []
        left, further = BUDGET, BUDGET
        while tests := chosen([test for test in near if test not in asked], self._durations, left, UNKNOWN):
            yield tests
            asked += tests
            left -= sum(self._durations.get(test, UNKNOWN) for test in tests)
            if left < WORTH and not entered.exists():
                left, further = left + further, 0.0
            if left < WORTH:
                break
        slow = [test for test in near if "mark.slow" in (ROOT / test).read_text(encoding="utf-8")]
        wanted = [test for test in slow if self._reach.distances[test][mutant.file] == 0 or not entered.exists()]
        if wanted:
            yield chosen([slowly(test) for test in wanted], self._durations, BUDGET, HUNG)

    def _first_failure(self, copy: Path, mutant: Mutant, tests: list[str], entered: Path) -> str | None:
        """The first test that fails with the slip and passes without it; what has once passed so is not asked again."""
        while True:
            failed = self._run(copy, mutant, tests, entered)
            if failed is None:
                self._learn(copy, tests)
                return None
            if failed in self._sound:
                return failed
            if "::" not in failed:
                if self._run(copy, mutant, tests, entered, slipped=False) is None:
                    return failed
                # On a busy machine they take too long without a slip too, and no one can tell: fewer of them next time.
                self._durations |= {test: max(HUNG / len(tests), self._durations.get(test, 0)) for test in tests}
                return HANGS_ANYWAY
            if self._run(copy, mutant, [failed], entered, slipped=False) is None:
                self._sound.add(failed)
                return failed
            print(f"  {failed} fails without a slip too: it is not asked", flush=True)
            self._unsound.add(failed)

    def _run(self, copy: Path, mutant: Mutant, tests: list[str], entered: Path, *, slipped: bool = True) -> str | None:
        target = copy / mutant.file
        whole = target.read_bytes()
        with self._reading:
            target.write_bytes(watched(mutant, whole, entered, slipped=slipped))
        try:
            made = None if mutant.file in self._makes_clusters else self._clusters
            return _run(copy, words(tests, mutant.file), self._unsound, made)
        finally:
            target.write_bytes(whole)

    def _learn(self, copy: Path, tests: list[str]) -> None:
        """How long whole files have taken: a run that stopped at a failure has not seen all of one."""
        took = copy / "build/durations.json"
        known = json.loads(took.read_text()) if took.exists() else {}
        self._durations |= {test: known.get(test, 0.0) for test in tests}


def narrowed(test: str, file: str) -> str | None:
    """What of a test file is asked about a slip in `file`: of the limits those of its module, and None where it has none."""
    if test != LIMITS:
        return test
    module = file.removesuffix(".py").replace("/", ".")
    return f"{LIMITS}::{test_a_limit_is_the_one_that_is_written_down.__name__}[{module}]" if module in WRITTEN else None


def words(tests: list[str], file: str) -> list[str]:
    """Tests as pytest is told them about a slip in `file`: a file's quick ones, or its slow ones, and one test as it is."""
    if "::" in tests[0]:
        return tests
    files = [test.removesuffix(slowly("")) for test in tests]
    asked = (narrowed(test, file) for test in files)
    return ["-m", "not slow" if files == tests else "slow", *filter(None, asked)]


def _run(copy: Path, tests: list[str], without: Collection[str], clusters: Path | None) -> str | None:
    """The first test that fails, or None; a run that hangs is a failure, and its processes end with it."""
    options = ["-q", "-x", "-p", "no:cacheprovider", "--tb=no", "-o", "faulthandler_timeout=0"]
    options += [f"--deselect={test}" for test in without]
    env = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    env |= {CLUSTERS: str(clusters)} if clusters else {}
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, *tests],
        cwd=copy, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    ) as run:  # fmt: skip
        try:
            output, _ = run.communicate(timeout=HUNG)
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGINT)
            try:
                run.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(run.pid, signal.SIGKILL)
            return "hung"
    if run.returncode in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        return None
    named = [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return named[0].split(" - ")[0].partition(" ")[2] if named else f"pytest ended with {run.returncode}"


def main() -> int:
    count, seed, jobs = (
        int(os.environ.get(name, value)) for name, value in (("COUNT", "150"), ("SEED", "1"), ("JOBS", "2"))
    )
    picked = drawn(ROOT, count, seed, tuple(sys.argv[1:]))
    print(f"{len(picked)} slips, seed {seed}", flush=True)
    began = time.monotonic()
    verdicts: list[Verdict] = []
    with TemporaryDirectory(prefix="eco2-mutants-") as folder, ThreadPoolExecutor(jobs) as pool:
        trial = Trial(Path(folder), jobs)
        for verdict in pool.map(trial.judge, picked):
            verdicts.append(verdict)
            word = verdict.word if verdict.word == "noticed" else verdict.word.upper()
            print(f"  {word:<8}  {verdict.mutant}", flush=True)
    _report(verdicts, seed, time.monotonic() - began)
    return 0


def _report(verdicts: list[Verdict], seed: int, seconds: float) -> None:
    told: dict[str, Counter[str]] = defaultdict(Counter)
    for one in verdicts:
        group = next((name for name in GROUPS if one.mutant.file.startswith(f"{name}/")), one.mutant.file)
        told[group][one.word] += 1
    total = sum(told.values(), Counter[str]())
    judged = total["noticed"] + total["survived"]
    print(
        f"\n{total['noticed']} of {judged} noticed ({total['noticed'] / max(1, judged):.0%}), {total['untold']} untold, "
        f"in {seconds / 60:.0f} minutes"
    )
    for group, words in sorted(told.items()):
        print(f"  {group:<24} {words['noticed']:>3} of {words['noticed'] + words['survived']}")
    rows = [
        {"file": one.mutant.file, "line": one.mutant.line, "kind": one.mutant.kind, "before": one.mutant.before,
         "after": one.mutant.after, "verdict": one.word, "by": one.by} for one in verdicts
    ]  # fmt: skip
    report = ROOT / "build/mutants.json"
    report.parent.mkdir(exist_ok=True)
    report.write_text(json.dumps({"seed": seed, "slips": rows}, indent=1, ensure_ascii=False), encoding="utf-8")
    print(f"  {report.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main())
