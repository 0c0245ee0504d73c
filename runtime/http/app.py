"""One service's Litestar application: its functions, each bound to its parts and asked for its token first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from litestar import Litestar, Response, Router, get
from litestar.handlers import HTTPRouteHandler

from runtime.http import authentication, injected, openapi, problems
from runtime.http.binding import Provider, bind, parameters
from runtime.http.response import DataResponse
from runtime.services import Service
from shared.identity import Verifier

# The largest request body, in bytes: everything large goes to the object store directly.
MAX_BODY = 256 * 1024


def application(
    service: Service, handlers: Sequence[HTTPRouteHandler], parts: Mapping[Any, Any], verifier: Verifier
) -> Litestar:
    """The application that answers below the service's prefix."""
    providers: dict[str, Provider] = {
        "user": authentication.asked_by,
        "maybe_user": authentication.asked_by,
        "idempotency": injected.idempotency,
        "conditions": injected.conditions,
        "page": injected.page,
    }
    made: list[bytes] = []

    # Functions and no methods: Litestar copies its handlers deeply, and what they are bound to with them.
    @get("/openapi.json", include_in_schema=False)
    async def document() -> Response[bytes]:
        if not made:
            made.append(openapi.document(app))
        return Response(made[0], media_type="application/json")

    def complete(handler: HTTPRouteHandler) -> HTTPRouteHandler:
        names = parameters(handler)
        bound = bind(handler, parts, providers)
        bound.before_request = authentication.before_request(names, verifier)
        openapi.describe(bound, names)
        return bound

    app = Litestar(
        route_handlers=[
            Router(
                path=service.prefix,
                tags=[service.short],
                # OPTIONS first, or Litestar makes its own.
                route_handlers=[*_options([*handlers, document]), *map(complete, handlers), document],
            )
        ],
        exception_handlers={Exception: problems.handle},
        response_class=DataResponse,
        request_max_body_size=MAX_BODY,
        logging_config=None,
        openapi_config=openapi.config(service),
    )
    return app


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
