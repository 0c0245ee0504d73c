"""The page Logs: what all parts have said, merged by time, as `eco2 logs` prints it."""

import asyncio
import time
from typing import Annotated, Any, Literal

from litestar import get
from litestar.exceptions import HTTPException
from litestar.params import QueryParameter

from emulator import logbook
from emulator.dashboard.site import Site


@get("/logs", summary="Lines of the parts' logs by time, oldest first (?part=&level=&q=&seconds=&limit=)")
async def logs(
    site: Site,
    part: Annotated[str, QueryParameter()] = "",
    level: Annotated[Literal["debug", "info", "warning", "error", "critical"], QueryParameter()] = "debug",
    q: Annotated[str, QueryParameter()] = "",
    seconds: Annotated[float, QueryParameter(ge=0, le=31_622_400)] = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=2000)] = 300,
) -> dict[str, Any]:
    folder = site.state.path / "logs"
    parts = logbook.parts(folder)
    chosen = [name for name in part.split(",") if name]
    if unknown := [name for name in chosen if name not in parts]:
        raise HTTPException(f"there is no log of {', '.join(unknown)}", status_code=404)
    since = time.time() - seconds if seconds else 0.0
    wanted = logbook.Wanted(chosen, since, level, q, limit)
    return {"parts": parts, "lines": await asyncio.to_thread(logbook.read, folder, wanted)}


HANDLERS: list[Any] = [logs]
