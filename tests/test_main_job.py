"""The main job, end to end, on the system that `eco2 up` starts: as a newcomer would, over HTTP, with a SIGKILL between."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests import web
from tests.support import photo

ECO2 = [sys.executable, "-m", "runtime.cli"]


class System:
    """A system of its own in a state folder, driven by the command line alone."""

    def __init__(self, state: Path) -> None:
        self.state = state

    def run(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"ECO2_STATE": str(self.state)}
        return subprocess.run(
            [*ECO2, *words], capture_output=True, text=True, timeout=120, check=False, env=environment, **options
        )

    def up(self) -> str:
        done = self.run("up", "--detach")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def status(self) -> dict[str, Any]:
        done = self.run("status", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def processes(self) -> list[psutil.Process]:
        """Every process that has the state folder in its command line or environment."""
        found = []
        for process in psutil.process_iter():
            try:
                words = " ".join(process.cmdline()) + " ".join(process.environ().values())
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            if str(self.state) in words and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        return found


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    system = System(tmp_path / "eco2")
    yield system
    system.run("down")
    system.run("reset", "--yes")


def test_a_person_gets_an_answer_and_finds_it_again_after_a_kill(system: System, tmp_path: Path) -> None:
    screen = system.up()
    gateway = system.status()["gateway"]
    assert gateway in screen
    paste(screen.partition("A first session")[2], tmp_path)
    login = {"username": "jun", "password": "correct horse"}

    with web.Client(base_url=f"{gateway}/api/v1", timeout=30) as client:
        user = client.post("/auth/register", json=login | {"email": "jun@example.com"})
        assert user.status_code == 201, user.text
        analysis = analyse(client, login)
    assert analysis["status"] == "success"
    assert 0 <= analysis["confidence"] <= 1
    assert analysis["analysis_result"]["candidates"]
    image = analysis["images"][0]["cloudfront_url"]
    stored = web.get(image)
    assert (stored.status_code, stored.headers["content-type"]) == (200, "image/jpeg")

    before = system.status()
    rows = synced(system, analysis["id"])
    assert rows == ["ai/success", "ai/success", "storage/success", "storage/success"]  # mina's and jun's

    os.kill(before["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 10
    while system.processes() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [process.cmdline() for process in system.processes()] == []

    system.up()
    gateway = system.status()["gateway"]
    with web.Client(base_url=f"{gateway}/api/v1", timeout=30) as client:
        tokens = client.post("/auth/login", json=login).json()
        client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
        assert client.get("/auth/me").json() == user.json()
        assert client.get(f"/waste/analyses/{analysis['id']}").json()["waste_type"] == analysis["waste_type"]
        assert web.get(image).content == stored.content
        # What a wrong file becomes: a failure that says so.
        broken = analyse(client, login, b"this is no image at all")
    assert (broken["status"], broken["error_code"]) == ("failure", "not-an-image")
    assert system.run("down").returncode == 0
    assert system.processes() == []


def paste(tour: str, folder: Path) -> None:
    """Do what the screen proposes, as it is printed, and look at what a person would see."""
    lines = tour.splitlines()[2:]
    assert [line for line in lines if len(line) > 80 and "/" not in line] == []
    done = subprocess.run(
        ["bash", "-eu", "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(folder)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    _, events, answer = done.stdout.partition("event: progress")
    assert "event: done" in events + answer
    assert '"username":"mina"' in done.stdout
    assert '    "status": "success",' in answer


def analyse(client: httpx.Client, login: dict[str, str], content: bytes | None = None) -> dict[str, Any]:
    tokens = client.post("/auth/login", json=login).json()
    client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
    content = content or photo()
    form = client.post("/waste/uploads", json={"content_type": "image/jpeg", "size_bytes": len(content)}).json()
    put = web.post(form["url"], data=form["fields"], files={"file": ("photo.jpg", content)})
    assert put.status_code == 204, put.text
    accepted = client.post("/waste/analyses", json={"image_key": form["image_key"]})
    assert accepted.status_code == 202, accepted.text
    path = f"/waste/analyses/{accepted.json()['id']}"
    names = []
    with client.stream("GET", f"{path}/events") as stream:
        for line in stream.iter_lines():
            if line.startswith("event: "):
                names.append(line.removeprefix("event: "))
    assert names[-1] in ("done", "failed")
    answer: dict[str, Any] = client.get(path).json()
    return answer


def synced(system: System, analysis_id: str) -> list[str]:
    """Sync now, and read what is in `tasks` for the two tasks of the analysis."""
    for worker in ("storage", "ai"):
        done = system.run("sync", worker, "--once")
        assert done.returncode == 0, done.stdout + done.stderr
    query = (
        "SELECT worker_name || '/' || status FROM tasks.task_results r WHERE status <> 'pending' AND task_name IN"
        " ('process_photo', 'classify_photo') AND EXISTS (SELECT FROM tasks.task_history h WHERE h.task_id = r.task_id"
        " AND h.event_type = 'completed') ORDER BY 1"
    )
    done = system.run("psql", "storage", "-Atc", query)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split()
