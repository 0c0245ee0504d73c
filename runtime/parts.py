"""What a process's functions can name, in the one place that makes it: each part when the first function asks for it.

A worker imports no more than its functions name, and a host starts redis, botocore and Dramatiq after its first answer.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_type_hints

from runtime import binding
from runtime.loader import LoadError
from runtime.services import Service
from shared.calls import Calls
from shared.db import Database
from shared.events import Hub
from shared.objects import ObjectStore
from shared.parts import Made
from shared.progress import Publisher
from shared.settings import Settings

# What a service must name in `uses` of its service.toml before its functions can have it.
_USES = {"db": "postgres", "objects": "objects", "cache": "cache", "broker": "broker", "publisher": "broker"}


class Parts(Mapping[Any, Any]):
    """The parts of one service in this process, by the parameter's name; one of the service's own by its `Made`.

    Making one opens no connection. `close` ends those that were made.
    """

    def __init__(self, service: Service, settings: Settings, *, pool: int | None = None) -> None:
        self.service = service
        self._settings = settings
        self._pool = pool or service.database.pool
        self._made: dict[Any, Any] = {}
        self._making = threading.RLock()
        self._makers: dict[str, Callable[[], Any]] = {
            "db": lambda: Database(settings.database_url, size=self._pool, name=service.name),
            # In a host somebody waits for the answer; a worker is patient.
            "objects": lambda: ObjectStore(settings, waiting=not service.is_worker),
            "calls": lambda: Calls(settings.urls()),
            "settings": lambda: settings,
            "hub": lambda: Hub(lambda: self["broker"]),
            "broker": self._broker,
            "cache": self._cache,
            "publisher": self._publisher,
        }

    def __getitem__(self, name: Any) -> Any:
        try:
            return self._made[name]
        except KeyError:
            with self._making:
                if name not in self._made:
                    self._made[name] = self._make(name)
                return self._made[name]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)

    def _make(self, name: Any) -> Any:
        if isinstance(name, Made):
            maker = name.by.__init__ if inspect.isclass(name.by) else name.by
            hints = get_type_hints(maker, include_extras=True)
            needs = inspect.signature(name.by).parameters
            return name.by(**{need: self[binding.made(hints[need]) or need] for need in needs})
        uses = _USES.get(name)
        if uses is not None and uses not in self.service.uses:
            raise LoadError(
                f'{self.service.name} has a function that names {name}: add "{uses}" to `uses` in service.toml'
            )
        return self._makers[name]()

    def _broker(self) -> Any:
        from shared.redis import connect_async

        return connect_async(self._settings.broker_redis_url)

    def _cache(self) -> Any:
        from shared.caching import Cache
        from shared.redis import connect_async

        return Cache(connect_async(self._settings.cache_redis_url))

    def _publisher(self) -> Publisher:
        from shared.redis import connect

        return Publisher(connect(self._settings.broker_redis_url))

    async def close(self) -> None:
        """Let go of every connection."""
        for name, close in (
            ("hub", "close"),
            ("broker", "aclose"),
            ("cache", "close"),
            ("calls", "close"),
            ("db", "close"),
        ):
            if name in self._made:
                await getattr(self._made[name], close)()
        for name in ("publisher", "objects"):
            if name in self._made:
                self._made[name].close()
