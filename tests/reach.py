"""Which test files a file reaches, nearest first: by imports, by the names of modules and of files in texts, and by the mirrored
place.

`make quick` and `make mutants` ask here. Functions are loaded by the loader and not imported, so a service's tests reach all of
its folder, and the test at a file's mirrored path comes first of all. Commands and the emulator's parts are processes of their
own: whoever starts one names its module (`COMMANDS` of runtime/cli.py, `emulator/system.py`). What is no program (a script, a
manifest, a migration, a page) is reached by who names it, or a folder around it, in the same package or in a test.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, cached_property
from pathlib import Path

from runtime.services import ROOT

OWN = ("functions", "shared", "runtime", "emulator", "k8s", "tests")
# Where files lie that tests alone read.
BESIDE = (".github", "docs")
# What every test imports by its fixtures says nothing about one of them.
EVERYWHERE = {"tests/conftest.py", "tests/support.py"}
# Steps from a service's test to a file of its service that it does not mirror: farther than an import.
SAME_SERVICE = 2
# Quick tests of what all programs of these packages have: they read them as text or serve all services, and no import says so.
OF_ALL = {
    "tests/test_limits.py": ("functions/", "shared/", "runtime/", "k8s/", "emulator/"),
    "tests/test_patience.py": ("functions/", "shared/", "runtime/"),
    "tests/contract/test_table.py": ("functions/",),
}
# Steps from the other tests of the contract to a function.
CONTRACT = 3
_MODULE = re.compile(rf"(({'|'.join(OWN)})(\.\w+)+)(:\w*)?")


class Reach:
    """The imports of one checkout, and what follows from them."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root

    @cached_property
    def tests(self) -> list[str]:
        """Every test file, as paths below the checkout."""
        return sorted(path.relative_to(self.root).as_posix() for path in (self.root / "tests").rglob("test_*.py"))

    @cached_property
    def distances(self) -> dict[str, dict[str, int]]:
        """Test file to each file that it reaches, with the number of steps."""
        return {test: self._walk(test) for test in self.tests}

    def tests_of(self, files: Iterable[str], naming: Sequence[str] = ()) -> list[str]:
        """The test files that any of the files reaches, nearest first; of equally near ones those of its folder, and those that
        name it (as a command is named), come first.

        With `naming`, names of a function and its callers, those come before all others that name the first of them, or whose
        mirrored file does, then those that name the next: a service's db.py is near to every test of the service.
        """
        wanted = set(files)
        near: dict[str, int] = {}
        for test, reached in self.distances.items():
            steps = [reached[file] for file in wanted if file in reached]
            if steps:
                near[test] = min(steps)
        return sorted(near, key=lambda test: (self._named(test, naming), near[test], self._apart(test, wanted), test))

    def _apart(self, test: str, files: Iterable[str]) -> tuple[int, bool]:
        """How many folders of the nearest file's path are not the test's, and whether the test does not name it."""
        own, words = Path(test).parent.relative_to("tests"), _words(self.root / test)
        return min(
            (len(path.parts) - sum(path.is_relative_to(part) for part in (own, *own.parents)), path.stem not in words)
            for path in map(Path, files)
        )

    def _named(self, test: str, names: Sequence[str]) -> int:
        """How far down in the names the first one is that the test or its mirrored file has."""
        files = [self.root / file for file, steps in self.distances[test].items() if steps == 0]
        return next((at for at, name in enumerate(names) if any(name in _words(file) for file in files)), len(names))

    def reached(self, file: str, *beside: str) -> dict[str, int]:
        """The files that a file imports, itself too, with the number of steps; `beside` are imported by others for it."""
        found = {file: 0} | dict.fromkeys(beside, 1)
        layer = list(found)
        steps = 0
        while layer:
            steps += 1
            reached = [other for one in layer for other in self._imports.get(one, ()) if other not in found]
            layer = list(dict.fromkeys(reached))
            found.update(dict.fromkeys(layer, steps))
        return found

    def _walk(self, test: str) -> dict[str, int]:
        above = (f"{parent.as_posix()}/conftest.py" for parent in Path(test).parents[:-1])
        found = self.reached(test, *(file for file in above if file in self._imports and file not in EVERYWHERE))
        folder = Path(test).parent.as_posix().removeprefix("tests/")
        mirrored = Path(folder, Path(test).name.removeprefix("test_")).as_posix()
        # The deploy's programs have their tests in the folder above.
        mirrors = {mirrored, f"functions/{mirrored}", mirrored.replace("k8s/", "k8s/programs/", 1)}
        for file in self._files:
            if file in mirrors:
                found[file] = 0
            elif file.startswith(f"{mirrored.removesuffix('.py')}/"):
                found[file] = 1
            elif file.endswith(".py") and file.startswith(OF_ALL.get(test, ())):
                found[file] = min(found.get(file, 1), 1)
            elif folder == "contract" and file.endswith(".py") and file.startswith("functions/"):
                found.setdefault(file, CONTRACT)
            elif file.startswith(f"functions/{folder}/"):
                # What a test of db.py holds up is a function that uses it.
                uses = f"functions/{mirrored}" in self._imports.get(file, ())
                found[file] = min(found.get(file, SAME_SERVICE), 1 if uses else SAME_SERVICE)
        return found

    @cached_property
    def _files(self) -> list[str]:
        return [
            path.relative_to(self.root).as_posix()
            for folder in (*OWN, *BESIDE)
            for path in sorted((self.root / folder).rglob("*"))
            if path.is_file() and not {"__pycache__", "node_modules"} & set(path.parts)
        ]

    @cached_property
    def _data(self) -> dict[tuple[str, str], list[str]]:
        """What is no program, by its package and by its name, or that of the outermost folder around it without a program."""
        run = [file for file in self._files if file.endswith(".py") and file.startswith(OWN)]
        programs = {parent for file in run for parent in Path(file).parents}
        found: dict[tuple[str, str], list[str]] = defaultdict(list)
        for file in self._files:
            package = file.partition("/")[0]
            # A service's migrations are its tests'.
            if package in BESIDE or (not file.endswith(".py") and package != "functions"):
                found[package, Path(file).name].append(file)
                for folder in [one for one in reversed(Path(file).parents) if one not in programs and one.parent.name][
                    :1
                ]:
                    found[package, folder.name].append(file)
        return found

    def _named_data(self, reader: str, text: str) -> Iterator[str]:
        """The files that a module names in a text: of its own package, or of the one that it is a test of; others by a path."""
        parts = Path(reader).parts
        near = (parts[1] if parts[0] == "tests" else parts[0], *(BESIDE if parts[0] == "tests" else ()))
        packages = OWN if parts[0] == "tests" and re.fullmatch(r"[\w./-]+[/.][\w./-]+", text) else near
        for name in text.split("/"):
            yield from (file for package in packages for file in self._data.get((package, name), ()))

    @cached_property
    def _imports(self) -> dict[str, set[str]]:
        return {file: set(self._read(file)) for file in self._files if file.endswith(".py")}

    def _read(self, file: str) -> Iterator[str]:
        for node in ast.walk(ast.parse((self.root / file).read_text(encoding="utf-8-sig"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                named = _MODULE.fullmatch(node.value)
                names = [named[1], f"{named[1]}.__main__"] if named else []
                yield from self._named_data(file, node.value)
            for name in names:
                yield from (target for target in self._places(name) if target not in EVERYWHERE)

    def _places(self, module: str) -> Iterator[str]:
        path = module.replace(".", "/")
        for place in (f"{path}.py", f"{path}/__init__.py"):
            if module.partition(".")[0] in OWN and (self.root / place).is_file():
                yield place


@cache
def _words(path: Path) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", path.read_text(encoding="utf-8-sig")))
