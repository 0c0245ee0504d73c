"""`python -m emulator.dashboard`: serves on PORT, and takes spans by UDP on the same port."""

import os

import uvicorn

from emulator.dashboard.app import build
from runtime.http.server import Server


def main() -> None:
    config = uvicorn.Config(
        build(),
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        log_config=None,
        access_log=False,
        server_header=False,
        http="httptools",
        loop="uvloop",
        ws="none",
        timeout_graceful_shutdown=1,
    )
    Server(config).run()


if __name__ == "__main__":
    main()
