"""The house in figures: `make house`. A yardstick and not a law: it fails on a new import circle or a broken wall alone."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from runtime.loader import discover
from runtime.services import ROOT, load_services

OWN = ("functions", "shared", "runtime", "emulator", "k8s")
# Import circles that are there, each with the reason why it may stay.
CIRCLES: dict[frozenset[str], str] = {}
# Functions without a test of their own at the mirrored path, each with where its test is and why.
TESTED_ELSEWHERE: dict[str, str] = dict.fromkeys(
    ("userinfo/find_strangers", "waste/strangers_found"), "tests/waste/test_sweep_objects.py: two steps of one sweep"
)
LONG_CLASS, LONG_FUNCTION, MANY_BRANCHES = 250, 50, 15
BRANCHES = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.comprehension, ast.match_case)


class Figure(Struct, frozen=True):
    """Something of the house with a size: where it is, and how large."""

    where: str
    size: int


def sources(root: Path = ROOT) -> list[Path]:
    return sorted(path for folder in OWN for path in (root / folder).rglob("*.py"))


def _nodes(paths: list[Path], root: Path) -> Iterator[tuple[str, ast.stmt]]:
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(root).as_posix()}: {node.name}", node


def lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def branches(node: ast.stmt) -> int:
    """Ways that a function's own lines may take: each condition, loop, handler and case, and each further operand."""
    found, waiting = 0, list(ast.iter_child_nodes(node))
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        found += isinstance(inner, BRANCHES)
        found += len(inner.values) - 1 if isinstance(inner, ast.BoolOp) else 0
        waiting += ast.iter_child_nodes(inner)
    return found


def measured(kinds: tuple[type[ast.stmt], ...], measure: Callable[[ast.stmt], int], root: Path = ROOT) -> list[Figure]:
    """All of some kinds, the largest first."""
    found = [Figure(where, measure(node)) for where, node in _nodes(sources(root), root) if isinstance(node, kinds)]
    return sorted(found, key=lambda figure: (-figure.size, figure.where))


def files(root: Path = ROOT) -> list[Figure]:
    """Every file by its lines, the longest first."""
    found = [Figure(path.relative_to(root).as_posix(), len(path.read_bytes().splitlines())) for path in sources(root)]
    return sorted(found, key=lambda figure: (-figure.size, figure.where))


def graph(root: Path = ROOT) -> dict[str, set[str]]:
    """Who knows whom: every import counts, also one inside of a function or for the type checker alone."""
    paths = {_module(path, root): path for path in sources(root)}
    arrows = {}
    for name, path in paths.items():
        wanted = set(_imports(ast.parse(path.read_text(encoding="utf-8"))))
        arrows[name] = {
            known for full in wanted if (known := full if full in paths else full.rpartition(".")[0]) in paths
        }
        arrows[name].discard(name)
    return arrows


def _module(path: Path, root: Path) -> str:
    return path.relative_to(root).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def circles(arrows: dict[str, set[str]]) -> list[frozenset[str]]:
    """Modules that import each other, directly or not (Tarjan's strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[frozenset[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in sorted(arrows[name]):
            if target not in index:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            at = stack.index(name)
            component = frozenset(stack[at:])
            del stack[at:]
            if len(component) > 1:
                found.append(component)

    for name in sorted(arrows):
        if name not in index:
            visit(name)
    return found


def photo(root: Path = ROOT) -> list[str]:
    """The files that a photo passes, as ARCHITECTURE's life of one photo names them, and what those of functions/ import."""
    text = (root / "ARCHITECTURE.md").read_text(encoding="utf-8")
    section = text.partition("## The life of one photo")[2].partition("\n## ")[0]
    named = set(re.findall(r"`((?:functions|shared|runtime)/[\w/]+\.py)`", section))
    arrows = graph(root)
    for name in [name for name in named if name.startswith("functions/")]:
        module = name.removesuffix(".py").replace("/", ".")
        named |= {f"{target.replace('.', '/')}.py" for target in arrows[module] if target.startswith("functions.")}
    return sorted(named)


def untested(root: Path = ROOT) -> list[str]:
    """Functions without a test file at the mirrored path, `service/function`."""
    functions = [f for service in load_services(root).values() for f in discover(service, root)]
    names = [f"{f.service}/{f.name}" for f in functions]
    return [name for name in names if not (root / "tests" / name.replace("/", "/test_")).with_suffix(".py").is_file()]


def _say(what: str, figures: list[Figure], limit: int) -> None:
    above = [figure for figure in figures if figure.size > limit]
    longest = figures[0]
    print(f"{what} over {limit}: {len(above)}; the longest {longest.size}, {longest.where}")
    for figure in above[1:5]:
        print(f"    {figure.size}  {figure.where}")


def main() -> int:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    _say("classes", measured((ast.ClassDef,), lines), LONG_CLASS)
    _say("functions", measured(functions, lines), LONG_FUNCTION)
    _say("branches of a function", measured(functions, branches), MANY_BRANCHES)
    sizes = files()
    print(f"file p95: {sizes[len(sizes) // 20].size} lines; the longest {sizes[0].size}, {sizes[0].where}")
    passed = photo()
    print(f"files from photo to answer: {len(passed)}")
    missing = untested()
    unnamed = [name for name in missing if name not in TESTED_ELSEWHERE]
    print(f"functions without a test file of their own: {len(missing)}, {len(unnamed)} without a reason")
    for name in missing:
        print(f"    {name}  {TESTED_ELSEWHERE.get(name, '')}".rstrip())
    found = circles(graph())
    new = [circle for circle in found if circle not in CIRCLES]
    print(f"import circles: {len(found)}")
    for circle in found:
        print(f"    {' '.join(sorted(circle))}  {CIRCLES.get(circle, 'NEW')}")
    program = Path(sys.executable).with_name("lint-imports")
    walls = subprocess.run([program], capture_output=True, text=True, check=False)
    print("walls: " + ("stand" if walls.returncode == 0 else walls.stdout))
    return bool(new) or walls.returncode


if __name__ == "__main__":
    sys.exit(main())
