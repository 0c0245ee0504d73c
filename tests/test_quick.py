"""What `make quick` chooses."""

from pathlib import Path

from tests.quick import chosen
from tests.reach import Reach

REACH = Reach()


def test_the_mirrored_test_of_a_function_comes_first() -> None:
    assert REACH.tests_of(["functions/auth/login.py"])[0] == "tests/auth/test_login.py"


def test_the_deploy_s_programs_have_their_tests_first_though_these_lie_in_the_folder_above() -> None:
    assert REACH.tests_of(["k8s/programs/lock.py"], ["leave"])[0] == "tests/k8s/test_lock.py"


def test_a_service_s_sql_reaches_its_tests_and_no_other_service_s() -> None:
    tests = REACH.tests_of(["functions/userinfo/migrations/0001_seed.sql"])
    assert tests
    assert all(test.startswith("tests/userinfo/") for test in tests)


def test_who_names_a_statement_is_asked_about_it_before_the_others_of_its_service() -> None:
    tests = REACH.tests_of(["functions/auth/db.py"], ["delete_identity"])
    assert "tests/auth/test_unlink_identity.py" in tests[:3]
    assert sorted(tests) == sorted(REACH.tests_of(["functions/auth/db.py"]))


def test_a_function_reaches_the_tests_of_what_it_uses_before_other_functions() -> None:
    tests = REACH.tests_of(["functions/waste/correct_analysis.py"])
    assert tests[0] == "tests/waste/test_correct_analysis.py"
    assert {"tests/waste/test_db.py", "tests/waste/test_guides.py"} <= set(tests[1:7])


def test_a_module_reaches_the_tests_that_import_what_imports_it() -> None:
    tests = REACH.tests_of(["shared/clock.py"])
    assert tests[0] == "tests/shared/test_clock.py"
    assert "tests/runtime/delivery/test_relay.py" in tests


def test_what_is_proven_of_all_programs_at_once_is_reached_by_each() -> None:
    near = REACH.tests_of(["functions/auth/attempts.py"])
    assert {"tests/test_limits.py", "tests/test_patience.py", "tests/contract/test_table.py"} <= set(near[:9])
    assert near.index("tests/contract/test_strangers.py") > near.index("tests/auth/test_sweep.py")
    assert "tests/test_limits.py" in REACH.tests_of(["shared/rates.py"])[:5]


def test_what_runs_as_a_process_reaches_the_tests_that_start_it() -> None:
    assert REACH.tests_of(["emulator/servers/s3/disk.py"])[0] == "tests/emulator/servers/test_s3.py"
    assert "tests/k8s/test_secrets.py" in REACH.tests_of(["k8s/programs/rotate.py"])[:5]
    assert "tests/emulator/test_replicas.py" in REACH.tests_of(["emulator/commands/roll.py"])[:9]


def test_a_test_is_found_for_every_program() -> None:
    programs = [file for file in REACH._files if file.endswith(".py") and not file.startswith("tests/")]
    assert [file for file in programs if not REACH.tests_of([file]) and Path(file).name != "__init__.py"] == []


def test_what_is_no_program_reaches_the_tests_of_who_names_it_or_its_folder() -> None:
    assert "tests/shared/test_rates.py" in REACH.tests_of(["shared/rates.lua"])[:3]
    assert "tests/runtime/delivery/test_broker.py" in REACH.tests_of(["runtime/delivery/scripts/fetch.lua"])[:3]
    assert "tests/k8s/test_manifests.py" in REACH.tests_of(["k8s/base/redis/broker.conf"])[:5]
    assert "tests/k8s/test_workflows.py" in REACH.tests_of([".github/workflows/pull-request.yml"])
    parts = [file for file in REACH._files if file.endswith((".lua", ".sql", ".conf", "Containerfile"))]
    parts += [file for file in REACH._files if file.startswith("k8s/") and file.endswith((".yaml", ".json", ".toml"))]
    unread = [file for file in parts if not {*REACH.tests_of([file])} - {"tests/test_quick.py"}]
    assert unread == ["k8s/checkov.yaml"], "that is a tool's own"


def test_a_document_reaches_no_import() -> None:
    assert REACH.tests_of(["README.md"]) == []


def test_as_many_run_as_fit_and_never_none() -> None:
    known = {"a": 50.0, "b": 20.0, "c": 5.0}
    assert chosen(["a", "b", "c"], known, budget=60) == ["a", "c"]
    assert chosen(["a"], known, budget=10) == ["a"]
