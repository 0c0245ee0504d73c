"""`eco2 exec -- CMD`: the system for the time of one command."""

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from emulator.commands.common import add_state, one_line, state_of
from emulator.control import ask
from emulator.process import CalledWrongly, die_with, free_port
from emulator.servers.postgres import remove_cluster
from emulator.state.folder import State
from emulator.supervisor import Supervisor

EXAMPLES = """\
eco2 exec -- pytest tests/e2e  # a fresh system for one test run
eco2 exec --running -- python script.py  # with the system that runs already
"""
EXIT_CODES = {0: "done; else the command's own code", 1: "the system did not start, or the command's own code"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Start the whole system on an empty state, run the command with every address in its environment "
        "(ECO2_GATEWAY_URL, API_AUTH_DB_URL, BROKER_REDIS_URL, S3_ENDPOINT_URL, ...), stop, and return its exit code. "
        "What the parts say goes to standard error when the command fails."
    )
    parser.add_argument("--running", action="store_true", help="use the emulator that runs already")
    add_state(parser)
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="-- CMD ...", help="the command")


@one_line
def main(args: argparse.Namespace) -> int:
    words = args.words[1:] if args.words[:1] == ["--"] else args.words
    if not words:
        raise CalledWrongly("which command? eco2 exec -- pytest")
    if shutil.which(words[0]) is None:
        raise CalledWrongly(f"{words[0]}: no such command")
    if args.running:
        environment = ask(state_of(args), "environment")["environment"]
        return _exit_code(subprocess.call(words, env=os.environ | environment))
    if args.state or args.name:
        return _with(state_of(args).ours(), words)
    # Not below a folder of ours alone: PostgreSQL's user has to get in.
    folder = Path(tempfile.mkdtemp(prefix="eco2-exec-"))
    try:
        return _with(State(folder), words)
    finally:
        remove_cluster(State(folder))
        shutil.rmtree(folder, ignore_errors=True)


def _with(state: State, words: list[str]) -> int:
    state.create()
    said: list[str] = []
    code = 1
    with state.lock():
        if state.read_json("ports.json", dict[str, int]) is None:
            state.port("gateway", free_port())

        async def run() -> None:
            supervisor = Supervisor(state, None, os.environ, said.append)
            running: list[asyncio.Task[None]] = []
            emulator = os.getpid()

            async def command() -> None:
                nonlocal code
                environment = os.environ | supervisor.system.environments.outside()
                try:
                    process = await asyncio.create_subprocess_exec(
                        *words, env=environment, preexec_fn=lambda: die_with(emulator, signal.SIGTERM)
                    )
                    code = await _end_of(process, supervisor.stopping)
                finally:
                    supervisor.stopping.set()

            async def on_ready(_: Supervisor) -> None:
                running.append(asyncio.create_task(command()))

            await supervisor.run(on_ready)
            for task in running:
                await task

        asyncio.run(run())
    if code != 0:
        print("\n".join(said), file=sys.stderr)
    return _exit_code(code)


def _exit_code(code: int) -> int:
    """As a shell says it: 128 + n for who ended by signal n."""
    return 128 - code if code < 0 else code


async def _end_of(process: asyncio.subprocess.Process, stopping: asyncio.Event) -> int:
    """The command's exit code. When the emulator is told to stop, so is the command, unless it ends by itself: of Ctrl-C it has
    heard too."""
    ending, told = asyncio.create_task(process.wait()), asyncio.create_task(stopping.wait())
    await asyncio.wait((ending, told), return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    for patience, end in ((3, process.terminate), (10, process.kill)):
        if not ending.done():
            await asyncio.wait((ending,), timeout=patience)
        if not ending.done():
            with contextlib.suppress(ProcessLookupError):
                end()
    return await ending
