"""The emulator that runs in this checkout, for programs that are none of its parts."""

import os
from pathlib import Path

from emulator import control
from emulator.process import StartError
from emulator.state.folder import State, default_state


def environment(service: str | None = None, state: Path | None = None) -> dict[str, str]:
    """The environment of one service of the running emulator, or what `eco2 exec` gives a program; empty when none runs."""
    try:
        answer = control.ask(State(state or default_state(os.environ)), "environment", service=service)
    except StartError:
        return {}
    found: dict[str, str] = answer["environment"]
    return found
