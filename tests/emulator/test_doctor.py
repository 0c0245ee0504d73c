"""`eco2 doctor` finds what is broken, and says what to do."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from emulator import doctor
from emulator.state.folder import State
from tests.emulator.conftest import Emulator


@pytest.fixture
def state(tmp_path: Path) -> State:
    state = State(tmp_path / "state")
    state.create()
    return state


def test_an_old_python_is_wrong_and_a_foreign_one_is_noted(tmp_path: Path) -> None:
    assert doctor.python((3, 10, 9), tmp_path).level == "wrong"
    assert doctor.python((3, 12, 0), tmp_path).remedy == "run `.venv/bin/eco2` or `make install`"


def test_packages_are_compared_with_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "up.txt"
    lock.write_text("msgspec==0.0.1 \\\n    --hash=sha256:00\neco2-none==1\nother==1 ; sys_platform == 'none'\n")
    found = doctor.versions(lock)
    assert found.level == "wrong"
    assert "locked 0.0.1; eco2-none is missing" in found.found
    assert "other" not in found.found
    assert "make install" in found.remedy


def test_a_taken_gateway_port_is_noted(state: State) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        state.write_json("ports.json", {"gateway": port})
        assert doctor.ports(state).found == f"{port}, the gateway's, is taken"
    assert doctor.ports(state).level == "ok"


def test_a_process_that_an_earlier_system_left_is_named_until_it_ends(state: State) -> None:
    with (state.path / "logs" / "api-waste.log").open("wb") as log:
        left = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=log)
    found = doctor.leftovers([state])
    assert (found.level, f"(pid {left.pid})" in found.found) == ("wrong", True)
    assert f"`kill {left.pid}`" in found.remedy
    left.communicate()
    assert doctor.leftovers([state]).level == "ok"


def test_damaged_secrets_and_a_lost_cluster_are_wrong(state: State, tmp_path: Path) -> None:
    (state.path / "secrets.json").write_text("{")
    assert "secrets.json is damaged" in doctor.folder(state).found
    (state.path / "postgres").symlink_to(tmp_path / "gone")
    assert "points to a folder that is gone" in doctor.folder(state).found


def test_a_limit_a_locale_and_a_server_of_one_s_own_that_do_not_do_are_found(tmp_path: Path) -> None:
    environ = os.environ | {"LC_ALL": "xx_XX.UTF-8", "BROKER_REDIS_URL": "redis://127.0.0.1:1/0"}
    words = [sys.executable, "-m", "runtime.cli", "doctor", "--json", "--state", str(tmp_path / "none")]
    limited = ["sh", "-c", 'ulimit -n 256; exec "$@"', "sh", *words]
    done = subprocess.run(limited, capture_output=True, text=True, env=environ, check=False, timeout=60)
    found = {finding["about"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == 1
    assert (found["open files"]["level"], found["open files"]["found"][:13]) == ("wrong", "256 a process")
    assert found["locale"]["found"] == "this machine has no locale xx_XX.UTF-8"
    assert found["own servers"]["found"].startswith("BROKER_REDIS_URL: ")
    assert all(finding["remedy"] for finding in found.values() if finding["level"] == "wrong")


def test_a_part_that_does_not_answer_is_wrong(emulator: Emulator) -> None:
    state = State(emulator.folder)
    assert [finding.level for finding in doctor.running(state)] == ["ok"]
    emulator.eco2("pause", "api-location")
    try:
        [found] = doctor.running(state)
        assert (found.level, found.remedy) == ("wrong", "`eco2 logs api-location`")
        assert found.found.startswith("api-location is paused")
    finally:
        emulator.eco2("pause", "api-location", "--resume")
