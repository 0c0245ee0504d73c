import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
from pathlib import Path
from runtime import memory

def own():
    fields = dict(line.split()[:2] for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    return int(fields["Private_Dirty:"]) // 1024

# Every second of many small buffers stays, so that what is free lies between what is not.
kept = [bytearray(60_000) for _ in range(2_000)]
del kept[::2]
before = own()
memory.give_back()
print(before - own())
"""


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="reads what Linux says of a process's memory")
def test_what_lies_free_between_what_is_used_goes_back_to_the_machine() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 40, "of 60 MB"
