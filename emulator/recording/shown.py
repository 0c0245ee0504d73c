"""An exchange as a person may see it: without what opens something."""

import json
import re
from pathlib import Path
from typing import Any

from emulator.recording.form import Body, Exchange, content_of

SECRET = re.compile(
    r"(passw|token|secret|ticket|code|state|nonce|sig|auth|cred|policy|cookie|verifier|challenge)", re.I
)
_IN_QUERY = re.compile(
    r"([?&][^=&]*(?:ticket|token|code|state|secret|passw|key|sig|auth|cred|nonce)[^=&]*=)[^&]*", re.I
)
MASK = "…"


def shown(folder: Path, exchange: Exchange) -> dict[str, Any]:
    """With secrets masked and bodies decoded."""
    answer = exchange.answer
    return {
        "id": exchange.id,
        "at": exchange.at,
        "to": exchange.to,
        "method": exchange.method,
        "path": _IN_QUERY.sub(rf"\1{MASK}", exchange.path),
        "status": answer.status,
        "seconds": answer.seconds,
        "headers": {name: MASK if SECRET.search(name) else value for name, value in exchange.headers},
        "body": _body(folder, exchange.body),
        "answer": _body(folder, answer.body),
        "ended": answer.ended,
    }


def _body(folder: Path, body: Body) -> Any:
    if body.file:
        return f"{body.size} bytes"
    text = content_of(folder, body).decode()
    try:
        return masked(json.loads(text)) if text else None
    except ValueError:
        return text


def masked(value: Any, name: str = "") -> Any:
    """JSON with the values of fields that name a secret masked."""
    if isinstance(value, dict):
        return {key: masked(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [masked(inner, name) for inner in value]
    return (
        MASK
        if isinstance(value, str) and SECRET.search(name) and not name.endswith(("_code", "status_code"))
        else value
    )
