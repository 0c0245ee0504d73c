"""Writes a typed Python client of the whole API from its OpenAPI document: `make client`.

    python -m tests.contract.client [FOLDER]      makes the package eco2_client in build/client, or in FOLDER

The document is made by the production loader from the functions themselves; nothing has to run. The generator is
openapi-python-client; its package needs httpx and attrs only. docs/clients/python has what the document can't say.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from emulator.network.merge import merge
from runtime.http.hosted import Hosted, read_settings
from runtime.services import ROOT, load_services

PACKAGE = "eco2_client"
OURS = ROOT / "docs" / "clients" / "python"


def document() -> dict[str, Any]:
    """The merged OpenAPI document of every API service, as the gateway serves it."""
    with tempfile.TemporaryDirectory(prefix="eco2-client-") as folder:
        # No request is ever verified with it: a service only wants to see that there is a key.
        keys = Path(folder, "jwks.json")
        keys.write_text('{"keys": [{"kid": "none", "crv": "Ed25519", "x": "' + "A" * 43 + '"}]}')
        found = {}
        for service in load_services().values():
            if not service.is_worker:
                environ = {
                    service.database.env: "postgresql://nobody@127.0.0.1/nothing",
                    "BROKER_REDIS_URL": "redis://127.0.0.1:1",
                    "CACHE_REDIS_URL": "redis://127.0.0.1:1",
                    "CDN_BASE_URL": "http://127.0.0.1:1",
                    "AUTH_JWKS_FILE": str(keys),
                    "SERVICE_URLS": ",".join(f"{name}=http://127.0.0.1:1" for name in service.calls),
                    **dict.fromkeys(service.secrets.required, str(keys)),
                }
                hosted = Hosted(service, read_settings(service, environ), background=False)
                found[service.name] = msgspec.json.decode(hosted.document())
    return merge(found, [])


def generate(out: Path) -> Path:
    """Write the package into the folder `out`, in place of an earlier one; return the package's folder.

    Raises:
        subprocess.CalledProcessError: the generator can't make sense of the document; its output says why.
    """
    out.mkdir(parents=True, exist_ok=True)
    source, settings, package = out / "openapi.json", out / "settings.json", out / PACKAGE
    source.write_bytes(msgspec.json.encode(document()))
    options = {"project_name_override": "eco2-client", "package_name_override": PACKAGE, "literal_enums": True}
    settings.write_bytes(msgspec.json.encode(options))
    shutil.rmtree(package, ignore_errors=True)
    tools = Path(sys.executable).parent
    subprocess.run(
        [
            *(sys.executable, "-m", "openapi_python_client", "generate", "--path", str(source)),
            *("--output-path", str(package), "--meta", "none", "--config", str(settings), "--fail-on-warning"),
        ],
        # The generator calls ruff by its name.
        env={**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ.get('PATH', os.defpath)}"},
        check=True,
        capture_output=True,
        text=True,
    )
    settings.unlink()
    shutil.copytree(OURS, out, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    return package


def main(words: list[str] | None = None) -> int:
    """The command line: exit code 1 with the generator's own words when it fails."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.contract.client", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "build" / "client")
    folder = parser.parse_args(words).folder
    try:
        package = generate(folder)
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"make client: {error.stdout}{error.stderr}")
        return 1
    sys.stdout.write(f"{package}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
