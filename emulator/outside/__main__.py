"""`python -m emulator.outside`: SMTP on SMTP_PORT; on PORT the letters as JSON and the identity providers' pages."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from litestar import Litestar, Request, delete, get
from litestar.datastructures import State

from emulator.outside import identity
from emulator.outside.mailbox import Letter, Mailbox, smtp
from runtime.http.server import Server


@get("/_ready")
async def ready() -> dict[str, bool]:
    return {"ready": True}


@get("/mail")
async def letters(request: Request[Any, Any, Any], to: str = "") -> list[Letter]:
    """The letters, newest first; with `to`, those for one address."""
    box: Mailbox = request.app.state.mailbox
    return await asyncio.to_thread(box.letters, to)


@delete("/mail")
async def clear(request: Request[Any, Any, Any]) -> None:
    await asyncio.to_thread(request.app.state.mailbox.clear)


def build(folder: Path, base_url: str, redirects: tuple[str, ...], smtp_port: int) -> Litestar:
    """The application, which serves SMTP beside HTTP while it runs."""
    box = Mailbox(folder)

    @asynccontextmanager
    async def mail(app: Litestar) -> AsyncIterator[None]:
        server = await asyncio.get_running_loop().create_server(lambda: smtp(box), "127.0.0.1", smtp_port)
        try:
            yield
        finally:
            server.close()

    state = State({"mailbox": box, "identity": identity.Identity(base_url, redirects)})
    return Litestar([ready, letters, clear, identity.router], state=state, lifespan=[mail], openapi_config=None)


def main() -> None:
    # Its own lines name each letter's addresses.
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    port = int(os.environ["PORT"])
    redirects = tuple(os.environ["OAUTH_REDIRECTS"].split(","))
    if file := os.environ.get("OAUTH_PROVIDERS_FILE"):
        # Before this is ready: auth reads it once, at the first sign-in.
        Path(file).write_text(identity.providers_file(f"http://127.0.0.1:{port}"), encoding="utf-8")
    app = build(Path(os.environ["MAIL_DIR"]), f"http://127.0.0.1:{port}", redirects, int(os.environ["SMTP_PORT"]))
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_config=None, access_log=False, ws="none", lifespan="on"
    )
    Server(config).run()


if __name__ == "__main__":
    main()
