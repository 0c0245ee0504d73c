"""Each function really runs on its closure alone: its files and its libraries, and nothing else of the checkout or the machine.

What the closure misses is not there to be loaded, so it fails; what it loads is recorded (`ECO2_AUDIT`) and compared.
"""

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime.closure import Checkout, Closure, normal
from runtime.services import ROOT, find, load_services
from shared.ids import new_id
from tests import support

# Loaded from the interpreter's own folders, or made by an extension module for itself.
HERE = Path(__file__).parent


def lay_out(checkout: Checkout, closure: Closure, folder: Path, libraries: dict[str, list[Path]]) -> None:
    """Copy the files and link the libraries of one closure."""
    service = closure.function.service
    for file in [*closure.files(), f"functions/{service}/service.toml"]:
        (folder / "app" / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(checkout.root / file, folder / "app" / file)
    (folder / "lib").mkdir()
    for library in closure.libraries():
        for path in libraries.get(library, []):
            if not (folder / "lib" / path.name).exists():
                (folder / "lib" / path.name).symlink_to(path)


def installed() -> dict[str, list[Path]]:
    """What each installed library put into site-packages."""
    found: dict[str, list[Path]] = {}
    for distribution in importlib.metadata.distributions():
        tops = {file.parts[0] for file in distribution.files or [] if file.parts[0] not in ("..", "__pycache__")}
        paths = [Path(str(distribution.locate_file(top))) for top in sorted(tops)]
        found[normal(distribution.name)] = [path for path in paths if path.exists()]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("folder", sorted(load_services()))
def test_every_function_runs_on_its_closure_and_loads_nothing_else(
    environment: dict[str, str], keys: support.Keys, tmp_path: Path, folder: str
) -> None:
    checkout = Checkout()
    libraries = installed()
    token = support.access_token(keys, new_id(), new_id())
    closures = checkout.functions(find(folder))

    def run(closure: Closure) -> list[str]:
        service = checkout.services[closure.function.service]
        folder = tmp_path / closure.id.replace("/", "-")
        lay_out(checkout, closure, folder, libraries)
        (folder / "audit").mkdir()
        kind = "worker" if service.is_worker else "http"
        env = environment | {
            "PATH": os.defpath,
            "PYTHONPATH": f"{folder}/app{os.pathsep}{folder}/lib",
            "AUDIT_TOKEN": token,
            "ECO2_AUDIT": str(folder / "audit"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "SERVICE_URLS": ",".join(f"{name}=http://127.0.0.1:9" for name in service.calls),
            "MODEL_DIR": str(folder),
            "JOURNAL_PATH": str(folder / "journal.db"),
        }
        words = [sys.executable, "-S", str(HERE / "audited.py"), service.folder, kind, closure.function.where]
        done = subprocess.run(words, env=env, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            return [f"{closure.id}: {line}" for line in done.stderr.strip().splitlines()[-3:]]
        statuses = json.loads(done.stdout.splitlines()[-1])
        wrong = [
            f"{closure.id}: {path} answers {status}" for path, status in statuses.items() if not 200 <= status < 500
        ]
        return wrong + [f"{closure.id} loads {what}" for what in outside(checkout, closure, folder / "audit")]

    with ThreadPoolExecutor(3) as pool:
        problems = [problem for found in pool.map(run, closures) for problem in found]
    assert not problems, "\n".join(problems)


def outside(checkout: Checkout, closure: Closure, folder: Path) -> list[str]:
    """What the process loaded or opened, of ours, that is not in the closure."""
    files = set(closure.files())
    found = []
    for file in folder.glob("*.json"):
        record = json.loads(file.read_text())
        own = {checkout.module_file(name) for name in record["modules"]} - {None}
        # The recorder is there for the audit's sake alone.
        found += sorted(str(name) for name in own - files)
        data = {name for name in record["opened"] if not name.endswith(".py")}
        found += sorted(data - files - {f"functions/{closure.function.service}/service.toml"})
    return found


def test_the_audit_sees_what_a_closure_lacks(tmp_path: Path) -> None:
    """A function that reads a file of another package is caught."""
    record = {"argv": [], "modules": ["shared.ids", "functions.waste.db"], "opened": ["functions/waste/x.json"]}
    (tmp_path / "1.json").write_text(json.dumps(record))
    checkout = Checkout(ROOT)
    closure = next(c for c in checkout.functions(checkout.services["auth"]) if c.function.name == "login")
    assert outside(checkout, closure, tmp_path) == ["functions/waste/db.py", "functions/waste/x.json"]
