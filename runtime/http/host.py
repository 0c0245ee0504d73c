"""Serves the HTTP functions of a service; once ready, runs its relay and queue functions on threads beside them.

`python -m runtime.http.host SERVICE[/FUNCTION] ...` is a container's process. It imports what HTTP needs, answers, and only then
imports the rest (Dramatiq, redis, boto3, PyJWT): what a request does not need must not delay the first one.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import re
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import uvicorn
from litestar import Litestar, Request, Response, Router, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.params import HeaderParameter, QueryParameter
from litestar.types import Scope

from runtime import telemetry
from runtime.binding import Constant, Provider, bind, parameters
from runtime.http import examples, problems
from runtime.http.edge import UNSUPPORTED, Edge
from runtime.http.protocol import ProblemProtocol
from runtime.http.response import DataResponse
from runtime.http.server import Server
from runtime.loader import LoadError, load_http
from runtime.services import Service, ServiceError, find, load_services, seconds
from shared import caching, spans
from shared import calls as calls_module
from shared import objects as objects_module
from shared import redis as redis_module
from shared.calls import Calls
from shared.db import Database
from shared.errors import BadInput, NotFound, Problem, TooLarge, Unauthorized, Unavailable, UnsupportedMedia
from shared.http import Conditions, CurrentUser, Responses
from shared.http import problems as problem_responses
from shared.idempotency import Idempotency, KeyReused, StillUnderWay
from shared.identity import KeySetError, User, Verifier
from shared.objects import ObjectStore
from shared.pages import Paging
from shared.progress import Hub
from shared.redis import connect_async
from shared.settings import Settings, SettingsError, read

if TYPE_CHECKING:
    import redis.asyncio

log = logging.getLogger(__name__)

# The largest request body, in bytes: everything large goes to the object store directly.
MAX_BODY = 256 * 1024
# Seconds that a stop waits for answers under way before it ends them.
_DRAIN = 5.0
# Seconds after which a host that nobody asks anything starts what runs beside it.
_SETTLE = 0.5
_STORES = {"db", "idempotency", "broker", "cache", "objects"}


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


# Who sent the request that this context answers; set before the handler runs.
_identity: ContextVar[User | None] = ContextVar("identity")


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
        self.database = Database(settings.database_url, size=service.database.pool, name=service.name)
        self.verifier = Verifier(Path(settings.auth_jwks_file))
        self.objects = ObjectStore(settings, waiting=True)
        self.calls = Calls(settings.urls())
        self.hub = Hub(self._connect_broker)
        self._broker: redis.asyncio.Redis | None = None
        self._cache: redis.asyncio.Redis | None = None
        self._with_background = background
        self._background: Any = None
        self._answered = asyncio.Event()
        self._openapi: bytes | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.app = self._build(load_http(service, only) if handlers is None else handlers)

    # The app

    def _build(self, handlers: Sequence[HTTPRouteHandler]) -> Litestar:
        providers = self._providers()

        # A function and no method: Litestar copies its handlers deeply, and this service with a method's.
        @get("/openapi.json", include_in_schema=False)
        async def document() -> Response[bytes]:
            return Response(self.document(), media_type="application/json")

        return Litestar(
            route_handlers=[
                Router(
                    path=self.service.prefix,
                    tags=[self.service.short],
                    route_handlers=[
                        # First, or Litestar makes its own.
                        *_options([*handlers, document]),
                        *(self._complete(bind(handler, providers), parameters(handler)) for handler in handlers),
                        document,
                    ],
                )
            ],
            exception_handlers={Exception: problems.handle},
            response_class=DataResponse,
            request_max_body_size=MAX_BODY,
            logging_config=None,
            openapi_config=OpenAPIConfig(
                title=f"Eco² {self.service.name}",
                version="1",
                # Litestar's own router answers every unknown address below it with a page in HTML: out of the edge's
                # reach, then, and the document is a route of ours.
                path="/litestar",
                render_plugins=[JsonRenderPlugin(path="/openapi.json")],
                operation_id_creator=lambda handler, method, path: f"{self.service.folder}_{handler.fn.__name__}",
                components=Components(
                    security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")}
                ),
            ),
        )

    def document(self) -> bytes:
        """The service's OpenAPI document, as JSON."""
        if self._openapi is None:
            content = self.app.openapi_schema.to_schema()
            examples.complete(content)
            text = msgspec.json.encode(content)
            # Litestar names Page[Item] after all modules on the way; clients make class names of it.
            self._openapi = re.sub(rb"Page_[\w.]*?(\w+)_(?=\")", rb"PageOf\1", text)
        return self._openapi

    def _complete(self, handler: HTTPRouteHandler, names: set[str]) -> HTTPRouteHandler:
        """Ask for the token first, and say in the OpenAPI document what follows from the parameters."""
        kinds: list[type[Problem]] = []
        if names & {"user", "maybe_user", "idempotency"}:
            kinds.append(Unauthorized)
            handler.security = [{"bearer": []}] if "maybe_user" not in names else [{"bearer": []}, {}]
            handler.before_request = self._authenticator(required="maybe_user" not in names, body="data" in names)
        elif "data" in names:
            handler.before_request = _check_media
        if "data" in names:
            kinds += [BadInput, TooLarge, UnsupportedMedia]
        if names - _STORES - {"user", "maybe_user", "calls", "settings", "hub", "request"}:
            kinds.append(BadInput)
        if "idempotency" in names:
            kinds += [KeyReused, StillUnderWay]
        if any("{" in path for path in handler.paths):
            kinds.append(NotFound)
        if names & _STORES:
            kinds.append(Unavailable)
        handler.responses = Responses(problem_responses(*dict.fromkeys(kinds)) | dict(handler.responses or {}))
        if "conditions" in names and "GET" in handler.http_methods:
            handler.responses[304] = ResponseSpec(
                None, generate_examples=False, description="The client has it already."
            )
        return handler

    def _authenticator(self, *, required: bool, body: bool) -> Callable[[Request[Any, Any, Any]], Awaitable[None]]:
        # A function and no method: Litestar copies its routers deeply, so a method would ask a copy of this service, whose
        # verifier never hears of a revoked session.
        verifier = self.verifier

        async def authenticate(request: Request[Any, Any, Any]) -> None:
            # Before the body is looked at: a stranger hears 401, and not what is wrong with a field.
            scope: Any = request.scope
            authorization = _authorization(scope)
            if authorization is None and not required:
                _identity.set(None)
            else:
                user = verifier.authenticate(authorization)
                _identity.set(user)
                scope["eco2_user"] = user.alias
            if body and UNSUPPORTED in scope:
                raise UnsupportedMedia

        return authenticate

    def _providers(self) -> dict[str, Provider]:
        async def provide_idempotency(
            request: Request[Any, Any, Any],
            user: CurrentUser,
            idempotency_key: Annotated[
                str | None,
                HeaderParameter(
                    name="Idempotency-Key",
                    description="The same key and body get the first answer again.",
                    schema_extra={"minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
                ),
            ] = None,
        ) -> Idempotency:
            body = await request.body() if idempotency_key is not None else b""
            path = request.url.path
            return Idempotency(idempotency_key, user_id=user.id, method=request.method, path=path, body=body)

        def provide_conditions(
            if_none_match: Annotated[str | None, HeaderParameter(name="If-None-Match")] = None,
            if_match: Annotated[str | None, HeaderParameter(name="If-Match")] = None,
        ) -> Conditions:
            return Conditions(if_none_match, if_match)

        def provide_page(
            limit: Annotated[int, QueryParameter(ge=1, le=100, description="Rows on this page.")] = 20,
            cursor: Annotated[str | None, QueryParameter(description="next_cursor of the page before.")] = None,
        ) -> Paging:
            return Paging(limit, cursor)

        return {
            "db": Constant(self.database),
            "objects": Constant(self.objects),
            "calls": Constant(self.calls),
            "hub": Constant(self.hub),
            "settings": Constant(self.settings),
            "broker": self._connect_broker,
            "cache": self._connect_cache,
            # From the context and not from the scope: Litestar converts whatever it passes, and nothing is cheaper.
            "user": _identity.get,
            "maybe_user": _identity.get,
            "idempotency": provide_idempotency,
            "conditions": provide_conditions,
            "page": provide_page,
        }

    def _connect_broker(self) -> Any:
        if self._broker is None:
            self._broker = connect_async(self.settings.broker_redis_url)
        return self._broker

    def _connect_cache(self) -> Any:
        if self._cache is None:
            self._cache = connect_async(self.settings.cache_redis_url)
        return self._cache

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
            lambda: pool.get_stats().get("pool_size", 0) - pool.get_stats().get("pool_available", 0),
            service=self.service.folder,
        )
        objects_module.use(self.objects)
        calls_module.use(self.calls)
        if "cache" in self.service.uses:
            caching.use(self._connect_cache())

    def warm(self) -> None:
        """Start what the first request does not need, once that has been answered or a moment has passed."""
        if self._with_background:
            self._tasks.append(asyncio.create_task(self._run_beside()))

    async def _run_beside(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._answered.wait(), _SETTLE)
        redis_module.use(self._connect_broker())
        follow = asyncio.create_task(self.verifier.follow_revocations(self._connect_broker()))
        self._tasks.append(follow)
        if "objects" in self.service.uses:
            # Importing boto3 takes 300 ms; the first upload should not.
            await asyncio.to_thread(lambda: self.objects.client)
        loop = asyncio.get_running_loop()

        def start_background() -> Any:
            from runtime.delivery.background import start_background
            from shared import progress
            from shared.redis import connect

            progress.use(progress.Publisher(connect(self.settings.broker_redis_url)))
            return start_background(self.service, loop, self.database, self.settings)

        self._background = await asyncio.to_thread(start_background)

    def drain(self) -> None:
        """End what listens without end."""
        self.hub.drain()

    async def stop(self) -> None:
        """Stop the relay and the queue functions, then let go of every connection."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._background is not None:
            await asyncio.to_thread(self._background.stop)
        await self.hub.close()
        for client in (self._broker, self._cache):
            if client is not None:
                await client.aclose()
        await self.calls.close()
        self.objects.close()
        await self.database.close()

    async def parts(self) -> dict[str, str]:
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
            checks["broker"] = _within(_answers(self._connect_broker()))
        if "cache" in self.service.uses:
            checks["cache"] = _within(_answers(self._connect_cache()))
        if "objects" in self.service.uses:
            checks["objects"] = _within(asyncio.to_thread(self.objects.ready))
        found = await asyncio.gather(*checks.values())
        return {name: "up" if up else "away" for name, up in zip(checks, found, strict=True)}


async def _check_media(request: Request[Any, Any, Any]) -> None:
    if UNSUPPORTED in request.scope:
        raise UnsupportedMedia


def _options(handlers: Sequence[HTTPRouteHandler]) -> Iterator[HTTPRouteHandler]:
    """What OPTIONS answers. Litestar (2.25) makes one for each function, and those of one address hide each other."""
    methods: dict[str, set[str]] = {}
    for handler in handlers:
        for path in handler.paths:
            methods.setdefault(path, set()).update(handler.http_methods)
    for path, found in methods.items():
        yield HTTPRouteHandler(path, http_method="OPTIONS", status_code=204, include_in_schema=False)(
            _allowing(problems.allow(found))
        )


def _allowing(methods: str) -> Callable[[], Awaitable[Response[None]]]:
    async def options() -> Response[None]:
        return Response(None, headers={"Allow": methods})

    return options


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


def _authorization(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"authorization":
            return value.decode("latin-1")
    return None


def build(
    targets: Sequence[str], environ: Mapping[str, str], *, background: bool = True, access_log: bool = True
) -> tuple[Edge, Settings]:
    """The application for `SERVICE` or `SERVICE/FUNCTION` targets, and the settings that say where to listen.

    Raises:
        ServiceError, LoadError, SettingsError, KeySetError: each with one line for a person.
    """
    services = load_services()
    hosted = []
    for target in targets:
        name, _, only = target.partition("/")
        service = find(name, services)
        if service.is_worker:
            raise ServiceError(f"{service.name} has no HTTP functions: eco2 work {service.folder}")
        settings = read_settings(service, environ)
        hosted.append(Hosted(service, settings, only=only or None, background=background))
    first = hosted[0].settings
    name = hosted[0].service.name if len(hosted) == 1 else "api"
    return Edge(hosted, telemetry.AccessLog(name, first.log_format, enabled=access_log)), first


def run(targets: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT; the exit code says 2 for a wrong setting or target."""
    # Nothing of what is imported at start is garbage: collecting meanwhile costs a fifth of the start.
    gc.disable()
    try:
        edge, settings = build(targets, os.environ)
    except (ServiceError, LoadError, SettingsError, KeySetError) as error:
        print(f"eco2 serve: {error}", file=sys.stderr)
        return 2
    gc.freeze()
    gc.enable()
    name = targets[0] if len(targets) == 1 else "api"
    telemetry.configure(name, settings.log_format, settings.log_level)
    spans.configure(name)
    grace = min(seconds(find(t.partition("/")[0]).run.grace) for t in targets)
    config = uvicorn.Config(
        edge,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        http=ProblemProtocol,
        loop="uvloop",
        ws="none",
        timeout_graceful_shutdown=int(min(grace, _DRAIN)),
    )
    server = _Server(config, edge)
    # The emulator keeps the listening socket itself: connections wait in it while the service starts anew.
    inherited = os.environ.get("LISTEN_FD")
    sockets = [socket.socket(fileno=int(inherited))] if inherited else None
    try:
        server.run(sockets)
    except OSError as error:
        print(f"eco2 serve: can't listen on {settings.host}:{settings.port}: {error.strerror}", file=sys.stderr)
        return 1
    return 0 if server.started else 1


class _Server(Server):
    """Tells the edge that a stop has begun before it waits for the answers under way."""

    def __init__(self, config: uvicorn.Config, edge: Edge) -> None:
        super().__init__(config)
        self._edge = edge

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._edge.drain()
        await super().shutdown(sockets)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
