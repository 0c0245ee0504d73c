"""The plan as an engineer and CI see it: `eco2 plan`, `eco2 why`, and what a second run says."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.services import ROOT, load_services
from tests.k8s.conftest import run_eco2

Eco2 = Callable[..., subprocess.CompletedProcess[str]]


def plan(eco2: Eco2, running: Path) -> dict[str, dict[str, Any]]:
    """The plan's services against a file."""
    done = eco2("plan", "--json", "--running", str(running))
    assert done.returncode == 0, done.stderr
    return services(json.loads(done.stdout))


def services(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The entries of a plan by their service."""
    return {entry["service"]: entry for entry in found["services"]}


# A valid file in which nothing runs.
EMPTY = Path(__file__).with_name("nothing.json")


def append(file: Path, text: str = "\nCHANGED = True\n") -> None:
    file.write_text(file.read_text(encoding="utf-8") + text, encoding="utf-8")


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of somebody who has planned what this checkout is: the state knows each tag, `plan.json` is the plan."""
    home = tmp_path_factory.mktemp("planned")
    done = run_eco2(ROOT, home, "plan", "--json", "--running", str(EMPTY))
    assert done.returncode == 0, done.stderr
    (home / "plan.json").write_text(done.stdout)
    return home


@pytest.fixture
def whole(planned: Path, tmp_path: Path) -> Path:
    """A file of what would run if everything had just been deployed: a plan with all that is known."""
    return shutil.copy(planned / "plan.json", tmp_path / "plan.json")


@pytest.fixture
def running(planned: Path, tmp_path: Path) -> Path:
    """The same as tags alone, of which the state knows the rest."""
    shutil.copytree(planned / "state", tmp_path / "state")
    file = tmp_path / "running.json"
    services = json.loads((planned / "plan.json").read_text())["services"]
    file.write_text(json.dumps({entry["service"]: entry["tag"] for entry in services}))
    return file


def test_with_nothing_running_everything_is_new(planned: Path) -> None:
    found = services(json.loads((planned / "plan.json").read_text()))
    assert set(found) == {service.name for service in load_services().values()}
    for name, entry in found.items():
        assert entry["change"] == "new"
        assert entry["running_tag"] is None
        assert entry["functions"], name
        for function in entry["functions"]:
            assert len(function["hash"]) == 64
            assert function["why"][0][-1] == name


def test_after_a_deploy_nothing_is_left_to_do(eco2: Eco2, running: Path) -> None:
    for entry in plan(eco2, running).values():
        assert (entry["change"], entry["functions"], entry["tag"]) == ("unchanged", [], entry["running_tag"])


def test_a_changed_function_is_the_only_one_in_the_plan_and_says_why(eco2: Eco2, running: Path, checkout: Path) -> None:
    append(checkout / "functions/waste/delete_analysis.py")
    found = plan(eco2, running)
    assert [name for name, entry in found.items() if entry["change"] != "unchanged"] == ["api-waste"]
    assert found["api-waste"]["functions"] == [
        {
            "function": "delete_analysis",
            "hash": found["api-waste"]["functions"][0]["hash"],
            "why": [["functions/waste/delete_analysis.py", "waste/delete_analysis", "api-waste"]],
        }
    ]


def test_the_chain_of_a_library_names_both_versions_and_every_step(eco2: Eco2, running: Path, checkout: Path) -> None:
    lock = checkout / "locks/dev.txt"
    text = lock.read_text(encoding="utf-8")
    start = text.index("\nbcrypt==") + len("\nbcrypt==")
    old = text[start : text.index(" ", start)]
    lock.write_text(text[:start] + "99.0" + text[start + len(old) :], encoding="utf-8")
    found = plan(eco2, running)
    assert [name for name, entry in found.items() if entry["change"] != "unchanged"] == ["api-auth"]
    login = next(entry for entry in found["api-auth"]["functions"] if entry["function"] == "login")
    assert [
        f"bcrypt {old} -> 99.0",
        "functions/auth/passwords.py",
        "functions/auth/login.py",
        "auth/login",
        "api-auth",
    ] in login["why"]


def test_a_migration_alone_rolls_its_service_out_and_changes_no_function(
    eco2: Eco2, running: Path, checkout: Path
) -> None:
    (checkout / "functions/auth/migrations/0099_more.sql").write_text("SELECT 1;\n")
    found = plan(eco2, running)
    assert [name for name, entry in found.items() if entry["change"] != "unchanged"] == ["api-auth"]
    assert found["api-auth"]["functions"] == []
    assert found["api-auth"]["why"] == [["functions/auth/migrations/0099_more.sql (new)", "api-auth"]]


def test_more_replicas_change_manifests_and_no_image(eco2: Eco2, checkout: Path, whole: Path) -> None:
    toml = checkout / "functions/chat_llm/service.toml"
    toml.write_text(toml.read_text(encoding="utf-8").replace("replicas = 2", "replicas = 3"), encoding="utf-8")
    entry = plan(eco2, whole)["api-chat-llm"]
    assert (entry["change"], entry["functions"], entry["tag"]) == ("manifests", [], entry["running_tag"])


def test_a_rollout_that_was_skipped_is_still_in_the_next_plan(eco2: Eco2, running: Path, checkout: Path) -> None:
    append(checkout / "functions/auth/login.py")
    plan(eco2, running)
    append(checkout / "functions/waste/db.py")
    found = plan(eco2, running)
    assert [name for name, entry in found.items() if entry["change"] != "unchanged"] == ["api-auth", "api-waste"]
    assert [function["function"] for function in found["api-auth"]["functions"]] == ["login"]


def test_a_comment_is_in_the_plan_as_text_only_and_rolls_nothing(eco2: Eco2, checkout: Path, whole: Path) -> None:
    append(checkout / "shared/tasks.py", "\n# a comment\n")
    found = plan(eco2, whole)
    assert {entry["change"] for entry in found.values()} == {"unchanged"}
    assert found["api-waste"]["text_only"] == ["shared/tasks.py"]
    assert "text only: shared/tasks.py" in eco2("plan", "--running", str(whole)).stdout


def test_undoing_a_change_undoes_its_place_in_the_plan(eco2: Eco2, running: Path, checkout: Path) -> None:
    file = checkout / "functions/auth/login.py"
    before = file.read_bytes()
    append(file)
    file.write_bytes(before)
    assert {entry["change"] for entry in plan(eco2, running).values()} == {"unchanged"}


def test_a_tag_of_which_nothing_is_known_means_all_functions(eco2: Eco2, tmp_path: Path) -> None:
    file = tmp_path / "running.json"
    file.write_text('{"api-auth": "0123456789abcdef", "api-gone": "1111111111111111"}')
    found = plan(eco2, file)
    assert found["api-auth"]["change"] == "changed"
    assert len(found["api-auth"]["functions"]) > 10
    assert found["api-gone"]["change"] == "removed"
    assert found["api-waste"]["change"] == "new"


@pytest.mark.parametrize("content", ["", "[1]", '{"api-auth": 7}', "nonsense"])
def test_a_file_that_is_no_plan_is_refused_in_a_line(eco2: Eco2, tmp_path: Path, content: str) -> None:
    file = tmp_path / "running.json"
    file.write_text(content)
    done = eco2("plan", "--running", str(file))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "running.json" in done.stderr


def test_a_person_reads_the_same_plan(eco2: Eco2, running: Path, checkout: Path) -> None:
    append(checkout / "shared/ids.py")
    done = eco2("plan", "--running", str(running))
    assert "shared/ids.py > " in done.stdout
    assert "> worker-ai" in done.stdout


def test_why_names_everything_that_a_file_reaches(eco2: Eco2) -> None:
    lines = eco2("why", "functions/auth/passwords.py").stdout.splitlines()
    assert "functions/auth/passwords.py > functions/auth/login.py > auth/login > api-auth" in lines
    assert all(line.endswith("> api-auth") for line in lines)


def test_why_knows_libraries_migrations_and_settings(eco2: Eco2) -> None:
    assert "> auth/login > api-auth" in eco2("why", "bcrypt").stdout
    out = eco2("why", "functions/waste/migrations/0001_seed.sql").stdout.splitlines()
    if out:
        assert out[0].endswith("> api-waste")
    assert "> ai/classify_photo > worker-ai" in eco2("why", "functions/ai/service.toml").stdout
    assert "reaches no function" in eco2("why", "emulator/servers/postgres.py").stdout


def test_why_of_what_is_not_there_suggests_what_is(eco2: Eco2) -> None:
    done = eco2("why", "functions/auth/logn.py")
    assert done.returncode == 2
    assert "did you mean functions/auth/login.py?" in done.stderr
