"""Saving a file: the services that hold it run the new code, the others do not notice, and an error keeps the old."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from functions.ai.variants import REVISION, VARIANTS
from tests.emulator import conftest
from tests.emulator.conftest import Emulator
from tests.support import wait_until

pytestmark = pytest.mark.slow

ROOT = conftest.ROOT
NEW = (sys.executable, "-m", "runtime.cli", "new")


@pytest.fixture(scope="module")
def checkout(started_once: Path) -> Iterator[tuple[Path, Emulator]]:
    """A copy of the checkout with an emulator of its own: tests write into files that others read."""
    copy = Path(tempfile.mkdtemp(prefix="eco2-checkout-"))
    for name in ("functions", "shared", "runtime", "emulator", "k8s", "locks"):
        shutil.copytree(ROOT / name, copy / name)
    shutil.copy(ROOT / "pyproject.toml", copy)
    emulator = conftest.copied(started_once)
    emulator.root = copy
    (emulator.folder / "closures.json").unlink(missing_ok=True)  # of another checkout
    try:
        emulator.up()
        wait_until(lambda: (emulator.folder / "closures.json").exists())
        yield copy, emulator
    finally:
        emulator.destroy()
        shutil.rmtree(copy)


def pids(emulator: Emulator) -> dict[str, int]:
    return {part["name"]: part["pid"] for part in emulator.about["parts"]}


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_a_saved_function_runs_anew_and_the_others_go_on(checkout: tuple[Path, Emulator]) -> None:
    folder, emulator = checkout
    before = pids(emulator)
    edit(folder / "functions/auth/jwks.py", "@get(", "CHANGED = 1\n\n\n@get(")
    wait_until(lambda: pids(emulator)["api-auth"] not in (None, before["api-auth"]))
    after = pids(emulator)
    assert {name for name in after if after[name] != before[name]} == {"api-auth"}


def test_a_new_service_answers_by_itself_and_a_removed_one_no_more(checkout: tuple[Path, Emulator]) -> None:
    folder, emulator = checkout
    before = pids(emulator)
    subprocess.run([*NEW, "service", "harbour"], cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)}, check=True)
    with emulator.client() as client:

        def status() -> int:
            return client.get("/api/v1/harbour/hello").status_code

        wait_until(lambda: status() == 401)  # it is there, and asks who one is
        token = emulator.eco2("invoke", "harbour/hello", "--as", "newcomer")
        assert '"person"' in token.stdout
        edit(folder / "functions/harbour/hello.py", "str(user.id)", '"new"')
        wait_until(lambda: '"new"' in emulator.eco2("invoke", "harbour/hello", "--as", "newcomer").stdout)
        assert {name: pid for name, pid in pids(emulator).items() if name in before} == before
        shutil.rmtree(folder / "functions/harbour")
        wait_until(lambda: status() == 404)
    wait_until(lambda: "api-harbour" not in pids(emulator))  # the route goes before its process


def test_new_code_finds_the_classifiers_files_that_it_reads(checkout: tuple[Path, Emulator]) -> None:
    """As after `git pull` while the system runs: with the files of the code before no photo would be looked at."""
    folder, emulator = checkout
    before = pids(emulator)
    edit(folder / "functions/ai/variants.py", f"REVISION = {REVISION}", f"REVISION = {REVISION + 1}")
    wait_until(lambda: pids(emulator)["worker-ai"] not in (None, before["worker-ai"]))
    facts = [json.loads(file.read_text()) for file in (emulator.folder / "model").glob("*.json")]
    assert [fact["revision"] for fact in facts] == [REVISION + 1] * len(VARIANTS)


def test_a_wrong_service_toml_is_said_and_everybody_else_goes_on(checkout: tuple[Path, Emulator]) -> None:
    folder, emulator = checkout
    wrong, own = folder / "functions/wrong", folder / "functions/auth/service.toml"
    good = own.read_text()
    wrong.mkdir()
    (wrong / "service.toml").write_text("name = 1\n")
    own.write_text(good.replace("replicas = ", "replicas = -"))
    wait_until(lambda: len(left_out(emulator)) == 2)
    assert any("functions/wrong/service.toml: Expected `str`" in line for line in left_out(emulator))
    # The others are reloaded meanwhile, and the one whose file is wrong goes on as it was.
    before = pids(emulator)
    edit(folder / "functions/recycle_info/list_categories.py", "@get(", "STILL = 1\n\n\n@get(")
    wait_until(lambda: pids(emulator)["api-recycle-info"] not in (None, before["api-recycle-info"]))
    edit(folder / "functions/auth/jwks.py", "@get(", "STILL = 1\n\n\n@get(")
    wait_until(lambda: any("replicas" in line and line.startswith("api-auth: ") for line in troubles(emulator)))
    assert pids(emulator)["api-auth"] == before["api-auth"]
    # Mended, what was saved while it was wrong comes with it.
    shutil.rmtree(wrong)
    own.write_text(good)
    wait_until(lambda: pids(emulator)["api-auth"] not in (None, before["api-auth"]))
    wait_until(lambda: troubles(emulator) == [])


def test_a_broken_file_keeps_its_own_services_and_no_other_that_is_saved_with_it(
    checkout: tuple[Path, Emulator],
) -> None:
    folder, emulator = checkout
    before = pids(emulator)
    broken, file = folder / "functions/location/hours.py", folder / "functions/recycle_info/list_categories.py"
    good = broken.read_text()
    broken.write_text(good + "\ndef (:\n")
    file.write_text(file.read_text() + "\n# together\n")
    wait_until(lambda: pids(emulator)["api-recycle-info"] not in (None, before["api-recycle-info"]))
    wait_until(lambda: [line.partition(":")[0] for line in troubles(emulator)] == ["api-location"])
    broken.write_text(good)
    wait_until(lambda: troubles(emulator) == [])
    # The template has imported this one itself: what is saved beside it waits for it.
    settings = folder / "runtime/telemetry.py"
    good, loader = settings.read_text(), folder / "runtime/loader.py"
    settings.write_text(good + "\ndef (:\n")
    loader.write_text(loader.read_text() + "\n# waits\n")
    wait_until(lambda: len(troubles(emulator)) >= 8)
    before = pids(emulator)
    settings.write_text(good)
    wait_until(lambda: troubles(emulator) == [])
    wait_until(lambda: None not in pids(emulator).values() and pids(emulator)["api-location"] != before["api-location"])


def test_a_migration_that_forgets_its_schema_is_told_so(checkout: tuple[Path, Emulator]) -> None:
    folder, emulator = checkout
    forgetful = folder / "functions/location/migrations/9001_forgets.sql"
    forgetful.write_text("CREATE TABLE shops (id UUID PRIMARY KEY);\n")
    wait_until(lambda: "names no schema: write locations.shops" in (emulator.folder / "logs" / "eco2.log").read_text())
    forgetful.unlink()


def test_an_error_keeps_the_old_code_and_says_so_in_each_answer(checkout: tuple[Path, Emulator]) -> None:
    folder, emulator = checkout
    file = folder / "functions/recycle_info/list_categories.py"
    good = file.read_text()
    before = pids(emulator)["api-recycle-info"]
    with emulator.client() as client:

        def said() -> str:
            answer = client.get("/api/v1/recycle/categories")
            assert answer.status_code == 200
            return str(answer.headers.get("x-eco2-reload-error", ""))

        file.write_text(good + "\ndef (:\n")
        wait_until(lambda: "list_categories.py, line" in said())
        file.write_text(good + "\nnot_defined_anywhere\n")
        wait_until(lambda: "NameError" in said())
        assert pids(emulator)["api-recycle-info"] == before
        file.write_text(good + "\n")
        wait_until(lambda: said() == "")
        wait_until(lambda: pids(emulator)["api-recycle-info"] not in (None, before))
    assert "not reloaded" in (emulator.folder / "logs" / "eco2.log").read_text()


def test_requests_wait_for_the_new_code_and_none_fails(checkout: tuple[Path, Emulator]) -> None:
    folder, emulator = checkout
    before = pids(emulator)["api-recycle-info"]
    file = folder / "functions/recycle_info/list_categories.py"
    with emulator.client() as client:
        file.write_text(file.read_text() + "\n# again\n")
        codes = {client.get("/api/v1/recycle/categories").status_code for _ in range(300)}
        wait_until(lambda: pids(emulator)["api-recycle-info"] not in (None, before))
        codes |= {client.get("/api/v1/recycle/categories").status_code for _ in range(50)}
    assert codes == {200}


def test_a_shared_file_reaches_those_who_import_it(checkout: tuple[Path, Emulator]) -> None:
    folder, emulator = checkout
    before = pids(emulator)
    file = folder / "shared/uploads.py"
    file.write_text(file.read_text() + "\n# changed\n")
    wait_until(lambda: pids(emulator)["api-waste"] not in (None, before["api-waste"]))
    wait_until(lambda: pids(emulator)["api-userinfo"] not in (None, before["api-userinfo"]))
    after = pids(emulator)
    assert after["api-auth"] == before["api-auth"]
    assert after["syncer-ai"] is not None


def test_a_saved_migration_is_applied_before_the_code_that_needs_it(checkout: tuple[Path, Emulator]) -> None:
    folder, emulator = checkout
    before = pids(emulator)["api-recycle-info"]
    migration = folder / "functions/recycle_info/migrations/0900_notes.sql"
    file = folder / "functions/recycle_info/list_categories.py"
    good = file.read_text()
    asking = good.replace("return await", 'await conn.execute("SELECT text FROM notes")\n        return await')
    assert asking != good
    with emulator.client() as client:

        def said() -> tuple[int, str]:
            answer = client.get("/api/v1/recycle/categories")
            return answer.status_code, str(answer.headers.get("x-eco2-reload-error", ""))

        # One save with both: a table that PostgreSQL refuses keeps the old code, which does not ask for it.
        migration.write_text("CREATE TABLE recycle_info.notes (text nonsense);\n")
        file.write_text(asking)
        wait_until(lambda: "0900_notes" in said()[1])
        status, error = said()
        assert status == 200
        assert 'type "nonsense" does not exist' in error
        assert any('type "nonsense" does not exist' in line for line in troubles(emulator))
        assert pids(emulator)["api-recycle-info"] == before
        # Mended, it is applied, and the code that waited for it comes with it.
        migration.write_text("CREATE TABLE recycle_info.notes (text text);\n")
        wait_until(lambda: said()[1] == "" and pids(emulator)["api-recycle-info"] not in (None, before))
        assert said() == (200, "")
        assert troubles(emulator) == []
        # What is written into it later can't be applied any more: that is said, and nothing stands still for it.
        migration.write_text("CREATE TABLE recycle_info.notes (text text, more text);\n")
        wait_until(lambda: "put what is new into a new file" in said()[1])
        file.write_text(good)
        migration.write_text("CREATE TABLE recycle_info.notes (text text);\n")
        wait_until(lambda: said() == (200, ""))
    assert "migrated recycle_info.0900_notes" in (emulator.folder / "logs" / "eco2.log").read_text()


def left_out(emulator: Emulator) -> list[str]:
    return [line for line in troubles(emulator) if line.startswith("left out: ")]


def troubles(emulator: Emulator) -> list[str]:
    headers = {"X-Eco2-Token": emulator.token}
    with emulator.client() as client:
        found: list[str] = client.get("/_emulator/api/system", headers=headers).json()["troubles"]
    return found
