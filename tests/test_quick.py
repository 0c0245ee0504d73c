"""What `make quick` chooses."""

from tests.quick import chosen
from tests.reach import Reach

REACH = Reach()


def test_the_mirrored_test_of_a_function_comes_first() -> None:
    assert REACH.tests_of(["functions/auth/login.py"])[0] == "tests/auth/test_login.py"


def test_a_service_s_sql_reaches_its_tests_and_no_other_service_s() -> None:
    tests = REACH.tests_of(["functions/userinfo/migrations/0001_seed.sql"])
    assert tests
    assert all(test.startswith("tests/userinfo/") for test in tests)


def test_who_names_a_statement_is_asked_about_it_before_the_others_of_its_service() -> None:
    tests = REACH.tests_of(["functions/auth/db.py"], ["delete_identity"])
    assert "tests/auth/test_unlink_identity.py" in tests[:2]
    assert sorted(tests) == sorted(REACH.tests_of(["functions/auth/db.py"]))


def test_a_module_reaches_the_tests_that_import_what_imports_it() -> None:
    tests = REACH.tests_of(["shared/clock.py"])
    assert tests[0] == "tests/shared/test_clock.py"
    assert "tests/runtime/delivery/test_relay.py" in tests


def test_a_document_reaches_no_import() -> None:
    assert REACH.tests_of(["README.md"]) == []


def test_as_many_run_as_fit_and_never_none() -> None:
    known = {"a": 50.0, "b": 20.0, "c": 5.0}
    assert chosen(["a", "b", "c"], known, budget=60) == ["a", "c"]
    assert chosen(["a"], known, budget=10) == ["a"]
