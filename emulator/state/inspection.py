"""What is found in a state folder at start: its form, and files that are half-written, emptied or not ours.

What can be made again is named and made again; what can't be is refused in one line. Nothing is believed unread.
"""

import contextlib
import struct
import subprocess
from collections.abc import Callable
from typing import Any

from emulator.process import StartError
from emulator.servers.postgres import Postgres
from emulator.state import restore, version
from emulator.state.folder import State
from shared import clock

_MARK = "state.json"
# A year, as `eco2 clock advance` takes at most at a time; ten of them are a mistake.
_FURTHEST = 10 * 366 * 86400.0


def inspect(state: State, say: Callable[[str], None]) -> None:
    """Look at everything that the next start believes.

    Raises:
        StartError: the state can't be used: it is of a newer Eco², or something is lost that can't be made again.
    """
    _form(state, say)
    restore.pending(state)
    _ports(state, say)
    _clock(state, say)
    _lists(state, say)
    _cluster(state, say)


def _form(state: State, say: Callable[[str], None]) -> None:
    mark = state.read_json(_MARK, dict[str, Any])
    new = not (state.path / "secrets.json").exists()
    if mark is None and (state.path / _MARK).exists():
        say(f"{_MARK} was damaged: it is made anew")
    found = version.FORMAT if new else version.check((mark or {}).get("format"), str(state.path))
    if found < version.FORMAT:
        # The broker's server takes its own file over; migrations bring the schemas up to date.
        say(f"the state of an older Eco² (format {found}) is brought up to format {version.FORMAT}")
    if mark != version.mark():
        state.write_json(_MARK, version.mark())


def _ports(state: State, say: Callable[[str], None]) -> None:
    kept = state.read_json("ports.json", dict[str, int])
    good = {name: port for name, port in (kept or {}).items() if 1024 <= port <= 65535}
    if (state.path / "ports.json").exists() and (kept is None or good != kept):
        say("ports.json was damaged: other ports are chosen")
        state.write_json("ports.json", good)


def _clock(state: State, say: Callable[[str], None]) -> None:
    file = state.path / "clock"
    offset = 0.0
    with contextlib.suppress(OSError, struct.error):
        offset = float(struct.unpack_from("<d", file.read_bytes())[0])
        if 0 <= offset <= _FURTHEST:  # which no NaN is
            return
    if file.exists():
        say("the clock's file was damaged: the system's time is this machine's again")
    clock.write_offset(str(file), 0.0)


def _lists(state: State, say: Callable[[str], None]) -> None:
    """Files of ours that are read as empty when they can't be: that is said."""
    for name, lost in (
        ("samples.json", "sample data is imported once more"),
        ("people.json", "`eco2 invoke --as` registers its people anew"),
        ("emulator.json", "what a killed emulator left running can't be known"),
    ):
        if (state.path / name).exists() and state.read_json(name, dict[str, Any]) is None:
            say(f"{name} was damaged: {lost}")
            (state.path / name).unlink()


def _cluster(state: State, say: Callable[[str], None]) -> None:
    """The cluster's files that PostgreSQL itself says too little about, and the passwords that open it."""
    if not (state.path / "postgres").exists():
        if not state.secrets_are_sound():
            state.forget_secrets()
            say("secrets.json was damaged: new passwords are made")
        return
    postgres = Postgres(state.path)
    if not postgres.cluster.exists():
        return
    for name in ("PG_VERSION", "global/pg_control"):
        path = postgres.cluster / name
        if not path.is_file() or path.stat().st_size == 0:
            raise StartError(
                f"files of PostgreSQL are damaged ({path} is missing or empty): `eco2 snapshot restore NAME` brings a saved "
                "state back, `eco2 reset` begins anew"
            )
    if not state.secrets_are_sound(needed=("postgres",)):
        state.forget_secrets()
        try:
            # Roles' passwords follow from here at each start; the superuser's is set by the server alone, without a network.
            postgres.set_superuser_password(postgres.cluster)
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", None) or str(error)
            (state.path / "secrets.json").unlink(missing_ok=True)
            raise StartError(
                f"secrets.json is damaged, and no new password could be set: {said.strip().splitlines()[-1]}"
            ) from None
        say("secrets.json was damaged: new passwords were made")
