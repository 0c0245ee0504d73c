"""`python -m emulator.dashboard`: serves on PORT, and takes spans by UDP on the same port."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any

from emulator.dashboard.site import Site
from emulator.deferred import Deferred
from emulator.recording import spanlog
from runtime.http.server import Server, configured


@contextlib.asynccontextmanager
async def gathering() -> AsyncIterator[tuple[Site, contextlib.AsyncExitStack]]:
    """Take in spans, for whoever looks later."""
    site = Site()
    address = ("127.0.0.1", int(os.environ["PORT"]))
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: site.collector, local_addr=address)
    spanlog.widen(transport.get_extra_info("socket"))
    site.collector.keep = spanlog.SpanLog(site.state)
    try:
        async with contextlib.AsyncExitStack() as until_the_end:
            yield site, until_the_end
    finally:
        transport.close()
        await site.client.aclose()


async def build(given: tuple[Site, contextlib.AsyncExitStack]) -> Any:
    from emulator.dashboard.app import build

    return await build(*given)


def main() -> None:
    config = configured(
        Deferred("/_emulator/ready", gathering, build),
        http="httptools",
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        lifespan="on",
        timeout_graceful_shutdown=1,
    )
    Server(config).run()


if __name__ == "__main__":
    main()
