"""How the AI stub is told to answer: a script of rules."""

from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct


class Rule(Struct, kw_only=True, forbid_unknown_fields=True):
    """How to answer a request.

    Attributes:
        match: a regular expression that the last user message's text must hold.
        kind: only photos (a JSON schema is asked for) or only questions.
        times: how often the rule answers; then the next one does.
        content: the answer; anything but text is sent as JSON.
        echo: answer with the last user message itself: a model that obeys whoever writes to it.
        refusal: refuse with this text.
        finish: the finish reason; "length" is a cut answer.
        status: an error of this HTTP status instead.
        code: the error's code, as in "insufficient_quota".
        retry_after: seconds, as the error's header.
        raw: this body, whatever it is, with status 200.
        seconds: wait before the first byte.
        token_seconds: wait before each piece of a streamed answer.
        cut_after: end the connection after so many pieces of a streamed answer.
        drop: end the connection without an answer.
        usage: say what was used (a server may not).
    """

    match: str = ""
    kind: Literal["photo", "question", ""] = ""
    times: int | None = None
    content: Any = None
    echo: bool = False
    refusal: str = ""
    finish: str = "stop"
    status: int = 200
    code: str = ""
    retry_after: float | None = None
    raw: str | None = None
    seconds: float = 0.0
    token_seconds: float = 0.0
    cut_after: int | None = None
    drop: bool = False
    usage: bool = True


def read_script(path: Path) -> list[Rule]:
    """The rules of a script.

    Raises:
        ValueError: with one line that says what is wrong with it.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Rule])
    except (OSError, msgspec.MsgspecError) as error:
        raise ValueError(f"{path}: {error}") from None
