"""What `eco2 up` shows: one screen when everything is ready, then every part's log as one stream."""

import asyncio
import os
import shlex
import sys
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

from emulator.control import follow

_COLOURS = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)
_STATES = {"ready": 32, "existing": 32, "failed": 31, "silent": 31}


def coloured(out: TextIO) -> bool:
    """Whether the stream is a terminal whose owner has not asked for plain text (NO_COLOR)."""
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Terminal:
    """Lines with the part's name before them, each part in its colour."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self.out = out
        self.colour = coloured(out)
        self.names: dict[str, int] = {}
        self.width = 18

    def line(self, name: str, text: str) -> None:
        number = self.names.setdefault(name, len(self.names))
        label = f"{name:<{self.width}} "
        if self.colour:
            label = f"\x1b[{_COLOURS[number % len(_COLOURS)]}m{label}\x1b[0m"
        print(f"{label}{text}", file=self.out, flush=True)

    async def stream(self, logs: Iterable[Path], start: Callable[[Path], int]) -> None:
        """Print what the logs get from now on, until cancelled."""

        async def one(log: Path) -> None:
            async for line in follow(log, start(log), pause=0.15):
                self.line(log.stem, line.decode(errors="replace"))

        async with asyncio.TaskGroup() as group:
            for log in logs:
                group.create_task(one(log))


def missing(about: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts that are not there for anybody just now, whatever the reason."""
    return [part for part in about["parts"] if part["state"] not in ("ready", "existing")]


def screen(about: dict[str, Any], seconds: float | None, troubles: list[str], colour: bool) -> str:
    """The gateway's address, each part and its state, and the tour."""

    def paint(text: str, code: int) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if colour else text

    rows = []
    width = max([18, *(len(part["name"]) for part in about["parts"])])  # of a function alone: api-waste-get-stats/2
    for part in about["parts"]:
        state = paint(f"{part['state']:<10}", _STATES.get(part["state"], 33))
        reason = f"  {part['error']}" if part.get("error") and part["state"] != "ready" else ""
        debug = f"  debugger {part['debug']}" if part.get("debug") else ""
        rows.append(
            f"  {part['name']:<{width}} {state} {part['pid'] or '':>8}  {part['address']}{debug}{reason}".rstrip()
        )
    when = f" in {seconds:.1f} s" if seconds is not None else ""
    without = ", ".join(f"{part['name']} ({part['state']})" for part in missing(about))
    head = f"Eco² runs{when}, without {without}" if without else f"Eco² is ready{when}"
    lines = [
        paint(head, 1),
        "",
        f"  gateway    {paint(about['gateway'], 1)}",
        f"  dashboard  {about['gateway']}/_emulator/ (`eco2 open` opens it)",
        f"  state      {about['state_folder']}",
        "",
        *rows,
    ]
    if troubles:
        lines += ["", *(f"  ! {line}" for line in troubles)]
    return "\n".join([*lines, "", tour(about["gateway"])])


def tour(gateway: str) -> str:
    """A first session, to be pasted line by line: register, log in, upload a photo, ask for its analysis, follow it."""
    found = find_spec("skimage")  # the tests' photographs: not there after `make up` alone
    if found and found.origin:
        photo, kind = shlex.quote(str(Path(found.origin).parent / "data" / "coffee.png")), "image/png"
    else:
        photo, kind = "~/photo.jpg", "image/jpeg   # a photograph of yours"
    return TOUR.replace("GATEWAY", gateway).replace("PHOTO", photo).replace("KIND", kind)


# Lines of 80 columns at most: a terminal that breaks a line would have half of it pasted. For the curl of 2021 too, which has
# no --json. `value` picks one value out of a JSON answer; the upload's fields become a configuration of curl's.
TOUR = r"""  A first session, to be pasted in another terminal (needs curl and python3):

    cd "$(mktemp -d)"
    cp PHOTO photo
    TYPE=KIND
    G=GATEWAY/api/v1
    post() { curl -s -H 'Content-Type: application/json' "$@"; }
    value() { python3 -c "import json,sys; print(json.load(sys.stdin)['$1'])"; }
    post $G/auth/register -d '{"username": "mina", "password": "correct horse",
      "email": "mina@example.com"}'
    TOKEN=$(post $G/auth/login -d '{"username": "mina",
      "password": "correct horse"}' | value access_token)
    AUTH="Authorization: Bearer $TOKEN"
    SIZE=$(wc -c < photo)
    post $G/waste/uploads -H "$AUTH" -d '{"content_type": "'$TYPE'",
      "size_bytes": '$SIZE'}' > upload.json
    python3 -c 'import json; print(*(f"form-string=\"{k}={v}\"" for k, v in
      json.load(open("upload.json"))["fields"].items()), sep="\n")' > form.curl
    curl -s -K form.curl -F file=@photo $(value url < upload.json)
    KEY=$(value image_key < upload.json)
    ID=$(post $G/waste/analyses -H "$AUTH" -d '{"image_key": "'$KEY'"}' |
      value id)
    curl -sN $G/waste/analyses/$ID/events -H "$AUTH"
    curl -s $G/waste/analyses/$ID -H "$AUTH" |
      python3 -m json.tool --no-ensure-ascii
"""
