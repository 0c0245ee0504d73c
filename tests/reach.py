"""Which test files a file reaches, nearest first: by imports, and by the mirrored place.

`make quick` and `make mutants` ask here. Functions are loaded by the loader and not imported, so a service's tests reach all of
its folder, and the test at a file's mirrored path comes first of all.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, cached_property
from pathlib import Path

from runtime.services import ROOT

OWN = ("functions", "shared", "runtime", "emulator", "k8s", "tests")
# What every test imports by its fixtures says nothing about one of them.
EVERYWHERE = {"tests/conftest.py", "tests/support.py"}
# Steps from a service's test to a file of its service that it does not mirror: farther than an import.
SAME_SERVICE = 2


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
        """The test files that any of the files reaches, nearest first, equally near ones by name.

        With `naming`, names of a function and its callers, those come before all others that name the first of them, or whose
        mirrored file does, then those that name the next: a service's db.py is near to every test of the service.
        """
        wanted = set(files)
        near: dict[str, int] = {}
        for test, reached in self.distances.items():
            steps = [reached[file] for file in wanted if file in reached]
            if steps:
                near[test] = min(steps)
        return sorted(near, key=lambda test: (self._named(test, naming), near[test], test))

    def _named(self, test: str, names: Sequence[str]) -> int:
        """How far down in the names the first one is that the test or its mirrored file has."""
        files = [self.root / file for file, steps in self.distances[test].items() if steps == 0]
        return next((at for at, name in enumerate(names) if any(name in _words(file) for file in files)), len(names))

    def _walk(self, test: str) -> dict[str, int]:
        found = {test: 0}
        layer = [test]
        steps = 0
        while layer:
            steps += 1
            reached = [file for one in layer for file in self._imports.get(one, ()) if file not in found]
            layer = list(dict.fromkeys(reached))
            found.update(dict.fromkeys(layer, steps))
        folder = Path(test).parent.as_posix().removeprefix("tests/")
        mirrored = Path(folder, Path(test).name.removeprefix("test_")).as_posix()
        for file in self._files:
            if file in (mirrored, f"functions/{mirrored}"):
                found[file] = 0
            elif file.startswith(f"functions/{folder}/"):
                found[file] = min(found.get(file, SAME_SERVICE), SAME_SERVICE)
        return found

    @cached_property
    def _files(self) -> list[str]:
        return [
            path.relative_to(self.root).as_posix()
            for folder in OWN
            for path in sorted((self.root / folder).rglob("*"))
            if path.is_file() and not {"__pycache__", "node_modules"} & set(path.parts)
        ]

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
