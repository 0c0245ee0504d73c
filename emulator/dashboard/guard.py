"""Whom the dashboard answers, and how it says no.

A page from elsewhere is told by its Host and Origin. Another user of this machine can send any Host, and reads the page's files;
so the API asks for the token that the running emulator wrote into its folder, in a file that its owner alone may read. `eco2
open` prints it in the page's fragment, which a browser sends nowhere.
"""

import hmac
from typing import Any
from urllib.parse import urlsplit

import psycopg
from litestar import Request, Response
from litestar.exceptions import HTTPException

from emulator import control
from emulator.process import StartError
from runtime.services import ServiceError

_HERE = {"127.0.0.1", "localhost", "::1"}


class Refused(Exception):
    """PostgreSQL, Redis or a wrong name said no; the message is what was said."""


HEADER = "x-eco2-token"


async def with_token(request: Request[Any, Any, Any]) -> None:
    """Refuse what another web page or another user of this machine sends."""
    await only_from_here(request)
    held = control.find(request.app.state.site.state)["token"]
    given = request.headers.get(HEADER, "")
    if not hmac.compare_digest(given.encode(), held.encode()):
        raise HTTPException(
            "this asks for the emulator's token: use the address that `eco2 open` prints", status_code=401
        )


async def only_from_here(request: Request[Any, Any, Any]) -> None:
    """Refuse what another web page sends: a name that leads here (DNS rebinding), or a form or script of its own."""
    # The gateway hands `Host` on as it came. X-Forwarded-Host decides nothing: a rebound page that finds our own port may
    # put there what it likes.
    host = request.headers.get("host", "")
    origin = request.headers.get("origin")
    if urlsplit(f"//{host}").hostname not in _HERE:
        raise HTTPException("the dashboard answers to this machine's own names only", status_code=403)
    if origin is not None and urlsplit(origin).netloc != host:
        raise HTTPException("another page may not use the dashboard", status_code=403)


def refuse(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """Any error as `{"status", "detail"}`."""
    expected = isinstance(error, StartError | ServiceError | Refused | psycopg.Error | OSError)
    status = error.status_code if isinstance(error, HTTPException) else 409 if expected else 500
    detail = error.detail if isinstance(error, HTTPException) else str(error)
    return Response({"status": status, "detail": detail}, status_code=status, media_type="application/problem+json")
