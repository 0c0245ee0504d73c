"""Records what a process really loads, to be compared with its closure: `ECO2_AUDIT=FOLDER` in its environment.

At its end the process writes FOLDER/PID.json: its modules, and the files of the checkout that it opened. `runtime/__init__.py`
starts this before anything else of ours is imported; without the variable it costs one look at the environment.
"""

import atexit
import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def start(folder: str) -> None:
    """Record from now to the process's end. A process that replaces itself or is killed leaves no record."""
    opened: set[str] = set()
    root = f"{ROOT}{os.sep}"

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str):
            name = arguments[0] if os.path.isabs(arguments[0]) else os.path.join(os.getcwd(), arguments[0])  # noqa: PTH117, PTH118, PTH109 - a hook must be quick
            if name.startswith(root) and not name.endswith(".pyc"):
                opened.add(name[len(root) :])

    def write() -> None:
        record = {"argv": sys.argv, "modules": sorted(sys.modules), "opened": sorted(opened)}
        target = Path(folder) / f"{os.getpid()}.json"
        target.write_text(json.dumps(record), encoding="utf-8")

    sys.addaudithook(hook)
    atexit.register(write)
