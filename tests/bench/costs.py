"""What work costs: CPU of each part of the running emulator for a read, a login, a photograph and a question.

What a cluster has of it is written into k8s/costs.toml, which `eco2 capacity` reads.
CPU time depends less on what else the machine does than time does, and
much on the machine: the file says which it was, and how busy.
"""

import platform
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
from msgspec import Struct

from runtime.services import ROOT
from tests.bench import photographs
from tests.emulator.conftest import Emulator, make

FILE = ROOT / "k8s/costs.toml"
READS, LOGINS, PHOTOS, QUESTIONS = 1000, 10, 40, 40
EACH = 5  # photographs and questions a person, below every quota
SIZE = (2048, 1536)  # as a telephone's browser sends it
# The budget was set beside a photo whose copies cost 18 ms: those of this size do; the large one's cost 65.
SMALL, OF_SMALL = (640, 480), "small photo"
SURE = 50.0  # milliseconds: the kernel counts in ticks of ten, and less than a few of them is chance
# Milliseconds of all parts, the gateway, the proxy and the store included.
BUDGETS = {OF_SMALL: 65, "question": 25}
THINGS = ("페트병", "종이컵", "유리병", "건전지", "형광등", "스티로폼")
IDLE = 10.0  # seconds that the system is watched doing nothing, to take that off
# A part of the emulator to the workload whose pod it would be in.
PODS = {"postgres": "k8s-postgresql", "redis-broker": "broker", "redis-cache": "cache"}
PODS |= {"syncer-ai": "worker-ai", "syncer-storage": "worker-storage"}

Spent = dict[str, float]  # milliseconds by workload


class Cost(Struct, frozen=True):
    """Milliseconds for one: of all parts together, and of those that used enough to tell."""

    whole: float
    parts: Spent


class Scene:
    """A running emulator, with people."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.client = emulator.client()
        self.parts = {part["name"]: part["pid"] for part in emulator.about["parts"] if part["pid"]}
        self.idle: Spent = {}

    def watch(self) -> None:
        """See what the parts do when no one asks, to take it off."""
        time.sleep(3)
        before = self.spent()
        time.sleep(IDLE)
        self.idle = {part: (now - before[part]) / IDLE for part, now in self.spent().items()}

    def spent(self) -> Spent:
        """What each part has used so far, its children that have ended too (PostgreSQL's are many)."""
        found: Spent = {}
        for name, pid in self.parts.items():
            pod = PODS.get(name, name)
            process = psutil.Process(pid)
            seconds = sum(process.cpu_times()[:4]) + sum(
                sum(c.cpu_times()[:2]) for c in process.children(recursive=True)
            )
            found[pod] = found.get(pod, 0.0) + seconds * 1000
        return found

    def cost(self, work: Callable[[], object], count: int) -> Cost:
        """For one of `count`, without what the parts do when no one asks."""
        before, begun = self.spent(), time.monotonic()
        work()
        seconds = time.monotonic() - begun
        whole = {part: now - before[part] - self.idle.get(part, 0.0) * seconds for part, now in self.spent().items()}
        parts = {part: round(ms / count, 3) for part, ms in sorted(whole.items()) if ms >= SURE}
        return Cost(sum(whole.values()) / count, parts)

    def person(self) -> dict[str, str]:
        """Someone new; the headers of their requests."""
        name = f"person{uuid4().hex[:10]}"
        form = {"username": name, "email": f"{name}@example.com", "password": "correct horse"}
        self.good(self.client.post("/api/v1/auth/register", json=form))
        login = self.good(self.client.post("/api/v1/auth/login", json=form | {"email": None}))
        return {"Authorization": f"Bearer {login['access_token']}"}

    def good(self, answer: httpx.Response) -> Any:
        if answer.is_error:
            raise RuntimeError(f"{answer.request.url} said {answer.status_code}: {answer.text[:300]}")
        return answer.json()

    def settled(self, path: str, headers: dict[str, str]) -> None:
        """Until what was accepted has its answer."""
        while (status := self.good(self.client.get(path, headers=headers))["status"]) != "success":
            if status == "failure":
                raise RuntimeError(f"{path} failed")
            time.sleep(0.5)

    # Kinds of work

    def reads(self) -> None:
        path = "/api/v1/recycle/categories"
        for _ in range(READS):
            self.good(self.client.get(path))

    def logins(self, person: dict[str, str]) -> None:
        for _ in range(LOGINS):
            self.good(self.client.post("/api/v1/auth/login", json=person))

    def photos(
        self, people: list[dict[str, str]], numbers: range = range(PHOTOS), size: tuple[int, int] = SIZE
    ) -> None:
        begun = []
        contents = photographs.pictures(len(numbers), size, numbers.start)
        for number, content in zip(numbers, contents, strict=True):
            headers = people[number // EACH]
            form = {"content_type": "image/jpeg", "size_bytes": len(content)}
            made = self.good(self.client.post("/api/v1/waste/uploads", json=form, headers=headers))
            files = {"file": ("photo.jpg", content, "image/jpeg")}
            httpx.post(made["url"], data=made["fields"], files=files, timeout=30, trust_env=False).raise_for_status()
            key = headers | {"Idempotency-Key": str(uuid4())}
            asked = {"image_key": made["image_key"]}
            begun.append(
                (self.good(self.client.post("/api/v1/waste/analyses", json=asked, headers=key))["id"], headers)
            )
        for analysis, headers in begun:
            self.settled(f"/api/v1/waste/analyses/{analysis}", headers)

    def questions(self, people: list[dict[str, str]], numbers: range = range(QUESTIONS)) -> None:
        begun = []
        for number in numbers:
            headers = people[number // EACH]
            begin = self.client.post("/api/v1/chat/conversations", json={}, headers=headers)
            path = f"/api/v1/chat/conversations/{self.good(begin)['id']}/messages"
            asked = {"content": f"{THINGS[number % len(THINGS)]} {number + 2}개는 어떻게 버려요?"}
            reply = self.good(self.client.post(path, json=asked, headers=headers))["reply"]["id"]
            begun.append((f"{path}/{reply}", headers))
        for path, headers in begun:
            self.settled(path, headers)


def measure(scene: Scene) -> dict[str, Cost]:
    """The cost of one of each kind of work."""
    scene.watch()
    people = [scene.person() for _ in range((max(PHOTOS, QUESTIONS) + len(THINGS)) // EACH + 1)]
    others = [scene.person() for _ in range(PHOTOS // EACH)]
    known = {"username": f"person{uuid4().hex[:10]}", "password": "correct horse"}
    scene.good(scene.client.post("/api/v1/auth/register", json=known | {"email": f"{known['username']}@example.com"}))
    # The first of each loads what it needs (the classifier half a second of a core; the words that a thing is asked of with):
    # once a process, and not for each.
    scene.reads()
    scene.photos(people, range(PHOTOS, PHOTOS + 1))
    scene.questions(people, range(QUESTIONS, QUESTIONS + len(THINGS)))
    return {
        "read": scene.cost(scene.reads, READS),
        "login": scene.cost(lambda: scene.logins(known), LOGINS),
        "photo": scene.cost(lambda: scene.photos(people), PHOTOS),
        OF_SMALL: scene.cost(lambda: scene.photos(others, size=SMALL), PHOTOS),
        "question": scene.cost(lambda: scene.questions(people), QUESTIONS),
    }


def machine() -> str:
    """The processor that the figures are of."""
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return f"{psutil.cpu_count()} cores of {found[1] if found else platform.machine()}"


def write(costs: dict[str, Cost], file: Path = FILE) -> None:
    """The file that `eco2 capacity` reads."""
    load = psutil.getloadavg()[0] / (psutil.cpu_count() or 1)
    day, python = f"{datetime.now(UTC):%Y-%m-%d}", platform.python_version()
    lines = [
        "# What work costs, for `eco2 capacity`: CPU in milliseconds of one core, by the part that spends it.",
        f"# Measured by `make bench ARGS=costs` on {day}: {machine()}, Python {python}, load {load:.1f} a core.",
        f"# A photograph has {SIZE[0]} x {SIZE[1]} points. Measure again on your nodes before you rely on them.",
    ]
    for kind, cost in costs.items():
        if kind == OF_SMALL:
            continue
        # A read is by whatever service: `eco2 capacity` asks which is the smallest.
        parts = {"api" if (kind, part) == ("read", "api-recycle-info") else part: ms for part, ms in cost.parts.items()}
        lines += ["", f"[{kind}]", *(f"{part} = {ms}" for part, ms in parts.items() if _has_a_pod(part))]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _has_a_pod(part: str) -> bool:
    """Whether a cluster has it; the rest is the emulator's own."""
    return part.startswith(("api", "worker-")) or part in PODS.values()


def run() -> list[dict[str, Any]]:
    emulator = make(Path("build/no-model"))
    try:
        costs = measure(Scene(emulator.up()))
    finally:
        emulator.destroy()
    write(costs)
    rows = []
    for kind, cost in costs.items():
        largest = sorted(cost.parts.items(), key=lambda part: -part[1])
        note = ", ".join(f"{part} {ms:.0f}" for part, ms in largest if ms >= 1)
        note += f"; {photographs.KIND}" if "photo" in kind else ""
        row = {"name": f"cost of a {kind}, all parts", "ours": round(cost.whole, 2), "unit": "ms CPU"}
        rows.append(row | {"budget": BUDGETS.get(kind), "note": note})
    return rows
