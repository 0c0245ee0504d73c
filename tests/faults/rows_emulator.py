"""Faults of the emulator as a system: kill -9 of every part and helper, while people upload and try again."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from tests import web
from tests.emulator.conftest import Emulator, copied, make
from tests.faults.system import System, must
from tests.faults.table import row
from tests.support import photo

EACH, SERIES = 30, 31
CLIENTS = 8
# Every part is ready again so soon after the last kill, in seconds.
READY = 10.0
# What was accepted has ended so soon after everything is ready, in seconds.
ENDED = 180.0
# In the quick form: what all others hang from, and one of each kind.
QUICK = (
    "gateway",
    "template",
    "proxy",
    "postgres",
    "redis-broker",
    "s3",
    "api-waste",
    "worker-ai",
    "syncer-ai",
    "dashboard",
)


class Uploader(threading.Thread):
    """A person who uploads photographs one after another, and tries each request again, with its key, until it is taken."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__(daemon=True)
        self.person = name
        self.accepted: list[str] = []
        self.stop = threading.Event()
        self.fault: BaseException | None = None
        self._client = web.Client(base_url=url, timeout=20)
        self._token, self._until = "", 0.0

    def run(self) -> None:
        try:
            with self._client:
                person = {"username": self.person, "email": f"{self.person}@example.com", "password": "correct horse"}
                self._again("POST", "/api/v1/auth/register", (201, 409), json=person, token=False)
                while not self.stop.is_set():
                    self._upload()
        except BaseException as error:  # noqa: BLE001 - the row raises it in its own thread
            self.fault = error

    def _upload(self) -> None:
        content = photo(320, 240)
        form = {"content_type": "image/jpeg", "size_bytes": len(content)}
        made = self._again("POST", "/api/v1/waste/uploads", (201,), json=form).json()
        self._store(made, content)
        key = {"Idempotency-Key": str(uuid4())}
        taken = self._again(
            "POST", "/api/v1/waste/analyses", (202,), json={"image_key": made["image_key"]}, headers=key
        )
        self.accepted.append(taken.json()["id"])

    def _store(self, made: dict[str, Any], content: bytes) -> None:
        while True:
            try:
                files = {"file": ("photo.jpg", content, "image/jpeg")}
                answer = web.post(made["url"], data=made["fields"], files=files, timeout=20)
                if answer.status_code < 300:
                    return
                must(answer.status_code >= 500, f"the store said {answer.status_code}: {answer.text[:200]}")
            except httpx.TransportError:
                pass
            time.sleep(0.2)

    def _again(
        self, method: str, path: str, good: tuple[int, ...], *, token: bool = True, **how: Any
    ) -> httpx.Response:
        while True:
            try:
                headers = how.get("headers", {}) | ({"Authorization": f"Bearer {self._log_in()}"} if token else {})
                answer = self._client.request(method, path, **how | {"headers": headers})
                if answer.status_code in good:
                    return answer
                again = answer.status_code >= 500 or answer.status_code in (409, 429)
                must(again, f"{method} {path} said {answer.status_code}: {answer.text[:300]}")
            except httpx.TransportError:
                pass
            time.sleep(0.2)

    def _log_in(self) -> str:
        if time.monotonic() > self._until:
            login = {"username": self.person, "password": "correct horse"}
            self._token = self._again("POST", "/api/v1/auth/login", (200,), json=login, token=False).json()[
                "access_token"
            ]
            self._until = time.monotonic() + 600
        return self._token


@contextmanager
def running(system: System) -> Iterator[Emulator]:
    """An emulator on a state of its own."""
    emulator = copied(system.started) if system.started else make(Path("/nonexistent"))
    try:
        yield emulator.up()
    finally:
        emulator.destroy()


@contextmanager
def uploading(emulator: Emulator) -> Iterator[list[Uploader]]:
    people = [Uploader(emulator.url, f"person{number}") for number in range(CLIENTS)]
    for person in people:
        person.start()
    try:
        yield people
    finally:
        for person in people:
            person.stop.set()
        for person in people:
            person.join(120)


def processes(emulator: Emulator) -> dict[str, int]:
    """Every process by its name: the parts, and the template that most of them are forked from."""
    found: dict[str, int] = {}
    about = json.loads((emulator.folder / "emulator.json").read_text())
    for part in about["parts"]:
        if part["pid"]:
            found[part["name"]] = part["pid"]
    for pid in emulator.pids():
        if Path(f"/proc/{pid}/comm").read_text().strip() == "template":
            found["template"] = pid
    return found


def kill(emulator: Emulator, name: str) -> None:
    if (pid := processes(emulator).get(name)) is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def ready(emulator: Emulator, killed: str) -> float:
    """Seconds until `status` says that all is ready; it must be soon."""
    begin = time.monotonic()
    while True:
        status = emulator.eco2("status", check=False)
        if status.returncode == 0:
            return time.monotonic() - begin
        late = time.monotonic() - begin > READY
        must(
            not late,
            f"after kill -9 of {killed} not ready within {READY:.0f} s:\n{status.stdout[:1500]}{status.stderr}",
        )
        time.sleep(0.1)


def goes_on(people: list[Uploader]) -> None:
    """One more upload than now is accepted."""
    before, deadline = sum(len(person.accepted) for person in people), time.monotonic() + ENDED
    while sum(len(person.accepted) for person in people) <= before:
        must(time.monotonic() < deadline, f"no upload was accepted for {ENDED:.0f} s though all is ready")
        time.sleep(0.1)


def all_ended_once(emulator: Emulator, people: list[Uploader]) -> int:
    """How many were accepted; each must be there once and end once."""
    for person in people:
        must(not person.is_alive(), f"{person.person} still waits for an answer")
        if person.fault is not None:
            raise person.fault
    accepted = [analysis for person in people for analysis in person.accepted]
    must(accepted, "nothing was accepted")
    must(len(set(accepted)) == len(accepted), "two requests were answered with one analysis")
    deadline = time.monotonic() + ENDED
    while (left := emulator.sql("SELECT count(*) FROM waste.analyses WHERE status = 'pending'")) != "0":
        must(time.monotonic() < deadline, f"{left} of {len(accepted)} have not ended within {ENDED:.0f} s")
        time.sleep(0.3)
    wrong = emulator.sql("SELECT count(*) FROM waste.analyses WHERE status <> 'success'")
    must(wrong == "0", f"{wrong} did not succeed")
    there = emulator.sql("SELECT count(*) FROM waste.analyses")
    must(there == str(len(accepted)), f"{there} analyses for {len(accepted)} accepted")
    images = emulator.sql(
        "SELECT count(*) FROM (SELECT 1 FROM waste.images GROUP BY analysis_id, s3_key HAVING count(*) > 1) x"
    )
    must(images == "0", f"{images} copies are there twice")
    while (left := emulator.sql("SELECT count(*) FROM waste.outbox WHERE actor <> 'storage/delete_objects'")) != "0":
        must(time.monotonic() < deadline, f"{left} tasks are in the outbox for ever")
        time.sleep(0.3)
    return len(accepted)


def no_orphan(emulator: Emulator) -> None:
    emulator.down()
    must(not emulator.pids(), f"left behind: {emulator.pids()}")


@row(
    EACH,
    "kill -9 of every part and helper of the emulator, one at a time, under upload",
    "ready <= 10 s, accepted ended once",
)
def killed_one_at_a_time(system: System) -> dict[str, Any]:
    slowest, which = 0.0, ""
    with running(system) as emulator:
        names = sorted(processes(emulator)) if system.full else list(QUICK)
        with uploading(emulator) as people:
            for name in names:
                kill(emulator, name)
                took = ready(emulator, name)
                slowest, which = max((slowest, which), (took, name))
            goes_on(people)
        accepted = all_ended_once(emulator, people)
        no_orphan(emulator)
    return {"killed": len(names), "accepted": accepted, "slowest": f"{which} {slowest:.1f} s"}


@row(
    SERIES,
    "kill -9 of parts and helpers by chance for 60 s, under upload",
    "ready <= 10 s after the last, accepted ended once",
)
def killed_by_chance(system: System) -> dict[str, Any]:
    killed: list[str] = []
    with running(system) as emulator:
        with uploading(emulator) as people:
            goes_on(people)
            end = time.monotonic() + (60 if system.full else 8)
            while time.monotonic() < end:
                there = sorted(processes(emulator))
                name = system.random.choice(there)
                kill(emulator, name)
                killed.append(name)
                time.sleep(system.random.uniform(0.1, 3.0))
            took = ready(emulator, ", ".join(killed[-3:]))
            goes_on(people)
        accepted = all_ended_once(emulator, people)
        no_orphan(emulator)
    return {"killed": len(killed), "accepted": accepted, "ready after": f"{took:.1f} s"}
