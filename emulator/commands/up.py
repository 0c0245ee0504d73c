"""`eco2 up`: the whole system on this machine."""

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

from emulator import control
from emulator.commands.common import add_state, counts, one_line, port, state_of
from emulator.early import Early
from emulator.process import CalledWrongly, StartError
from emulator.screen import Terminal, coloured, screen
from emulator.servers import ai
from emulator.state.folder import State
from emulator.supervisor import Supervisor
from runtime.services import ROOT

EXAMPLES = """\
eco2 up  # start, show the logs, Ctrl-C stops everything
eco2 up --detach --port 9000  # return when all is ready; `eco2 down` stops it
eco2 up --name second  # another system beside the first, with a state of its own
eco2 up --ai stub  # answer with the local OpenAI-compatible stub
eco2 up --replicas api-waste=3,worker-ai=2  # several processes, as in the cluster
eco2 up --debug auth  # with a port for a debugger on api-auth
"""
EXIT_CODES = {0: "stopped; with --detach: all is ready", 1: "did not start, or with --detach: a part did not"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Start PostgreSQL, two Redis servers, S3, every service, worker and syncer and the gateway, print one screen, "
        "and show every log until Ctrl-C. State is kept in the state folder. Set DATABASE_URL (a superuser's), "
        "BROKER_REDIS_URL, CACHE_REDIS_URL or S3_ENDPOINT_URL to use servers that you already have."
    )
    parser.add_argument("--detach", action="store_true", help="return when all is ready; `eco2 down` stops it")
    parser.add_argument(
        "--port", type=port, metavar="N", help="the gateway's port (default: 8000, or the next free one)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="where the chance of faults begins (default: 0)"
    )
    parser.add_argument(
        "--ai",
        choices=("embedded", "stub"),
        help="who answers: the embedded models (the default unless OPENAI_API_KEY is set), or a local OpenAI-compatible stub",
    )
    parser.add_argument(
        "--debug",
        nargs="?",
        const="all",
        metavar="SERVICE",
        help="open a debugpy port for this service (default: one each for all services and workers), the same after a reload",
    )
    parser.add_argument(
        "--replicas",
        type=replicas,
        default={},
        metavar="SERVICE=N,...",
        help="several of a service, such as api-waste=3,worker-ai=2 (default: one of each; `eco2 scale` changes it)",
    )
    add_state(parser)


def replicas(text: str) -> dict[str, int]:
    try:
        return counts([text])
    except CalledWrongly as error:
        raise argparse.ArgumentTypeError(str(error)) from None


@one_line
def main(args: argparse.Namespace) -> int:
    state = state_of(args).ours()
    state.create()
    return _detach(args, state) if args.detach else _here(args, state)


def _here(args: argparse.Namespace, state: State) -> int:
    early = Early()
    terminal = Terminal()
    with state.lock():
        return asyncio.run(_run(args, state, terminal, early))


async def _run(args: argparse.Namespace, state: State, terminal: Terminal, early: Early) -> int:
    streaming: list[asyncio.Task[None]] = []

    def say(line: str) -> None:
        with contextlib.suppress(OSError):  # the terminal may be gone
            terminal.line("eco2", line)

    async def on_ready(supervisor: Supervisor) -> None:
        seconds = time.monotonic() - supervisor.started_at
        print(screen(supervisor.about(), seconds, supervisor.setup.troubles, terminal.colour), flush=True)
        files = [supervisor.system.log(name) for name in supervisor.fleet.keepers]
        ends = {log: log.stat().st_size if log.exists() else 0 for log in files}
        streaming.append(asyncio.create_task(terminal.stream(files, lambda log: ends[log])))

    try:
        with ai.environment(args.ai, os.environ, state) as environ:
            supervisor = Supervisor(state, args.port, environ, say, args.seed, args.debug, args.replicas, early)
            code = await supervisor.run(on_ready)
            say(f"everything has stopped; the state stays in {state.path}")
            return code
    finally:
        for task in streaming:
            task.cancel()


def _detach(args: argparse.Namespace, state: State) -> int:
    """Start it in a session of its own, and wait until it is ready or has failed."""
    with state.lock():
        pass  # another one would be found only after the child has failed; say it here at once
    log = state.path / "logs" / "eco2.log"
    argv = [sys.executable, "-m", "emulator.detached", "--state", str(state.path), "--seed", str(args.seed)]
    argv += ["--port", str(args.port)] if args.port else []
    argv += ["--ai", args.ai] if args.ai else []
    argv += ["--debug", args.debug] if args.debug else []
    argv += (
        ["--replicas", ",".join(f"{name}={count}" for name, count in args.replicas.items())] if args.replicas else []
    )
    read, write = os.pipe()
    with log.open("ab") as out:
        child = subprocess.Popen(
            [*argv, "--tell", str(write)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            pass_fds=(write,),
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
    os.close(write)
    with os.fdopen(read) as told:
        for line in told:
            word, _, text = line.rstrip("\n").partition(" ")
            if word == "say":
                print(text, flush=True)
            elif word == "error":
                child.wait()
                raise StartError(text)
            elif word == "ready":
                return _show(state, float(text), Path(log))
    child.wait()
    raise StartError(f"the emulator ended at its start; see {log}")


def _show(state: State, seconds: float, log: Path) -> int:
    answer = control.ask(state, "status")
    about = answer["about"]
    print(screen(about, seconds, answer["troubles"], coloured(sys.stdout)))
    failed = [part["name"] for part in about["parts"] if part["state"] == "failed"]
    for name in failed:
        print(f"eco2: {name} did not start; `eco2 logs {name}` shows why, the rest runs", file=sys.stderr)
    return 1 if failed else 0
