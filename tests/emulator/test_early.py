"""The first template, a fork that waits: what it takes over when it begins, what it has not, and how it ends without"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from shared.clock import write_offset

ROOT = Path(__file__).parents[2]
# Forks as `eco2 up` does, with a template that only tells what it finds.
BEGINS = """
import json, os, signal, sys, time, types
from pathlib import Path
from emulator.early import Early
from emulator.process import Command
from shared import clock

def descriptors():
    for name in os.listdir("/proc/self/fd"):
        try:
            link = os.readlink(f"/proc/self/fd/{name}")
        except OSError:  # that of the list itself
            continue
        if int(name) > 2:
            yield link.partition(":[")[0]

def main(control):
    print(json.dumps({
        "environ": dict(os.environ), "cwd": os.getcwd(), "leads": os.getsid(0) == os.getpid(), "zone": time.tzname[0],
        "moved": clock.time() - time.time() > 3000, "open": list(descriptors()), "stdin": sys.stdin.readline(),
        "deaf": [signal.getsignal(n) != signal.SIG_DFL for n in (signal.SIGINT, signal.SIGTERM)],
    }, ensure_ascii=False), "가")
    control.send(b"begun")

sys.modules["emulator.template"] = types.SimpleNamespace(main=main)
held = [os.open(os.devnull, os.O_RDONLY) for _ in range(4)]
signal.signal(signal.SIGTERM, signal.SIG_IGN)
early = Early()
for one in held:
    os.close(one)
assert early.poll() is None
env = {"A": "b", "TZ": "KST-9", "ECO2_CLOCK_FILE": sys.argv[2]}
early.begin(Command("template", [], env, Path(sys.argv[1]), cwd=Path(sys.argv[2]).parent))
assert early.socket.recv(10) == b"begun"
print(json.dumps([early.wait(), early.poll(), early.kill()]))
"""
# Never begins.
ENDS = """
import json, os, sys
from pathlib import Path
from emulator.early import Early
from emulator.process import Command
killed, left = Early(), Early()
killed.kill()
code = killed.wait()
try:
    killed.begin(Command("template", [], {}, Path(sys.argv[1]), cwd=Path("/")))
except OSError:
    code = [code, "has gone"]
left.socket.close()
print(json.dumps([code, left.wait()]))
"""


def run(program: str, *words: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LC_ALL": "C"}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_waited_becomes_a_program_of_its_own(tmp_path: Path) -> None:
    log, clock = tmp_path / "logs/template.log", tmp_path / "clock"
    write_offset(str(clock), 3600.0)
    assert run(BEGINS, str(log), str(clock)) == [0, 0, None]
    told = json.loads(log.read_text("utf-8").removesuffix(" 가\n"))
    assert sorted(told.pop("open")) == [str(clock), "socket"], "nothing of whom it was forked from but the way to it"
    assert told == {
        "environ": {"A": "b", "TZ": "KST-9", "ECO2_CLOCK_FILE": str(clock)},
        "cwd": str(tmp_path),
        "leads": True,
        "zone": "KST",
        "moved": True,
        "stdin": "",
        "deaf": [False, False],
    }


def test_one_that_never_begins_ends_with_whom_it_waits_for(tmp_path: Path) -> None:
    assert run(ENDS, str(tmp_path / "template.log")) == [[-9, "has gone"], 0]
