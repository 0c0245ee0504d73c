"""The object store's tap: people post their photographs to it directly, past the gateway."""

import os
from collections.abc import Mapping
from pathlib import Path

from emulator.recording import opened
from emulator.recording.form import NOT_KEPT, Answer, Exchange, Log
from emulator.state.folder import State
from shared import clock

_Headers = list[tuple[str, str]]


class StoreTap:
    """Looks for an open recording at each upload."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._state = State(Path(environ["ECO2_STATE"])) if environ.get("ECO2_STATE") else None

    def posted(
        self, path: str, headers: Mapping[str, str], body: bytes, answer: tuple[int, _Headers, bytes], seconds: float
    ) -> None:
        """Write an upload by form that was answered so."""
        folder = opened.open_one(self._state, requests=True) if self._state is not None else None
        if folder is None:
            return
        log = Log(folder)
        try:
            status, said, content = answer
            kept = [(name, value) for name, value in headers.items() if name not in NOT_KEPT]
            whole = Answer(status, [(n.lower(), v) for n, v in said], log.keep(content), round(seconds, 6))
            id_ = headers.get("x-request-id") or os.urandom(16).hex()
            log.write(Exchange(id_, clock.time() - seconds, "s3", "POST", path, kept, log.keep(body), "", whole))
        finally:
            log.close()
