"""The emulator without a terminal: what `eco2 up --detach` starts, told by a pipe how far it is."""

import argparse
import asyncio
import contextlib
import os
import sys
import time
from pathlib import Path

from emulator import logbook
from emulator.commands.common import counts
from emulator.early import Early
from emulator.process import StartError
from emulator.servers import ai
from emulator.state.folder import State
from emulator.supervisor import Supervisor


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m emulator.detached")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--port", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ai", choices=("embedded", "stub"))
    parser.add_argument("--debug")
    parser.add_argument("--replicas", type=lambda text: counts([text]), default={})
    parser.add_argument("--tell", type=int, required=True, help="a pipe's descriptor")
    args = parser.parse_args()
    early = Early()
    os.set_inheritable(args.tell, False)
    state = State(args.state)

    pipe = os.fdopen(args.tell, "w", buffering=1)

    def tell(line: str) -> None:
        # After readiness no one reads, and the pipe's number may be another connection's by then.
        if not pipe.closed:
            with contextlib.suppress(OSError):  # who waited has gone
                print(line, file=pipe)

    def say(line: str) -> None:
        print(logbook.own(line), flush=True)
        tell(f"say {line}")

    async def on_ready(supervisor: Supervisor) -> None:
        tell(f"ready {time.monotonic() - supervisor.started_at:.2f}")
        pipe.close()

    try:
        with state.lock(), ai.environment(args.ai, os.environ, state) as environ:
            return asyncio.run(
                Supervisor(state, args.port, environ, say, args.seed, args.debug, args.replicas, early).run(on_ready)
            )
    except StartError as error:
        print(error, flush=True)
        tell(f"error {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
