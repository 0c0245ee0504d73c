"""The emulator that runs in this checkout, for programs that are none of its parts."""

import os
from pathlib import Path

from emulator import control
from emulator.parts import default_state
from emulator.process import StartError
from emulator.state import State


def environment(state: Path | None = None) -> dict[str, str]:
    """The addresses of the running emulator as environment variables; empty when none runs."""
    try:
        answer = control.ask(State(state or default_state(os.environ)), "environment")
    except StartError:
        return {}
    found: dict[str, str] = answer["environment"]
    return found
