"""The recordings of a state folder: their names, what is known of each, and the manifest that vouches for their files."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emulator.process import CalledWrongly, StartError
from emulator.recording import form
from emulator.recording.opened import open_one
from emulator.state import manifest, version
from emulator.state.folder import State
from runtime.services import ROOT, suggestion

_ABOUT = "about.json"


def home(state: State) -> Path:
    return state.path / "recordings"


def check_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise CalledWrongly(f"{name!r} can't be a recording's name: letters, digits, . _ and -")
    return name


def begin(state: State, name: str) -> Path:
    """An empty folder for a new recording. StartError when there is one of that name."""
    folder = home(state) / check_name(name)
    if folder.exists():
        raise StartError(f"there is a recording {name} already; `eco2 record delete {name}` removes it")
    home(state).mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700)
    (folder / form.BODIES).mkdir()
    return folder


def find(state: State, name: str) -> Path:
    """A recording that exists. StartError with the near name, or those there are."""
    folder = home(state) / check_name(name)
    if not folder.is_dir():
        names = [about["name"] for about in every(state)]
        raise StartError(
            f"there is no recording {name}{suggestion(name, names) if names else '; `eco2 record on` begins one'}"
        )
    return folder


def write_about(folder: Path, about: Mapping[str, Any]) -> None:
    (folder / _ABOUT).write_text(json.dumps(about, indent=2, ensure_ascii=False))


def read_about(folder: Path) -> dict[str, Any]:
    """What is known of a recording. StartError when it can't be read."""
    try:
        about = json.loads((folder / _ABOUT).read_text())
        version.check(about.get("format"), f"the recording {folder.name}")
        return {"name": folder.name, "at": float(about["at"]), "ended": str(about["ended"]), **about}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise StartError(f"the recording {folder.name} is damaged: {_ABOUT} can't be read") from None


def every(state: State) -> list[dict[str, Any]]:
    """All recordings, newest first; one whose description can't be read is `damaged`, and last."""
    found = []
    for folder in home(state).glob("[!.]*"):
        try:
            found.append(read_about(folder) | {"name": folder.name})
        except StartError:
            found.append({"name": folder.name, "at": 0.0, "ended": "damaged", "damaged": True})
    return sorted(found, key=lambda about: float(about["at"]), reverse=True)


def finish(folder: Path, ended: str, until: float) -> dict[str, Any]:
    """Close a recording: count what is in it and list its files."""
    exchanges = form.read_exchanges(folder)
    about = read_about(folder) | {"ended": ended, "until": until, "requests": len(exchanges)}
    about["bytes"] = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if about["bytes"] - _snapshot_bytes(folder) >= form.LARGEST:
        about["ended"] = "full"
    manifest.write(folder, about)
    write_about(folder, about)
    return about


def check(folder: Path) -> dict[str, Any]:
    """Read a recording to its end, and return what is to be believed of it. StartError when a file is not what was recorded."""
    about = read_about(folder)
    if about["ended"] == "open":
        raise StartError(f"the recording {folder.name} is still open; `eco2 record off` ends it")
    return manifest.check(folder, f"the recording {folder.name}")


def delete(state: State, name: str) -> None:
    folder = find(state, name)
    if folder == open_one(state):
        raise StartError(f"the recording {name} is still open; `eco2 record off` ends it")
    shutil.rmtree(folder)


def code() -> str:
    """The commit of this checkout, with a + where files differ from it; empty where there is none."""
    try:
        git = ["git", "-C", str(ROOT)]
        head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def _snapshot_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / form.SNAPSHOT).rglob("*") if path.is_file())
