"""One service's Litestar application: its functions, each bound to its parts and asked for its token first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from litestar import Request, Response, Router, get, post
from litestar._kwargs import extractors
from litestar._parsers import parse_query_string
from litestar.connection.base import empty_receive, empty_send
from litestar.handlers import HTTPRouteHandler
from litestar.types import Empty, Receive, Scope, Send

from runtime.http import authentication, injected, problems
from runtime.http.admission import Lane
from runtime.http.binding import Provider, bind, parameters
from runtime.http.lean import Application
from runtime.services import Service
from shared import identity, tickets
from shared.http import Broker, CurrentUser
from shared.identity import Verifier

# How the address of an event stream ends.
EVENTS = "/events"
# The largest request body, in bytes: everything large goes to the object store directly.
MAX_BODY = 256 * 1024
# Bytes of a query that is worth remembering how it reads.
_SHORT = 200


# And of what it reads as, Litestar keeps the last 1,024 dicts, each under all of its names and values: to make one costs less
# than to look it up.
extractors.create_query_default_dict = extractors.create_query_default_dict.__wrapped__  # type: ignore[assignment]  # a function


class Asked(Request[Any, Any, Any]):
    """A request whose query Litestar does not keep when it is long.

    It remembers how the last 1,024 queries of the process read, whatever their length: with lines of 8 KB of parameters that is
    150 MB and more, for whoever wants to fill them.
    """

    def __init__(self, scope: Scope, receive: Receive = empty_receive, send: Send = empty_send) -> None:
        super().__init__(scope, receive, send)
        query = scope["query_string"]
        if len(query) > _SHORT and self._parsed_query is Empty:
            self._parsed_query = parse_query_string.__wrapped__(query)


def bound(
    service: Service,
    handlers: Sequence[HTTPRouteHandler],
    parts: Mapping[Any, Any],
    verifier: Verifier,
    lane: Callable[[], Lane],
) -> list[HTTPRouteHandler]:
    """The handlers with their parts inside, each asking for the token that its parameters imply, in a lane of its own."""
    providers: dict[str, Provider] = {
        "user": authentication.asked_by,
        "maybe_user": authentication.asked_by,
        "idempotency": injected.idempotency,
        "conditions": injected.conditions,
        "page": injected.page,
    }
    found = []
    for handler in handlers:
        streams = any(path.endswith(EVENTS) for path in handler.paths)
        names, name = parameters(handler), handler.opt.get("function", handler.fn.__name__)
        broker = partial(parts.__getitem__, "broker") if streams else None
        found.append(bind(handler, parts, providers))
        found[-1].before_request = authentication.before_request(
            service.folder, name, names, verifier, broker, lane=lane(), hops=parts["settings"].trusted_hops
        )
    return found


def ticket_offices(service: Service, handlers: Sequence[HTTPRouteHandler]) -> list[HTTPRouteHandler]:
    """POST `/ticket` below the address of each event stream; it is off when the stream's function is."""
    found = []
    for handler in handlers:
        paths = [f"{path}/ticket" for path in handler.paths if path.endswith(EVENTS)]
        if paths:
            name = handler.fn.__name__
            operation = f"{service.folder}_{name}_ticket"
            office = post(paths, status_code=201, operation_id=operation, summary="Ask for a ticket", function=name)
            found.append(office(_issue))
    return found


async def _issue(request: Request[Any, Any, Any], user: CurrentUser, broker: Broker) -> tickets.Ticket:
    """A ticket for this event stream, which takes it in `?ticket=` where no header can be sent (EventSource)."""
    # Whose the stream is, is asked when it is opened.
    path = request.scope["path"].removesuffix("/ticket")
    return await tickets.issue(broker, path, identity.current_session())


def application(service: Service, handlers: Sequence[HTTPRouteHandler], document: Callable[[], bytes]) -> Application:
    """The application that answers below the service's prefix, with bound handlers and the OpenAPI document's bytes."""

    @get("/openapi.json", include_in_schema=False)
    async def openapi_json() -> Response[bytes]:
        return Response(document(), media_type="application/json")

    return Application(
        route_handlers=[
            # OPTIONS first, or Litestar makes its own.
            Router(service.prefix, route_handlers=[*_options([*handlers, openapi_json]), *handlers, openapi_json])
        ],
        exception_handlers={Exception: problems.handle},
        request_class=Asked,
        request_max_body_size=MAX_BODY,
        logging_config=None,
        # Made when it is asked for (runtime.http.openapi).
        openapi_config=None,
    )


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
