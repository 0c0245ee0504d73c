"""One service in this process: its pool, its clients, its application, and what runs beside it once it has answered.

It imports what HTTP needs, answers, and only then imports the rest (Dramatiq, redis, botocore, PyJWT): what a request does not
need must not delay the first one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime import telemetry
from runtime.http import openapi
from runtime.http.admission import Lane
from runtime.http.app import application, bound, ticket_offices
from runtime.loader import load_http
from runtime.parts import Parts
from runtime.services import Service
from shared import supervision
from shared.identity import Verifier
from shared.settings import Settings, SettingsError, read

if TYPE_CHECKING:
    import redis.asyncio
    from litestar.handlers import HTTPRouteHandler

    from shared.db import Database

# Seconds after which a host that no one asks anything starts what runs beside it.
_SETTLE = 0.5


def read_settings(service: Service, environ: Mapping[str, str]) -> Settings:
    """The settings that this service needs.

    Raises:
        SettingsError: one is missing or wrong.
    """
    uses = [use for use in service.uses if use != "postgres"]
    required = [*service.secrets.required, *([] if service.is_worker else ["AUTH_JWKS_FILE"])]
    settings = read(environ, service=service.folder, database_env=service.database.env, uses=uses, required=required)
    for name in service.secrets.required:
        if name.endswith("_FILE") and not os.access(environ[name], os.R_OK):
            raise SettingsError(f"{name} names a file that can't be read: {environ[name]}")
    for name in service.calls:
        if name not in settings.urls():
            raise SettingsError(f"SERVICE_URLS has no address for {name}, which {service.name} calls")
    return settings


class Hosted:
    """One service in this process: its pool, its clients, its Litestar app, and what runs beside it."""

    def __init__(
        self,
        service: Service,
        settings: Settings,
        *,
        only: str | None = None,
        background: bool = True,
        handlers: Sequence[HTTPRouteHandler] | None = None,
    ) -> None:
        """Load the functions (only the one named, if any), or take the handlers given.

        Raises:
            LoadError: a function can't be loaded.
            KeySetError: the public keys can't be read.
        """
        self.service = service
        self.settings = settings
        self.parts = Parts(service, settings)
        self.database: Database = self.parts["db"]
        self.verifier = Verifier(Path(settings.auth_jwks_file))
        self._with_background = background
        self._background: Any = None
        self._starting: asyncio.Future[Any] | None = None
        self._answered = asyncio.Event()
        self._loops: list[supervision.TaskLoop] = []
        functions = load_http(service, only) if handlers is None else handlers
        self._lanes: list[Lane] = []
        functions = [*functions, *ticket_offices(service, functions)]
        found = bound(service, functions, self.parts, self.verifier, self._lane)
        # The service's OpenAPI document, as JSON.
        self.document = cache(lambda: openapi.document(service, functions, found))
        self.app = application(service, found, self.document)

    def _lane(self) -> Lane:
        """One function's places: while some hold a connection, as many may do what needs none."""
        self._lanes.append(Lane(2 * self.service.database.pool, self.database.away))
        return self._lanes[-1]

    # Its life

    async def start(self) -> None:
        """Open the pool, without waiting for a connection: a database that is away is a 503, not a crash."""
        await self.database.open()
        pool = self.database.pool
        telemetry.gauges.add(
            "eco2_pool_waiting",
            "Requests that wait for a connection",
            lambda: pool.get_stats().get("requests_waiting", 0),
            service=self.service.folder,
        )
        telemetry.gauges.add(
            "eco2_pool_in_use",
            "Connections that a request holds",
            lambda: self.database.watch.in_use,
            service=self.service.folder,
        )

        telemetry.gauges.add(
            "eco2_requests_waiting",
            "Requests in line for a place to be answered in",
            lambda: sum(lane.waiting for lane in self._lanes),
            service=self.service.folder,
        )

    def warm(self) -> None:
        """Start what the first request does not need, once that has been answered or a moment has passed."""
        if self._with_background:
            self._loops.append(supervision.task(f"start-{self.service.folder}", self._run_beside, once=True))

    async def _run_beside(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._answered.wait(), _SETTLE)
        if len(self._loops) == 1:  # not once more at another start
            self._loops.append(supervision.task(f"revocations-{self.service.folder}", self._follow_revocations))
        if "objects" in self.service.uses:
            await asyncio.to_thread(self.parts["objects"].warm)
        loop = asyncio.get_running_loop()

        def start_background() -> Any:
            from runtime.delivery.background import start_background

            return start_background(self.service, loop, self.parts)

        # One thread, although this is cancelled while it runs and begins anew: what it starts must be known to `stop`.
        if self._starting is None:
            self._starting = loop.run_in_executor(None, start_background)
        try:
            self._background = await asyncio.shield(self._starting)
        except Exception:  # raised again: the next start begins with a new thread
            self._starting = None
            raise

    async def _follow_revocations(self) -> None:
        await self.verifier.follow_revocations(self.parts["broker"])

    def drain(self) -> None:
        """End what listens without end."""
        self.parts["hub"].drain()

    async def stop(self) -> None:
        """Stop the relay and the queue functions, then let go of every connection."""
        for loop in self._loops:
            await loop.stop()
        if self._starting is not None:
            # It may be under way still. A start that fails has said so, and left nothing.
            with contextlib.suppress(Exception):
                self._background = await self._starting
        if self._background is not None:
            await asyncio.to_thread(self._background.stop)
        await self.parts.close()

    async def answering(self) -> dict[str, str]:
        """Which of its parts answer now."""
        checks: dict[str, Any] = {"database": self.database.ready()}
        if not self._answered.is_set():
            # The very first question, of a process that just started: what is not imported yet must not delay the answer.
            up = await checks["database"]
            if up:
                self._answered.set()
            return {"database": "up" if up else "away"} | dict.fromkeys(
                set(self.service.uses) - {"postgres"}, "starting"
            )
        if "broker" in self.service.uses:
            checks["broker"] = _within(_answers(self.parts["broker"]))
        if "cache" in self.service.uses:
            checks["cache"] = _within(_answers(self.parts["cache"].client))
        if "objects" in self.service.uses:
            checks["objects"] = _within(self._objects_answer())
        found = await asyncio.gather(*checks.values())
        return {name: "up" if up else "away" for name, up in zip(checks, found, strict=True)}

    async def _objects_answer(self) -> bool:
        # The threads may all be busy with people's requests: what these were answered says it too.
        objects = self.parts["objects"]
        return bool(objects.heard_lately() or await asyncio.to_thread(objects.ready))


async def _answers(client: redis.asyncio.Redis) -> bool:
    from redis.exceptions import RedisError

    try:
        await client.ping()
    except (RedisError, OSError):
        return False
    return True


async def _within(check: Any, limit: float = 1.8) -> bool:
    try:
        return bool(await asyncio.wait_for(check, limit))
    except TimeoutError:
        return False
