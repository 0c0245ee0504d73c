"""`python -m emulator.outside`: SMTP on SMTP_PORT; on OUTSIDE_PORT the letters as JSON and the identity providers' pages."""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.deferred import Deferred, serve
from emulator.outside.providers import providers_file
from runtime import listening

if TYPE_CHECKING:
    from emulator.outside.mailbox import Mailbox


@contextlib.asynccontextmanager
async def mail() -> AsyncIterator[None]:
    """Take letters by SMTP."""

    def connected() -> Any:
        from emulator.outside.mailbox import smtp

        return smtp(_mailbox())

    listener = listening.on("127.0.0.1", int(os.environ["SMTP_PORT"]))
    server = await asyncio.get_running_loop().create_server(connected, sock=listener)
    try:
        yield
    finally:
        server.close()


@cache
def _mailbox() -> "Mailbox":
    """With the first letter or look: what reads and takes letters is 7 MB."""
    from emulator.outside.mailbox import Mailbox

    return Mailbox(Path(os.environ["MAIL_DIR"]))


async def build(_: None) -> Any:
    from emulator.outside.app import build

    return build(
        _mailbox(), f"http://127.0.0.1:{os.environ['OUTSIDE_PORT']}", tuple(os.environ["OAUTH_REDIRECTS"].split(","))
    )


def applications() -> dict[int, Deferred]:
    """What is served here, by port."""
    # Its own lines name each letter's addresses.
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    port = int(os.environ["OUTSIDE_PORT"])
    if file := os.environ.get("OAUTH_PROVIDERS_FILE"):
        # Before this is ready: auth reads it once, at the first sign-in.
        Path(file).write_text(providers_file(f"http://127.0.0.1:{port}"), encoding="utf-8")
    return {port: Deferred("/_ready", mail, build)}


def main() -> None:
    serve(applications())


if __name__ == "__main__":
    main()
