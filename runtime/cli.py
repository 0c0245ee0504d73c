"""The command line. Maps a command's name to the module that does it, and imports that module only when it is called.

A command's module has `configure(parser)`, which adds arguments and a description, `main(args) -> int`, whose answer is
the exit code, `EXAMPLES` for its manual page, and `EXIT_CODES` where it has other ones than `runtime/manual.py` names.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.manual import Manual

# name: (module, one line)
COMMANDS: dict[str, tuple[str, str]] = {
    # the system on this machine
    "up": ("emulator.commands.up", "start the whole system on this machine"),
    "down": ("emulator.commands.down", "stop a system that runs detached"),
    "status": ("emulator.commands.status", "show the parts of the running system"),
    "reset": ("emulator.commands.reset", "throw the system's state away"),
    "doctor": ("emulator.commands.doctor", "say what on this machine is wrong, and what to do"),
    "completion": ("emulator.commands.completion", "have the shell complete commands, options and names"),
    "open": ("emulator.commands.open", "open the dashboard in a browser"),
    "logs": ("emulator.commands.logs", "show or follow the logs of the parts"),
    "trace": ("emulator.commands.trace", "show what happened to one request or task, and why it failed"),
    "top": ("emulator.commands.top", "show what takes the most time, and what goes wrong"),
    "exec": ("emulator.commands.exec", "run a command with the system around it"),
    "invoke": ("emulator.commands.invoke", "call one function"),
    "psql": ("emulator.commands.psql", "open the database as a service sees it"),
    "redis": ("emulator.commands.redis", "open the broker or the cache"),
    "snapshot": ("emulator.commands.snapshot", "save and restore the whole state"),
    "record": ("emulator.commands.record", "record requests with the state they met"),
    "replay": ("emulator.commands.replay", "send a recording again, and compare"),
    "export": ("emulator.commands.export", "write the whole state to a file, for a colleague"),
    "fault": ("emulator.commands.fault", "cut, slow or break a connection"),
    "kill": ("emulator.commands.kill", "kill a part, as a crash would"),
    "scale": ("emulator.commands.scale", "run several replicas of a service"),
    "roll": ("emulator.commands.roll", "replace a service's replicas one after another"),
    "pause": ("emulator.commands.pause", "stop a part without ending it, or let it go on"),
    "mail": ("emulator.commands.mail", "read what the system has written to people"),
    "clock": ("emulator.commands.clock", "move the system's clock"),
    # the runtime
    "functions": ("runtime.commands.functions", "list every function with its trigger, service and file"),
    "serve": ("runtime.commands.serve", "serve HTTP functions: a service, or one function of it"),
    "work": ("runtime.commands.work", "run the queue functions of a service"),
    "sync": ("runtime.commands.sync", "copy a worker's journal to PostgreSQL"),
    "migrate": ("runtime.commands.migrate", "apply migrations"),
    "import": ("runtime.commands.import_", "load data: collection centers, items, or a colleague's file"),
    "new": ("runtime.commands.new", "begin a function or a service"),
    "tasks": ("runtime.commands.tasks", "list, show and retry tasks"),
    "journal": ("runtime.commands.journal", "check or recover a worker's journal"),
    "bench": ("tests.bench.command", "measure the budgets; `ai`: what a day costs"),
    "ai": ("runtime.commands.ai", "report where the classifier is wrong in this installation"),
    "function": ("runtime.commands.function", "disable or enable a function for a bad night"),
    # delivery
    "why": ("k8s.programs.why", "name everything that a file reaches"),
    "plan": ("k8s.programs.plan", "show what a deploy would change, and why"),
    "deploy": ("k8s.programs.deploy", "deploy what the plan names"),
    "build": ("k8s.programs.build", "build a service's image"),
    "render": ("k8s.programs.render", "write the manifests from the service.toml files"),
    "capacity": ("k8s.programs.capacity", "what the cluster carries, and its first limit"),
    "secrets": ("k8s.programs.secrets", "make strong secrets"),
    "backup": ("k8s.tools.backup", "dump the database or a journal to S3"),
    "restore": ("k8s.tools.restore", "bring a backup back"),
    "rotate": ("k8s.programs.rotate", "change passwords and signing keys without downtime"),
}
GROUPS = {
    "The system on this machine": (
        *(
            "up",
            "down",
            "status",
            "logs",
            "trace",
            "top",
            "reset",
            "exec",
            "invoke",
            "psql",
            "redis",
            "snapshot",
            "record",
            "replay",
            "export",
            "mail",
        ),
        *("fault", "kill", "pause", "scale", "roll", "clock", "open", "doctor", "completion"),
    ),
    "Functions and tasks": (
        *(
            "functions",
            "serve",
            "work",
            "sync",
            "migrate",
            "import",
            "new",
            "tasks",
            "journal",
            "function",
            "ai",
            "bench",
        ),
    ),
    "Delivery": ("plan", "why", "build", "deploy", "render", "capacity", "secrets", "backup", "restore", "rotate"),
}

EPILOG = """\
Run in the checkout, the commands find the running system by themselves.
`eco2 COMMAND --help` says more. Exit codes: 0 done, 1 failed, 2 called wrongly or not configured.
"""


def available() -> dict[str, tuple[str, str]]:
    """The commands whose modules are installed: a service's container has neither the emulator nor k8s."""
    return {name: command for name, command in COMMANDS.items() if _exists(command[0])}


def _exists(module: str) -> bool:
    from importlib.util import find_spec

    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def overview() -> str:
    """What `eco2 --help` prints."""
    commands = available()
    lines = ["usage: eco2 COMMAND [ARGUMENT ...]", "", "Eco²: functions on your own cluster, and on your machine.", ""]
    for group, names in GROUPS.items():
        shown = [name for name in names if name in commands]
        if shown:
            lines += [group, *(f"  {name:<10} {commands[name][1]}" for name in shown), ""]
    return "\n".join(lines) + "\n" + EPILOG


def manual(name: str) -> Manual:
    """The parser, and so the manual page, of one command."""
    from runtime.manual import EXIT_CODES, Manual

    module_name, summary = COMMANDS[name]
    module = importlib.import_module(module_name)
    parser = Manual(prog=f"eco2 {name}")
    parser.set_defaults(main=module.main)
    module.configure(parser)
    parser.fill(summary, module.EXAMPLES, EXIT_CODES | getattr(module, "EXIT_CODES", {}))
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the answer is the process's exit code."""
    _open_standard()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal of another alphabet shows what it can.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (`| head`) has seen enough; the interpreter would complain of what is still in the buffer.
        _leave_output()
        return 0
    except OSError as error:
        # A disk that is full, a file that is someone else's: the reason helps, and no stack would.
        _leave_output()
        where = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"eco2: {where}{error.strerror or error}\n")
        return 1
    return code


def _leave_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_standard() -> None:
    """Where standard input, output or error is closed (`>&-`), the next file or pipe would get its number and its text."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, "r" if descriptor == 0 else "w", closefd=False))  # noqa: SIM115 - for good


def _run(words: list[str]) -> int:
    if words[:1] == ["help"]:
        words = [*words[1:2], "--help"]
    if not words or words[0] in ("-h", "--help"):
        sys.stdout.write(overview())
        return 0
    if words[0] == "--version":
        from importlib.metadata import version

        sys.stdout.write(f"eco2 {version('eco2')}\n")
        return 0
    name, *rest = words
    if name not in COMMANDS or not _exists(COMMANDS[name][0]):
        from runtime.services import suggestion

        sys.stderr.write(f"eco2: there is no command {name}{suggestion(name, available())}\n")
        return 2
    try:
        args = manual(name).parse_args(rest)
        return int(args.main(args))
    except ModuleNotFoundError as error:
        if (package := (error.name or "").partition(".")[0]) in (
            "runtime",
            "emulator",
            "shared",
            "functions",
            "k8s",
            "tests",
        ):
            raise
        sys.stderr.write(f"eco2: the package {package} is not installed: `make install` brings what is locked\n")
        return 2
    except SystemExit as done:  # argparse's way to say that it has printed a page or an error
        return int(done.code or 0)


if __name__ == "__main__":
    sys.exit(main())
