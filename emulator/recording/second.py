"""A second emulator on a snapshot, for the length of a replay (`python -m emulator.recording.second`).

It ends with who started it: the kernel tells it of a kill. It then stops every part in order and removes its folder.
Its lines on standard output: `say …`, then `ready`, or `error …`.
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from emulator.process import StartError, free_port
from emulator.servers import ai
from emulator.servers.postgres import remove_cluster
from emulator.state import restore, version
from emulator.state.folder import State
from emulator.supervisor import Supervisor
from shared import clock

PREFIX = "eco2-replay-"
# A start takes about so many seconds: the system's time when it is ready is then that of the snapshot.
_START = 4.0
# A folder that no one has locked for so many seconds belongs to no one.
_FORGOTTEN = 3600.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m emulator.recording.second")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--at", type=float, required=True, help="the system's time, in seconds since the epoch")
    parser.add_argument("--ai", choices=("embedded", "stub"))
    args = parser.parse_args()
    state = State(args.state)

    def tell(word: str, text: str = "") -> None:
        with contextlib.suppress(OSError):  # who started this has gone
            print(word, " ".join(text.split()), flush=True)

    async def on_ready(_: Supervisor) -> None:
        tell("ready")

    try:
        with state.lock(), removed(state), ai.environment(args.ai, os.environ, state) as environ:
            state.write_json("state.json", version.mark())
            state.port("gateway", free_port())
            clock.write_offset(str(state.path / "clock"), 0.0)
            restore.stage(state, "start", args.at - _START - time.time())
            supervisor = Supervisor(state, None, environ, lambda line: tell("say", line))
            return asyncio.run(supervisor.run(on_ready))
    except StartError as error:
        tell("error", str(error))
        return 1


@contextlib.contextmanager
def removed(state: State) -> Iterator[None]:
    """Remove the folder with all that is in it."""
    try:
        yield
    finally:
        remove(state.path)


def remove(folder: Path) -> None:
    remove_cluster(State(folder))
    shutil.rmtree(folder, ignore_errors=True)


def remove_left() -> None:
    """Remove the folders of replays that were killed together with their second emulator."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            mine = folder.stat().st_uid == os.geteuid() and not folder.is_symlink()
            begun = (folder / "lock").exists() or time.time() - folder.stat().st_mtime > _FORGOTTEN
            if mine and begun and State(folder).holder() is None:
                remove(folder)


if __name__ == "__main__":
    sys.exit(main())
