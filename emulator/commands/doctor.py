"""`eco2 doctor`: what on this machine keeps the system from working, and what to do."""

import argparse
import json
import os
import sys

import msgspec

from emulator.commands.common import add_state, one_line, state_of
from emulator.doctor import examine
from emulator.screen import coloured

EXAMPLES = """\
eco2 doctor  # Python, packages, disk, memory, limits, locale, ports, leftover processes
eco2 doctor --json  # [{"about", "level": "ok" | "note" | "wrong", "found", "remedy"}]
"""
EXIT_CODES = {0: "nothing is wrong; notes may be read", 1: "something is wrong: each line says what to do"}
_MARKS = {"ok": ("ok", 32), "note": ("note", 33), "wrong": ("wrong", 31)}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Look at what the system needs: Python and the locked packages, disk, memory, limits, locale, ports, the state folder, "
        "processes that an earlier system left. It changes nothing. Each finding comes with its remedy."
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    add_state(parser)


@one_line
def main(args: argparse.Namespace) -> int:
    findings = []
    colour = coloured(sys.stdout)
    for finding in examine(state_of(args), os.environ):
        findings.append(finding)
        if args.json:
            continue
        word, code = _MARKS[finding.level]
        mark = f"\x1b[{code}m{word:<5}\x1b[0m" if colour else f"{word:<5}"
        print(f"{mark}  {finding.about:<11}  {finding.found}")
        if finding.remedy:
            print(f"{'':20}→ {finding.remedy}")
    if args.json:
        print(json.dumps(msgspec.to_builtins(findings), indent=2, ensure_ascii=False))
    return 1 if any(finding.level == "wrong" for finding in findings) else 0
