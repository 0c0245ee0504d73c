"""Several replicas of a service: who they are, who gets the work, and what changes while people upload."""

import time
from uuid import uuid4

import pytest

from tests.emulator.conftest import Emulator
from tests.faults.rows_emulator import all_ended_once, uploading


@pytest.fixture(scope="module")
def emulator(emulator: Emulator) -> Emulator:
    emulator.eco2("scale", "api-waste=2", "worker-ai=2", "worker-storage=2")
    return emulator


def names(emulator: Emulator, prefix: str) -> list[str]:
    return sorted(part["name"] for part in emulator.about["parts"] if part["name"].startswith(prefix))


def test_each_replica_is_a_part_with_a_process_journal_and_syncer_of_its_own(emulator: Emulator) -> None:
    assert names(emulator, "api-waste") == ["api-waste", "api-waste/2"]
    assert names(emulator, "worker-ai") == ["worker-ai", "worker-ai/2"]
    assert names(emulator, "syncer-ai") == ["syncer-ai", "syncer-ai/2"]
    pids = [part["pid"] for part in emulator.about["parts"]]
    assert len(set(pids)) == len(pids)
    for folder in ("ai", "ai.2", "storage", "storage.2"):
        assert (emulator.folder / "journals" / folder / "worker.db").exists()


def test_requests_go_to_all_of_them_and_to_the_rest_when_one_is_paused(emulator: Emulator) -> None:
    def ask_waste(times: int) -> set[int]:
        found = set()
        for _ in range(times):
            with emulator.client() as client:  # a connection each
                found.add(client.get("/api/v1/waste/stats").status_code)
        return found

    assert ask_waste(12) == {401}
    emulator.eco2("pause", "api-waste/2")
    time.sleep(4.5)  # what the gateway keeps open to it is used no more after four idle seconds
    assert ask_waste(6) == {401}, "nobody waits for who stands still"
    emulator.eco2("pause", "api-waste/2", "--resume")


def test_a_replica_is_killed_and_faulted_by_its_number(emulator: Emulator) -> None:
    before = {part["name"]: part["pid"] for part in emulator.about["parts"]}
    emulator.eco2("kill", "worker-ai/2")
    emulator.wait(lambda: emulator.eco2("status", check=False).returncode == 0)
    after = {part["name"]: part["pid"] for part in emulator.about["parts"]}
    assert {name for name in after if after[name] != before[name]} == {"worker-ai/2"}
    said = emulator.eco2("fault", "add", "redis-broker", "cut", "--service", "worker-ai/2").stdout
    assert "redis-broker cut from worker-ai/2" in said
    emulator.eco2("fault", "clear")
    both = emulator.eco2("kill", "worker-storage")
    assert "worker-storage was killed" in both.stdout
    emulator.wait(lambda: emulator.eco2("status", check=False).returncode == 0)


@pytest.mark.slow
def test_what_is_uploaded_while_replicas_come_go_and_roll_ends_once(emulator: Emulator) -> None:
    with uploading(emulator) as people:
        emulator.wait(lambda: sum(len(person.accepted) for person in people) >= 4)
        emulator.eco2("scale", "api-waste=3", "worker-ai=3")
        assert "replaced api-waste, api-waste/2, api-waste/3" in emulator.eco2("roll", "api-waste").stdout
        assert "worker-ai/3" in emulator.eco2("roll", "worker-ai").stdout
        emulator.eco2("scale", "api-waste=1", "worker-ai=1", "worker-storage=1")
        before = sum(len(person.accepted) for person in people)
        emulator.wait(lambda: sum(len(person.accepted) for person in people) >= before + 4)
    accepted = all_ended_once(emulator, people)
    assert names(emulator, "api-waste") == ["api-waste"]
    # Replicas that left had their journals synced before.
    emulator.eco2("clock", "advance", "6m")
    done = "SELECT count(*) FROM tasks.task_results WHERE task_name = 'classify_photo' AND status = 'success'"
    emulator.wait(lambda: emulator.sql(done) == str(accepted))


def test_what_can_not_be_scaled_is_said_before_anything_changes(emulator: Emulator) -> None:
    before = names(emulator, "api-waste")
    for words, says in (
        (("api-waste=0",), "1 to 16 replicas can run on one machine"),
        (("api-waste=17",), "1 to 16 replicas can run on one machine"),
        (("api-nothing=2",), "there is no service api-nothing"),
        (("api-waste",), "does not say how many of what"),
    ):
        refused = emulator.eco2("scale", *words, check=False)
        assert (refused.returncode, says in refused.stderr) == (2, True), refused.stderr
    assert names(emulator, "api-waste") == before


def test_a_function_is_a_part_of_its_own_and_its_service_serves_the_rest(emulator: Emulator) -> None:
    def served_by(method: str, path: str) -> str:
        with emulator.client() as client:
            headers = {"X-Request-Id": f"apart-{uuid4().hex}"}
            assert client.request(method, path, headers=headers).status_code in (401, 405)
            api = {"X-Eco2-Token": emulator.token}
            for _ in range(100):
                found = client.get("/_emulator/api/traces/" + headers["X-Request-Id"], headers=api)
                if "→" in found.text:
                    return found.text.split("→ ")[1].split('"')[0]
                time.sleep(0.05)
            raise AssertionError("no span")

    emulator.eco2("scale", "api-waste=1")
    assert "api-waste-get-stats: 2 replicas, before 0" in emulator.eco2("scale", "waste/get_stats=2").stdout
    assert names(emulator, "api-waste-get") == ["api-waste-get-stats", "api-waste-get-stats/2"]
    assert served_by("GET", "/api/v1/waste/stats") == "api-waste-get-stats"
    assert served_by("GET", "/api/v1/waste/analyses") == "api-waste"
    assert served_by("POST", "/api/v1/waste/stats") == "api-waste"
    emulator.eco2("kill", "api-waste-get-stats/2")
    emulator.wait(lambda: emulator.eco2("status", check=False).returncode == 0)
    assert "api-waste-get-stats: 0 replicas, before 2" in emulator.eco2("scale", "waste/get_stats=0").stdout
    assert served_by("GET", "/api/v1/waste/stats") == "api-waste"
    assert names(emulator, "api-waste") == ["api-waste"]
    for words, says in (
        (("waste/get_stat=2",), "waste has no HTTP function get_stat: did you mean get_stats?"),
        (("waste/photo_classified=2",), "waste has no HTTP function photo_classified"),
        (("waste/get_stats=17",), "0 to 16 replicas can run on one machine"),
    ):
        refused = emulator.eco2("scale", *words, check=False)
        assert (refused.returncode, says in refused.stderr) == (2, True), refused.stderr
