import subprocess
import sys
from pathlib import Path

import pytest

OWN = """
from pathlib import Path
from runtime import memory

def own():
    fields = dict(line.split()[:2] for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    return int(fields["Private_Dirty:"]) // 1024
"""
HOLES = """
# Every second of many small buffers stays, so that what is free lies between what is not.
kept = [bytearray(60_000) for _ in range(2_000)]
del kept[::2]
before = own()
memory.give_back()
print(before - own())
"""

THREADS = """
import threading
memory.arenas(1)
# After so large a one is freed, malloc no longer takes the next from the machine and gives it back at once.
bytearray(30_000_000)
before = own()

def work():
    held = [bytearray(1_000_000) for _ in range(40)]

threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
memory.give_back()
print(own() - before)
"""

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="reads what Linux says of a process's memory"
)


def mb(code: str) -> int:
    done = subprocess.run([sys.executable, "-c", OWN + code], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_what_lies_free_between_what_is_used_goes_back_to_the_machine() -> None:
    assert mb(HOLES) > 40, "of 60 MB"


def test_what_threads_have_used_goes_back_too() -> None:
    assert mb(THREADS) < 5, "of 80 MB"
