"""Asks the registry whether images are there, before any pod needs them."""

import re
import shutil
import subprocess
from collections.abc import Iterable

# Each asks a registry by itself, without a daemon, with the credentials of `docker login`.
_PROGRAMS = {
    "skopeo": ("inspect", "--raw", "docker://{}"),
    "docker": ("manifest", "inspect", "{}"),
    "crane": ("digest", "{}"),
    "podman": ("manifest", "inspect", "docker://{}"),
}
_UNKNOWN = re.compile(r"(?i)no such manifest|manifest unknown|name unknown|not found|404")


def absent(names: Iterable[str]) -> tuple[list[str], str]:
    """The images that the registry does not have, and why it could not be asked (empty where it could)."""
    program = next((name for name in _PROGRAMS if shutil.which(name)), None)
    if program is None:
        return [], f"none of {', '.join(_PROGRAMS)} is here"
    missing: list[str] = []
    for name in names:
        words = [program, *(word.format(name) for word in _PROGRAMS[program])]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode and not _UNKNOWN.search(done.stderr):
            return missing, f"{program}: {(done.stderr.strip().splitlines() or ['it failed'])[-1]}"
        missing += [name] if done.returncode else []
    return missing, ""
