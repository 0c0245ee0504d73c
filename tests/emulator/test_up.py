"""`eco2 up` and the commands around it, as a person at a terminal meets them."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from emulator.process import alive
from tests.emulator.conftest import ROOT, Emulator
from tests.support import wait_until

PARTS = {
    *("postgres", "redis-broker", "redis-cache", "s3", "proxy", "gateway"),
    *("api-auth", "api-userinfo", "api-location", "api-waste", "api-recycle-info", "api-chat-llm"),
    *("worker-storage", "worker-ai", "syncer-storage", "syncer-ai"),
}


def test_every_part_is_ready_and_says_where_it_is(emulator: Emulator) -> None:
    about = emulator.about
    assert about["gateway"] == emulator.url
    states = {part["name"]: part["state"] for part in about["parts"]}
    assert states.keys() >= PARTS
    assert set(states.values()) == {"ready"}
    for part in about["parts"]:
        assert alive(part["pid"])
        assert part.keys() >= {"name", "kind", "pid", "state", "address"}


def test_parts_that_nobody_asks_anything_sleep(emulator: Emulator) -> None:
    pids = {part["name"]: part["pid"] for part in emulator.about["parts"]}

    def woken(name: str) -> int:
        status = Path(f"/proc/{pids[name]}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("voluntary_ctxt")).split()[1])

    wait_until(lambda: Path(f"/proc/{pids['s3']}/comm").read_text() == "s3\n")

    def asleep() -> bool:
        before = {name: woken(name) for name in ("gateway", "dashboard", "s3")}
        time.sleep(2)
        return all(woken(name) - count <= 6 for name, count in before.items())

    wait_until(asleep)  # on a busy machine the work of the start goes on for a while


def test_status_on_nothing_is_exit_code_3(tmp_path: Path) -> None:
    done = Emulator(tmp_path / "none").eco2("status", check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert "nothing runs" in done.stderr


def test_a_second_up_on_the_same_state_is_one_line(emulator: Emulator) -> None:
    done = emulator.eco2("up", "--detach", check=False)
    assert done.returncode == 1
    assert "is in use by a running emulator (pid" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_taken_gateway_port_is_one_line(new_emulator: Emulator) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = new_emulator.eco2("up", "--detach", "--port", port, check=False)
    assert done.returncode == 1
    said = f"eco2: port {port} for the gateway: address already in use; take another, or none for the next free one\n"
    assert done.stderr == said
    assert new_emulator.pids() == []


def test_a_state_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = Emulator(tmp_path / "file" / "state").eco2("up", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("eco2: the state folder")
    assert done.stderr.count("\n") == 1


def test_psql_opens_under_the_services_role(emulator: Emulator) -> None:
    def ask(service: str, statement: str) -> subprocess.CompletedProcess[str]:
        words = [
            sys.executable,
            "-m",
            "runtime.cli",
            "psql",
            service,
            "--state",
            str(emulator.folder),
            "-tAc",
            statement,
        ]
        return subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=30, check=False)

    assert ask("waste", "SELECT current_user, current_schema").stdout.strip() == "api_waste_role|waste"
    assert "permission denied" in ask("waste", "SELECT * FROM auth.users").stderr
    assert "did you mean" in ask("wast", "SELECT 1").stderr


def test_redis_opens_with_the_password(emulator: Emulator) -> None:
    words = [sys.executable, "-m", "runtime.cli", "redis", "--state", str(emulator.folder), "broker", "PING"]
    assert subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=30, check=False).stdout == "PONG\n"


def test_logs_are_one_file_a_part_and_a_near_name_is_suggested(emulator: Emulator) -> None:
    assert "ready to accept connections" in emulator.eco2("logs", "postgres", "-n", "100").stdout
    assert "did you mean postgres" in emulator.eco2("logs", "postgress", check=False).stderr


def test_secrets_are_readable_by_their_owner_alone(emulator: Emulator) -> None:
    for name in ("secrets.json", "emulator.json", "lock", "redis-broker/redis.conf"):
        assert (emulator.folder / name).stat().st_mode & 0o077 == 0
    commands = b"".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in emulator.pids())
    for secret in json.loads((emulator.folder / "secrets.json").read_text()).values():
        assert secret.encode() not in commands


def test_a_killed_part_comes_back_by_itself(emulator: Emulator) -> None:
    before = {part["name"]: part["pid"] for part in emulator.about["parts"]}
    for name in ("api-recycle-info", "worker-storage", "redis-cache"):
        emulator.eco2("kill", name)
    wait_until(lambda: all(part["state"] == "ready" and part["pid"] for part in emulator.about["parts"]))
    after = {part["name"]: part for part in emulator.about["parts"]}
    assert after["api-recycle-info"]["pid"] != before["api-recycle-info"]
    assert after["worker-storage"]["restarts"] == 1
    with emulator.client() as client:
        assert client.get("/api/v1/recycle/categories").status_code == 200


def test_a_paused_part_stands_still_until_it_is_resumed(emulator: Emulator) -> None:
    assert "is paused" in emulator.eco2("pause", "api-location").stdout
    pid = next(part["pid"] for part in emulator.about["parts"] if part["name"] == "api-location")
    assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    assert "is ready" in emulator.eco2("pause", "api-location", "--resume").stdout


def test_a_fault_reaches_one_service_and_ends_when_cleared(emulator: Emulator) -> None:
    with emulator.client() as client:
        assert "f1: postgres cut from api-recycle-info" in emulator.eco2(
            "fault", "add", "postgres", "cut", "--service", "api-recycle-info"
        ).stdout.replace("f2", "f1")
        answer = client.get("/api/v1/recycle/categories")
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert client.get("/api/v1/auth/jwks.json").status_code == 200
        assert emulator.eco2("fault", "clear").stdout == "no faults\n"
        wait_until(lambda: client.get("/api/v1/recycle/categories").status_code == 200)


def test_a_fault_on_nothing_names_what_there_is(emulator: Emulator) -> None:
    done = emulator.eco2("fault", "add", "s3", "cut", "--service", "api-auth", check=False)
    assert (done.returncode, "no connection from api-auth to s3" in done.stderr) == (2, True)
    assert "such as 300ms" in emulator.eco2("fault", "add", "s3", "latency", "much", check=False).stderr


def test_the_clock_moves_for_every_process(emulator: Emulator) -> None:
    with emulator.client() as client:
        emulator.eco2("invoke", "auth/me", "--as", "timo")
        token = json.loads((emulator.folder / "people.json").read_text())["timo"]["token"]
        headers = {"Authorization": f"Bearer {token}"}
        assert client.get("/api/v1/waste/stats", headers=headers).status_code == 200
        emulator.eco2("clock", "advance", "16m")
        assert client.get("/api/v1/waste/stats", headers=headers).status_code == 401
    assert '"username": "timo"' in emulator.eco2("invoke", "auth/me", "--as", "timo").stdout


def test_a_moved_clock_wakes_the_syncers(emulator: Emulator) -> None:
    asked = emulator.eco2("invoke", "chat_llm/create_conversation", "--as", "timo", "--json", "{}").stdout
    path = f"conversation_id={json.loads(asked)['id']}"
    question = (
        "chat_llm/create_message",
        "--as",
        "timo",
        "--path",
        path,
        "--json",
        '{"content": "페트병은 어떻게 버려요?"}',
    )
    reply = json.loads(emulator.eco2("invoke", *question).stdout)["reply"]["id"]
    reading = ("chat_llm/get_message", "--as", "timo", "--path", path, "--path", f"message_id={reply}")
    wait_until(lambda: '"status": "success"' in emulator.eco2("invoke", *reading).stdout)
    emulator.eco2("clock", "advance", "6m")  # the next sync would be up to five minutes away
    wait_until(
        lambda: emulator.sql("SELECT status FROM tasks.task_results WHERE task_name = 'answer_question'") == "success"
    )


def test_invoke_suggests_the_near_function(emulator: Emulator) -> None:
    done = emulator.eco2("invoke", "auth/mee", check=False)
    assert (done.returncode, "did you mean me?" in done.stderr) == (2, True)


def test_a_body_comes_from_a_file_or_a_pipe(emulator: Emulator, tmp_path: Path) -> None:
    body = json.dumps({"username": "from-a-file", "password": "correct horse", "email": "file@example.com"})
    (tmp_path / "body.json").write_text(body)
    assert '"from-a-file"' in emulator.eco2("invoke", "auth/register", "--json", f"@{tmp_path}/body.json").stdout
    words = ("invoke", "auth/login", "--json", "-")
    piped = emulator.eco2(*words, stdin=None, input='{"username": "from-a-file", "password": "correct horse"}')
    assert '"access_token"' in piped.stdout
    for given, says in (("@none.json", "none.json can't be read"), ("-", "standard input is no JSON")):
        done = emulator.eco2("invoke", "auth/login", "--json", given, check=False)
        assert (done.returncode, says in done.stderr, done.stderr.count("\n")) == (2, True, 1)


def test_a_person_who_is_asked_for_twice_at_once_is_registered_once(emulator: Emulator) -> None:
    words = [sys.executable, "-m", "runtime.cli", "invoke", "auth/me", "--as", "both", "--state", str(emulator.folder)]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)]
    ids = {json.loads(one.communicate(timeout=60)[0])["id"] for one in both}
    assert ([one.returncode for one in both], len(ids)) == ([0, 0], 1)


def test_a_person_of_somebody_else_s_is_told_apart(emulator: Emulator) -> None:
    body = json.dumps({"username": "mina", "password": "correct horse", "email": "mina@example.com"})
    emulator.eco2("invoke", "auth/register", "--json", body)
    done = emulator.eco2("invoke", "auth/me", "--as", "mina", check=False)
    assert (done.returncode, "mina is registered already" in done.stderr) == (1, True)


def test_another_process_gets_the_addresses_and_a_signal_is_passed_on(emulator: Emulator) -> None:
    said = emulator.eco2("status", "-o", "env").stdout
    shell = f'set -a\n{said}\nexec "$0" -c "import os; print(os.environ[\'API_AUTH_DB_URL\'])"'
    done = subprocess.run(["sh", "-c", shell, sys.executable], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("postgresql://api_auth_role:")
    assert emulator.eco2("exec", "--running", "--", "sh", "-c", "kill -TERM $$", check=False).returncode == 143


@pytest.mark.slow
def test_exec_gives_its_command_the_system_and_returns_its_code(model: Path) -> None:
    check = (
        "import os, sys, urllib.request as r; r.urlopen(os.environ['ECO2_GATEWAY_URL'] + '/openapi.json'); sys.exit(7)"
    )
    words = [sys.executable, "-m", "runtime.cli", "exec", "--", sys.executable, "-c", check]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert done.returncode == 7, done.stderr
    assert not list(Path("/tmp").glob("eco2-exec-*"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_command_ends_with_the_exec_that_runs_it(own_emulator: Emulator, number: signal.Signals) -> None:
    command = "import os, time; print(os.getpid(), flush=True); time.sleep(120)"
    words = [sys.executable, "-m", "runtime.cli", "exec", "--state", str(own_emulator.folder), "--"]
    with subprocess.Popen(
        [*words, sys.executable, "-c", command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
    ) as running:
        assert running.stdout is not None
        pid = int(running.stdout.readline())
        running.send_signal(number)
        running.wait(60)
    assert running.returncode == (143 if number == signal.SIGTERM else -9)
    wait_until(lambda: not alive(pid) and not own_emulator.pids())


@pytest.mark.slow
def test_down_leaves_nothing_running_and_reset_asks_first(own_emulator: Emulator) -> None:
    own_emulator.up()
    refused = own_emulator.eco2("reset", "--yes", check=False)
    assert (refused.returncode, "eco2 down" in refused.stderr) == (1, True)
    own_emulator.down()
    assert own_emulator.pids() == []
    assert "nothing was deleted" in own_emulator.eco2("reset", check=False).stdout
    assert (own_emulator.folder / "secrets.json").exists()
    own_emulator.eco2("reset", "--yes")
    assert not (own_emulator.folder / "secrets.json").exists()
    assert not (own_emulator.folder / "postgres").exists()


@pytest.mark.slow
def test_ctrl_c_stops_everything_in_order(own_emulator: Emulator) -> None:
    words = [
        sys.executable,
        "-m",
        "runtime.cli",
        "up",
        "--state",
        str(own_emulator.folder),
        "--port",
        str(own_emulator.port),
    ]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True) as up:
        assert up.stdout is not None
        said = ""
        while "A first session" not in said:
            said += up.stdout.readline()
        os.kill(up.pid, signal.SIGINT)
        up.stdout.read()
        assert up.wait(30) == 0
    assert own_emulator.url in said
    assert own_emulator.pids() == []


@pytest.mark.slow
def test_kill_9_at_random_moments_leaves_nothing_alive_and_the_next_start_is_clean(new_emulator: Emulator) -> None:
    words = [
        sys.executable,
        "-m",
        "runtime.cli",
        "up",
        "--state",
        str(new_emulator.folder),
        "--port",
        str(new_emulator.port),
    ]
    chance = random.Random(5)
    for _ in range(20 if os.environ.get("ECO2_KILLS") == "all" else 3):  # all in `make faults`
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, cwd=ROOT, start_new_session=True) as up:
            time.sleep(chance.uniform(0.05, 5.0))
            up.kill()
            up.wait()
        wait_until(lambda: not new_emulator.pids())
    new_emulator.up()
    assert {part["state"] for part in new_emulator.about["parts"]} == {"ready"}


@pytest.mark.slow
def test_two_emulators_run_side_by_side(emulator: Emulator, new_emulator: Emulator) -> None:
    new_emulator.up()
    first, second = emulator.about, new_emulator.about
    assert first["gateway"] != second["gateway"]
    assert {part["pid"] for part in first["parts"]}.isdisjoint(part["pid"] for part in second["parts"])
    with emulator.client() as one, new_emulator.client() as other:
        assert one.get("/api/v1/auth/jwks.json").json() != other.get("/api/v1/auth/jwks.json").json()
