"""Child processes: whose end they share, and as whom they run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from emulator.process import Command, free_port, spawn
from emulator.servers.postgres import NOBODY
from runtime.services import ROOT


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
@pytest.mark.parametrize(("parent", "code"), [("os.getppid()", 0), ("os.getppid() + 1", 1)])
def test_a_child_whose_parent_died_before_it_could_ask_for_the_signal_ends_by_itself(parent: str, code: int) -> None:
    program = f"import os, signal; from emulator.process import die_with; die_with({parent}, signal.SIGKILL)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, timeout=60).returncode == code


@pytest.mark.skipif(os.geteuid() != 0, reason="only root steps down")
def test_who_steps_down_from_root_keeps_none_of_its_groups(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    command = Command("groups", ["/usr/bin/env", "id"], {"PATH": os.environ["PATH"]}, tmp_path / "log", uid=NOBODY)
    before = os.getgroups()
    os.setgroups([0, 6])
    try:
        assert spawn(command).wait(60) == 0
    finally:
        os.setgroups(before)
    assert f"uid={NOBODY}" in (said := command.log.read_text())
    assert re.findall(r"\d+", said.partition("groups=")[2]) == [str(NOBODY)]


def test_a_process_gives_no_port_twice_and_the_one_that_is_asked_for_again() -> None:
    given = [free_port() for _ in range(200)]
    assert len(set(given)) == len(given)
    assert free_port(given[0]) == given[0]
