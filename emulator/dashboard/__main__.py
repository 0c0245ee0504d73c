"""`python -m emulator.dashboard`: serves on PORT, and takes spans by UDP on the same port; beside it the world outside
(`emulator.outside`), which on most days no one needs a process for."""

import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any

from emulator.dashboard.hearing import Hearing
from emulator.dashboard.site import Site
from emulator.deferred import Deferred, serve
from emulator.outside.__main__ import applications
from emulator.recording import spanlog


@contextlib.asynccontextmanager
async def gathering() -> AsyncIterator[tuple[Site, contextlib.AsyncExitStack]]:
    """Take in spans, for whoever looks later."""
    site = Site()
    address = ("127.0.0.1", int(os.environ["PORT"]))
    site.collector.keep = spanlog.SpanLog(site.state)
    hearing = Hearing(address, site.collector.hear)
    try:
        async with contextlib.AsyncExitStack() as until_the_end:
            yield site, until_the_end
    finally:
        hearing.close()
        await site.close()


async def build(given: tuple[Site, contextlib.AsyncExitStack]) -> Any:
    from emulator.dashboard.app import build

    return await build(*given)


def main() -> None:
    dashboard = Deferred("/_emulator/ready", gathering, build)
    serve({int(os.environ["PORT"]): dashboard} | applications())


if __name__ == "__main__":
    main()
