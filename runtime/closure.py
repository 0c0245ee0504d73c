"""What a function consists of: the files, libraries and settings that its process may load, and one hash over them.

The lint, the emulator's reload, the images and the deploy plan all ask here. Files are read, never imported, and nothing but
their names below the checkout and what they mean counts: not the path, the order, the times, comments or the operating system.

- A module brings every parent package's `__init__` and each package's data files (whatever in its folder is not Python).
- Imports inside functions count. Those under `if TYPE_CHECKING:` never run, and don't.
- `importlib.import_module("a.b")` counts as its import; `f"functions.ai.{name}"` as all of `functions.ai`; one that says
  nothing, as all of the package around it and every library the service's image may hold.
- Libraries follow the lock's own graph to their locked versions, for the platform of the images.
"""

import ast
import functools
import hashlib
import json
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from runtime import loader, meaning
from runtime.readings import Import, Readings
from runtime.services import ROOT, Service, load_services

OWN = ("functions", "shared", "runtime", "emulator", "k8s")
# The modules that a service's container starts, and that load its functions.
HOST = ("runtime.http.host",)
WORKER = ("runtime.delivery.worker", "runtime.journal.syncer")
# What they import with a name made at run time is known by other means: the loader's names are the service's functions,
# and each function is hashed by itself; the command line starts no container.
RESOLVED = {"runtime.loader", "runtime.cli"}
# Modules that every process loads, and whose lazy imports run only in a service that uses the part.
PARTS = {"shared.objects": "objects", "shared.s3": "objects", "shared.s3_xml": "objects", "shared.calls": "calls"}
# Libraries that another loads by a name in a string or a setting.
LOADED_BY_NAME = {"uvicorn": ("httptools", "uvloop")}
# Libraries whose import name is not their name in the lock.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "jwt": "pyjwt",
    "yaml": "pyyaml",
    "yoyo": "yoyo-migrations",
    "skimage": "scikit-image",
}
# What of service.toml shapes the cluster and not the process: it changes manifests, and no image.
CLUSTER_ONLY = {"run": {"replicas", "cpu", "memory", "node", "grace"}, "journal": {"volume"}, "functions": None}
_NO_DATA = {"migrations", "__pycache__"}
# What editors, patch and Git's merges leave beside a file.
_LITTER = ("~", ".pyc", ".orig", ".rej", ".bak")
# Beside its programs lie the cluster's manifests, which hold the tags: they are no one's data.
_PROGRAMS_ONLY = {"k8s"}


class ClosureError(Exception):
    """A closure can't be computed: the message names the file and the import."""


class Closure(Struct, frozen=True, dict=True):
    """All that one function's process may load.

    `inputs` maps each input (a file's path, `library litestar`, `setting uses`, `python`, `base image`) to its digest or
    version, and `via` to the input that brought it in: None for the function's own file and what every function has.
    """

    function: loader.Function
    inputs: dict[str, str]
    via: dict[str, str | None]

    @functools.cached_property
    def hash(self) -> str:
        """64 hexadecimal digits over all inputs."""
        return digest(json.dumps(self.inputs, sort_keys=True).encode())

    @property
    def id(self) -> str:
        """`auth/login`."""
        return f"{self.function.service}/{self.function.name}"

    def files(self) -> list[str]:
        """The files among the inputs, relative to the checkout, sorted."""
        return sorted(key for key in self.inputs if "/" in key)

    def libraries(self) -> dict[str, str]:
        """Locked versions by library name."""
        prefix = "library "
        return {key.removeprefix(prefix): value for key, value in self.inputs.items() if key.startswith(prefix)}

    def chain(self, key: str) -> list[str]:
        """From an input by each import up to the function: `["shared/db.py", "functions/auth/login.py", "auth/login"]`."""
        steps: list[str] = []
        at: str | None = key
        while at is not None:
            steps.append(at)
            at = self.via.get(at)
        return [*steps, self.id]


def digest(content: bytes) -> str:
    """SHA-256 as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def parts(service: Service) -> set[str]:
    """The parts that a service uses: the words of `uses`, and `calls` where it calls others."""
    return {*service.uses, *(["calls"] if service.calls else [])}


class Checkout:
    """The closures of the checkout at `root`. Files are read once: make a new one after a change."""

    def __init__(self, root: Path = ROOT, services: dict[str, Service] | None = None) -> None:
        self.root = root
        self.services = load_services(root) if services is None else services
        self.image: dict[str, Any] = tomllib.loads((root / "k8s/image.toml").read_text(encoding="utf-8"))
        self.lock = Lock(root, self.image["python"])
        self.readings = Readings(root, __file__, meaning.__file__, loader.__file__)
        self._modules: dict[str, list[Import]] = {}
        self._digests: dict[str, str] = {}
        self._files: dict[str, str | None] = {}
        self._data: dict[str, list[str]] = {}

    def functions(self, service: Service) -> list[Closure]:
        """The closures of a service's functions, by name."""
        return [self.closure(function) for function in loader.discover(service, self.root, self.readings.function)]

    def closure(self, function: loader.Function) -> Closure:
        """The closure of one function.

        Raises:
            ClosureError: a file imports what neither the checkout nor the lock has.
        """
        service = self.services[function.service]
        walk = _Walk(self, service.name, parts(service), self._pool(service.dependencies))
        walk.start(function.module, *(WORKER if service.is_worker else HOST))
        inputs = dict(walk.inputs)
        for key, value in self._settings(service):
            inputs[f"setting {key}"] = digest(json.dumps(value, sort_keys=True, ensure_ascii=False).encode())
        inputs["python"] = self.image["python"]
        inputs["base image"] = f"{self.image['base']}@{self.image['digest']}"
        return Closure(function, dict(sorted(inputs.items())), walk.via)

    def reach(self, *modules: str, service: Service | None = None) -> dict[str, str]:
        """The inputs, files and libraries alone, of some modules: in a service's process, or in one that uses all parts."""
        name = service.name if service else modules[0]
        uses, group = (parts(service), service.dependencies) if service else ({*PARTS.values()}, "")
        return self._walk(name, uses, self._pool(group), modules)

    def maker(self, service: Service, made: dict[str, str]) -> dict[str, str]:
        """The inputs of the module that makes something for a service's image: it runs with its own group's libraries alone."""
        return self._walk(service.name, parts(service), self.lock.group(made["group"]), [made["module"]])

    def _walk(self, name: str, uses: set[str], pool: set[str], modules: Iterable[str]) -> dict[str, str]:
        walk = _Walk(self, name, uses, pool)
        walk.start(*modules)
        return walk.inputs

    def _pool(self, group: str) -> set[str]:
        """The libraries that a process of a service may load."""
        return self.lock.base() | self.lock.group(group)

    def made(self, service: Service) -> dict[str, str] | None:
        """What is made for a service's image where it is built: the module that makes it, and its dependency group."""
        found: dict[str, str] | None = self.image.get("made", {}).get(service.folder)
        return found

    def migrations(self, service: Service) -> list[str]:
        """The migrations in a service's image: its own, and those that belong to no one service."""
        return self.sql(f"functions/{service.folder}/migrations", "runtime/migrations")

    def sql(self, *folders: str) -> list[str]:
        """The SQL files below some folders, relative to the checkout."""
        found = (path for folder in folders for path in (self.root / folder).rglob("[!.]*.sql") if path.is_file())
        return sorted(path.relative_to(self.root).as_posix() for path in found)

    def content(self, file: str) -> str:
        """The digest of what a file means: of Python code (see `runtime.meaning`), or of all that is in any other.

        Raises:
            ClosureError: it is Python code, and can't be read as such.
        """
        if file not in self._digests:
            try:
                self._digests[file] = self._meaning(file) if file.endswith(".py") else self.text(file)
            except SyntaxError as error:
                raise ClosureError(f"{file}, line {error.lineno}: {error.msg}") from None
        return self._digests[file]

    def _meaning(self, file: str) -> str:
        return self.readings.meaning(_text(self.root / file), meaning.meaning)

    def text(self, file: str) -> str:
        """The digest of a file's contents. Line ends of text files don't count: a checkout on Windows may have others."""
        data = (self.root / file).read_bytes()
        return digest(data if b"\0" in data else data.replace(b"\r\n", b"\n"))

    def module_file(self, name: str) -> str | None:
        """The file of an own module or package, or None."""
        if name not in self._files:
            path = name.replace(".", "/")
            names = (f"{path}.py", f"{path}/__init__.py")
            self._files[name] = next((file for file in names if (self.root / file).is_file()), None)
        return self._files[name]

    def imports(self, name: str, file: str) -> list[Import]:
        """The imports of an own module, but for those of Python itself."""
        if name not in self._modules:
            package = name if file.endswith("/__init__.py") else name.rpartition(".")[0]
            try:
                code = _text(self.root / file)
                found = self.readings.imports(code, package, name not in RESOLVED, _read)
            except SyntaxError as error:
                raise ClosureError(f"{file}, line {error.lineno}: {error.msg}") from None
            # Ten names of one module are one import of it: each walk takes them all.
            self._modules[name] = list(dict.fromkeys(map(self._resolved, filter(_installed, found))))
        return self._modules[name]

    def _resolved(self, wanted: Import) -> Import:
        """An import of an own module's attribute as that of the module; one of what is not there as it is."""
        name = wanted.name
        while name.partition(".")[0] in OWN and not wanted.whole:
            if self.module_file(name):
                return Import(name, lazy=wanted.lazy)
            if "." not in name:
                break
            name = name.rpartition(".")[0]
        return wanted

    def data_files(self, folder: str) -> list[str]:
        """What lies in a package's folder, or in folders below that are not packages, and is not Python."""
        if folder not in self._data:
            found = [] if folder in _PROGRAMS_ONLY else _data(self.root / folder)
            self._data[folder] = [path.relative_to(self.root).as_posix() for path in found]
        return self._data[folder]

    def group(self, name: str) -> dict[str, str]:
        """The libraries of a dependency group, and what they need, as inputs."""
        return self.libraries(self.lock.group(name))

    def libraries(self, names: Iterable[str]) -> dict[str, str]:
        """Some libraries and what they need, as inputs."""
        queue = sorted(names)
        for library in queue:
            queue.extend(sorted(self.lock.needs.get(library, set()) - {*queue}))
        return {f"library {library}": self.lock.versions[library] for library in queue if library in self.lock.versions}

    def _settings(self, service: Service) -> Iterator[tuple[str, Any]]:
        raw = msgspec.to_builtins(service)
        for key, value in sorted(raw.items()):
            dropped = CLUSTER_ONLY.get(key, set())
            if dropped is None or value is None:
                continue
            yield key, {k: v for k, v in value.items() if k not in dropped} if isinstance(value, dict) else value


def _installed(wanted: Import) -> bool:
    """Whether it is of the checkout or of a library."""
    top = wanted.name.partition(".")[0]
    return top in OWN or (top not in sys.stdlib_module_names and top != "__main__")


def _data(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in _NO_DATA or path.name.endswith(_LITTER):
            continue
        if path.is_dir():
            if not (path / "__init__.py").exists() and not (path / "service.toml").exists():
                yield from _data(path)
        elif path.suffix != ".py" and path.name != "service.toml":
            yield path


class _Walk:
    """One breadth-first walk over imports, so that `via` names the shortest way."""

    def __init__(self, checkout: Checkout, name: str, parts: set[str], pool: set[str]) -> None:
        self.checkout = checkout
        self.name = name
        self.parts = parts
        self.pool = pool  # the libraries that an import which says no name may mean
        self.inputs: dict[str, str] = {}
        self.via: dict[str, str | None] = {}
        self._queue: list[tuple[str, str | None]] = []

    def start(self, *modules: str) -> None:
        for module in modules:
            if self.checkout.module_file(module) is None:
                raise ClosureError(f"{self.name} runs {module}, which is not there")
        self._queue = [(module, None) for module in modules]
        seen = set()
        for module, parent in self._queue:  # grows while it is walked
            if module not in seen:
                seen.add(module)
                self._module(module, parent)

    def _add(self, key: str, value: str, parent: str | None) -> bool:
        if key in self.inputs:
            return False
        self.inputs[key] = value
        self.via[key] = parent
        return True

    def _module(self, name: str, parent: str | None) -> None:
        file = self.checkout.module_file(name)
        if file is None:
            if "." not in name:
                raise ClosureError(f"{parent or name} needs the module {name}, which is not there")
            self._queue.append((name.rpartition(".")[0], parent))  # an attribute of its parent
            return
        if not self._add(file, self.checkout.content(file), parent):
            return
        package = name if file.endswith("/__init__.py") else name.rpartition(".")[0]
        if package and package != name:
            self._queue.append((package, file))
        if file.endswith("/__init__.py"):
            if "." in name:
                self._queue.append((name.rpartition(".")[0], file))
            for data in self.checkout.data_files(name.replace(".", "/")):
                self._add(data, self.checkout.content(data), file)
        for wanted in self.checkout.imports(name, file):
            if wanted.lazy and name in PARTS and PARTS[name] not in self.parts:
                continue
            self._import(wanted, file)

    def _import(self, wanted: Import, file: str) -> None:
        top = wanted.name.partition(".")[0]
        if top in OWN:
            self._queue.append((wanted.name, file))
            if wanted.whole:
                self._queue.extend((module, file) for module in self._below(wanted.name))
        elif not wanted.name:
            self._libraries(self.pool, file)
        elif f"library {(library := self.checkout.lock.distribution(top, file))}" not in self.inputs:
            self._libraries([library], file)

    def _below(self, package: str) -> list[str]:
        folder = self.checkout.root / package.replace(".", "/")
        files = sorted(path.relative_to(self.checkout.root) for path in folder.rglob("[!.]*.py") if path.is_file())
        return [".".join(file.with_suffix("").parts).removesuffix(".__init__") for file in files]

    def _libraries(self, names: Iterable[str], parent: str) -> None:
        queue = [(name, parent) for name in sorted(names)]
        for name, above in queue:
            version = self.checkout.lock.versions.get(name)
            if version is not None and self._add(f"library {name}", version, above):
                below = {*self.checkout.lock.needs.get(name, ()), *LOADED_BY_NAME.get(name, ())}
                queue.extend((child, f"library {name}") for child in sorted(below))


class _Imports(ast.NodeVisitor):
    """Collects a module's imports."""

    def __init__(self, package: str, *, dynamic: bool) -> None:
        self.package = package
        self.dynamic = dynamic
        self.found: list[Import] = []
        self._depth = 0
        self._importers = {"importlib.import_module", "__import__", "runpy.run_module", "runpy.run_path"}
        self._importers |= {"importlib.util.spec_from_file_location", "importlib.resources.files"}

    def _add(self, name: str, *, whole: bool = False) -> None:
        self.found.append(Import(name, whole, self._depth > 0))

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1

    visit_AsyncFunctionDef = visit_Lambda = visit_FunctionDef  # noqa: N815 - names that ast.NodeVisitor looks for

    def visit_If(self, node: ast.If) -> None:
        if _dotted(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for other in node.orelse:
                self.visit(other)
        else:
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(alias.name)
            if alias.asname:
                self._rename(alias.name, alias.asname)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = self._absolute("." * node.level + (node.module or ""))
        for alias in node.names:
            if alias.name == "*":
                self._add(base, whole=True)
            else:
                self._add(f"{base}.{alias.name}")
                self._rename(f"{base}.{alias.name}", alias.asname or alias.name)

    def _rename(self, name: str, local: str) -> None:
        self._importers |= {local + known[len(name) :] for known in self._importers if known.startswith(name)}

    def _absolute(self, name: str) -> str:
        level = len(name) - len(name.lstrip("."))
        if not level:
            return name
        parts = self.package.split(".")
        return ".".join([*parts[: len(parts) - level + 1], name[level:]]).rstrip(".")

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        if not self.dynamic or not node.args or _dotted(node.func) not in self._importers:
            return
        match node.args[0]:
            case ast.Constant(value=str(name)):
                self._add(self._absolute(name), whole=False)
            case (
                ast.JoinedStr(values=[ast.Constant(value=str(start)), *_])
                | ast.BinOp(left=ast.Constant(value=str(start)))
            ) if "." in start.strip("."):
                self._add(self._absolute(start).rpartition(".")[0] or start, whole=True)
            case ast.JoinedStr(values=[ast.Constant(value=str(start)), *_]) if start.endswith("."):
                self._add(self._absolute(start).rstrip("."), whole=True)
            case _:
                self._add(self.package, whole=True)
                self._add("")

    def visit_List(self, node: ast.List | ast.Tuple) -> None:
        """`[sys.executable, "-m", "runtime.journal.syncer"]` starts a module of ours."""
        self.generic_visit(node)
        for option, name in zip(node.elts, node.elts[1:], strict=False):
            match option, name:
                case ast.Constant(value="-m"), ast.Constant(value=str(module)) if module.partition(".")[0] in OWN:
                    self._add(module)

    visit_Tuple = visit_List  # noqa: N815 - names that ast.NodeVisitor looks for


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8-sig")  # a byte order mark is not code


# The emulator's reload and the tests read the same files again and again.
@functools.lru_cache(maxsize=2048)
def _read(code: str, package: str, dynamic: bool) -> list[Import]:
    found = _Imports(package, dynamic=dynamic)
    found.visit(meaning.parsed(code))
    return list(dict.fromkeys(found.found))


@functools.lru_cache(maxsize=16)
def _applies(marker: str, python: str) -> bool:
    """Whether a marker of the lock holds on the platform of the images."""
    from packaging.markers import Marker

    environment = {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }
    return Marker(marker).evaluate(environment)


@functools.lru_cache(maxsize=64)
def _pins(text: str, python: str) -> list[tuple[str, str, str, list[str]]]:
    """Name, version, requirement lines and dependants of every pin of a lock that applies."""
    found = []
    for block in re.split(r"\n(?=[a-zA-Z0-9])", text):
        head = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\\n]+)(?: *; *([^\\\n]+))?", block)
        if head is None or (head[3] and not _applies(head[3].strip(), python)):
            continue
        lines = block.splitlines()
        pin = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
        comments = " ".join(line.strip(" #") for line in lines if line.lstrip().startswith("#"))
        parents = re.findall(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.sub(r"\([^)]*\)", "", comments))
        found.append((normal(head[1]), head[2], pin, [normal(parent) for parent in parents]))
    return found


def _dotted(node: ast.expr) -> str:
    """`importlib.import_module` of the expression that says so, else nothing."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (start := _dotted(node.value)):
        return f"{start}.{node.attr}"
    return ""


class Lock:
    """The graph of locks/dev.txt for the platform of the images: CPython on 64-bit Linux."""

    def __init__(self, root: Path, python: str) -> None:
        self.versions: dict[str, str] = {}
        self.needs: dict[str, set[str]] = {}
        self.pins: dict[str, str] = {}
        for name, version, pin, parents in _pins(_text(root / "locks/dev.txt"), python):
            self.versions[name] = version
            self.pins[name] = pin
            for parent in parents:
                self.needs.setdefault(parent, set()).add(name)
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
        self._groups: dict[str, list[Any]] = project["dependency-groups"]
        self._base: list[str] = project["project"]["dependencies"]

    def distribution(self, module: str, file: str) -> str:
        """The library that an import name belongs to.

        Raises:
            ClosureError: the lock has none.
        """
        name = DISTRIBUTIONS.get(module, normal(module))
        if name not in self.versions:
            raise ClosureError(f"{file} imports {module}, which is in no dependency of pyproject.toml that is locked")
        return name

    def base(self) -> set[str]:
        """What pyproject.toml names for every service."""
        return {requirement_name(line) for line in self._base}

    def group(self, name: str) -> set[str]:
        """What pyproject.toml names in a dependency group."""
        found: set[str] = set()
        for line in self._groups.get(name, []):
            found |= {requirement_name(line)} if isinstance(line, str) else self.group(line["include-group"])
        return found


@functools.lru_cache(maxsize=1024)
def normal(name: str) -> str:
    """A library's name as the package index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_name(line: str) -> str:
    """`psycopg` of `psycopg[binary]>=3.3`."""
    found = re.match(r"[A-Za-z0-9._-]+", line)
    return normal(found[0]) if found else ""
