"""Runs commands of ours, each in a fork of one process that has imported them: a walk of fifty kills pays for one import.

{"words": ["deploy"], "output": FILE}    begins one; the answer is its process id, and it waits
go                                       lets it run; the answer is its exit code, or the signal that ended it (below 0)
"""

import json
import os
import sys

from k8s.programs import deploy, plan, rotate
from runtime import cli

LOADED = (cli, deploy, plan, rotate)


def _begin(words: list[str], output: str) -> tuple[int, int]:
    gate, opens = os.pipe()
    process = os.fork()
    if process:
        os.close(gate)
        return process, opens
    os.setpgid(0, 0)  # so that a kill takes its kubectl along, as a power cut would
    os.close(opens)
    os.read(gate, 1)
    handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    code = 1
    try:
        code = cli.main(words)
    except SystemExit as ending:
        code = int(ending.code or 0)
    finally:
        sys.stdout.flush()
        os._exit(code)


def _answer(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def main() -> None:
    for line in iter(sys.stdin.readline, ""):
        order = json.loads(line)
        process, opens = _begin(order["words"], order["output"])
        _answer(process)
        sys.stdin.readline()
        os.close(opens)
        _answer(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))


if __name__ == "__main__":
    main()
