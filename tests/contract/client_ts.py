"""Writes a typed TypeScript client of the whole API from its OpenAPI document: `make client-ts`.

    python -m tests.contract.client_ts [FOLDER]      makes the package eco2-client in build/client-ts, or in FOLDER

The generator is openapi-typescript; docs/clients/typescript has what the document can't say. tsc checks all of it strictly and
writes JavaScript for Node.js and browsers, with its types; npm packs it.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec

from runtime.services import ROOT
from tests.contract.client import document

OURS = ROOT / "docs" / "clients" / "typescript"


def generate(out: Path) -> Path:
    """Write the package into the folder `out`, in place of an earlier one; return its archive, as `npm install` takes it.

    Raises:
        subprocess.CalledProcessError: npm, the generator or tsc fails; its output says why.
    """
    lock = out / "package-lock.json"
    fresh = not lock.exists() or lock.read_bytes() != (OURS / lock.name).read_bytes()
    for made in ("src", "dist"):
        shutil.rmtree(out / made, ignore_errors=True)
    shutil.copytree(OURS, out, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
    if fresh or not (out / "node_modules").exists():
        _run(out, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
    (out / "openapi.json").write_bytes(msgspec.json.encode(document()))
    _run(out, "npm", "exec", "--offline", "--", "openapi-typescript", "openapi.json", "--output", "src/schema.ts")
    _run(out, "npm", "exec", "--offline", "--", "tsc")
    return out / _run(out, "npm", "pack", "--silent", "--ignore-scripts").strip()


def _run(folder: Path, *words: str) -> str:
    return subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True, timeout=600).stdout


def main(words: list[str] | None = None) -> int:
    """The command line: exit code 1 with the failing program's own words."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.contract.client_ts", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "build" / "client-ts")
    folder = parser.parse_args(words).folder.resolve()
    if shutil.which("npm") is None:
        sys.stderr.write("make client-ts needs Node.js 20 or newer and npm\n")
        return 1
    try:
        archive = generate(folder)
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"make client-ts: {error.stdout}{error.stderr}")
        return 1
    sys.stdout.write(f"{archive}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
