"""What a queue, schedule or command function may name among its parameters, beside its message.

`runtime/binding.py` gives each function what it names, once, at start. HTTP functions take the same words from
`shared/http.py`, where they carry Litestar's mark; a worker has no Litestar.

    db: Db              the service's own schema
    objects: Objects    the object store
    calls: Calls        other services, over HTTP
    cache: Cache        what can be computed again
    broker: Broker      the broker's Redis itself: revocations, limits
    settings: Settings
    progress: Progress  tells who waits for the task what it does
    task: Task          the task that the function runs for

A part of a service's own is an alias with the function that makes it, whose parameters are parts too:
`Answering = Annotated[Providers, Made(make)]`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from shared.caching import Cache
from shared.calls import Calls
from shared.db import Database as Db
from shared.objects import ObjectStore as Objects
from shared.progress import Progress
from shared.settings import Settings
from shared.tasks import Task

if TYPE_CHECKING:
    import redis.asyncio

    Broker = redis.asyncio.Redis
else:
    Broker = Any  # redis is imported when a process first needs it, not at start

__all__ = ["Broker", "Cache", "Calls", "Db", "Made", "Objects", "Progress", "Settings", "Task"]


class Made(Struct, frozen=True):
    """Marks a part of a service's own: made once a process, when the first function that names it is bound."""

    by: Callable[..., Any]
