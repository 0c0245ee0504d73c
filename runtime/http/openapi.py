"""A service's OpenAPI document: Litestar's, and what our conventions imply.

A handler's module says in its docstring what the operation does. From a handler's parameters follow the errors it may answer;
from a status, headers; from the types of bodies, their schemas (`openapi_schemas.py`) and examples (`openapi_examples.py`).
Errors bring their texts along (shared.http.problems).
"""

import inspect
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from litestar import Router
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, License, SecurityScheme, Server, Tag

from runtime.http import openapi_examples, openapi_schemas
from runtime.http.authentication import ASKING
from runtime.http.binding import parameters
from runtime.http.lean import Application
from runtime.services import Service
from shared.errors import (
    BadInput,
    Busy,
    NotFound,
    Problem,
    TooLarge,
    TooSlow,
    Unauthorized,
    Unavailable,
    UnsupportedMedia,
)
from shared.http import ETAG, Responses
from shared.http import problems as problem_responses
from shared.idempotency import KeyReused, StillUnderWay
from shared.identity import InvalidToken

ABOUT = """
Errors are `application/problem+json` (RFC 9457): decide by `type`, show `detail`. Every answer carries `X-Request-Id`.

A POST or PUT with an `Idempotency-Key` may be repeated: it takes effect once. A list has pages: `next_cursor` of one is
`cursor` of the next. `ETag` of a GET is `If-Match` of a change, which is refused with 412 when
somebody else has changed the thing.
"""
_STORES = {"db", "idempotency", "broker", "cache", "objects"}
# Parameters of which nothing that a client sends is part.
_GIVEN = _STORES | {"user", "maybe_user", "calls", "settings", "hub", "request"}
_SECURITY: dict[str, Any] = {
    "bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT", description="An access token."),
    "ticket": SecurityScheme(
        type="apiKey",
        name="ticket",
        security_scheme_in="query",
        description="For event streams: POST `…/events/ticket`.",
    ),
}
_TICKET = {
    "name": "ticket",
    "in": "query",
    "required": False,
    "description": "In place of the token where no header can be sent: good once, for 60 s.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"},
}
# What Litestar writes at each parameter although it is what is meant without.
_MEANT = ("deprecated", "allowEmptyValue", "allowReserved")
_SECONDS = {"type": "integer", "minimum": 1, "maximum": 86_400}
_HEADERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "304": (
        "ETag",
        "Names what the client has; If-Match and If-None-Match take it.",
        {"type": "string", "pattern": ETAG},
    ),
    "401": (
        "WWW-Authenticate",
        '`Bearer`; with `error="invalid_token"` for a token that is not valid (RFC 6750 §3).',
        {"type": "string", "pattern": "^Bearer"},
    ),
    "429": ("Retry-After", "Seconds to wait.", _SECONDS),
    "503": ("Retry-After", "Seconds to wait.", _SECONDS),
}
_WITHOUT_BODY = {"202": "Accepted: it is done in a moment.", "204": "Done.", "303": "Led to another page."}


def document(service: Service, handlers: Sequence[HTTPRouteHandler], bound: Sequence[HTTPRouteHandler]) -> bytes:
    """The document of a service's handlers, as JSON, by an application of its own: few processes are ever asked for it."""
    for handler, given in zip(handlers, bound, strict=True):
        _describe(given, parameters(handler))
    bodies = openapi_schemas.Bodies()
    # Not imported by its name: the closure of every service would hold the functions of all.
    about = getattr(sys.modules.get(f"functions.{service.folder}"), "__doc__", None)
    app = Application(
        [Router(service.prefix, tags=[service.short], route_handlers=bound)],
        openapi_config=OpenAPIConfig(
            title=f"Eco² {service.name}",
            version="1",
            description=ABOUT.strip(),
            license=License(name="Apache-2.0", identifier="Apache-2.0"),
            servers=[Server(url="/")],
            tags=[Tag(name=service.short, description=about)],
            render_plugins=[JsonRenderPlugin()],
            operation_id_creator=lambda handler, method, path: f"{service.folder}_{handler.fn.__name__}",
            components=Components(security_schemes=_SECURITY),
        ),
        plugins=[bodies],
        logging_config=None,
    )
    content = app.openapi_schema.to_schema()
    _complete(content, bodies.types)
    return msgspec.json.encode(content)


def _describe(handler: HTTPRouteHandler, names: set[str]) -> None:
    """Note at a handler what follows from the names of its parameters."""
    kinds: list[type[Problem]] = []
    if names & ASKING:
        kinds += [Unauthorized, InvalidToken]
        handler.security = [{"bearer": []}] if "maybe_user" not in names else [{"bearer": []}, {}]
    if "data" in names:
        kinds += [BadInput, TooLarge, UnsupportedMedia]
    if names - _GIVEN:
        kinds.append(BadInput)
    if "idempotency" in names:
        kinds += [KeyReused, StillUnderWay]
    if any("{" in path for path in handler.paths):
        kinds += [BadInput, NotFound]
    if names & _STORES:
        kinds += [Unavailable, Busy, TooSlow] if "db" in names else [Unavailable]
    handler.responses = Responses(problem_responses(*dict.fromkeys(kinds)) | dict(handler.responses or {}))
    if "conditions" in names and "GET" in handler.http_methods:
        handler.responses[304] = ResponseSpec(None, generate_examples=False, description="The client has it already.")
    text = inspect.getdoc(handler.fn) or inspect.cleandoc(sys.modules[handler.fn.__module__].__doc__ or "")
    handler.description = "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _complete(document: dict[str, Any], types: list[Any]) -> None:
    """Add schemas, examples and headers, and say what answers always have, in place."""
    openapi_schemas.write(document, types)
    schemas = document["components"]["schemas"]
    _always_there(document, schemas)
    openapi_examples.add((operation for _, _, operation in _operations(document)), schemas)
    for path, method, operation in _operations(document):
        responses = operation["responses"]
        operation["parameters"] = [
            _plain(parameter)
            for parameter in operation.get("parameters", ())
            if not (method == "get" and parameter["name"] == "If-Match")  # only a change looks at it
        ]
        if "text/event-stream" in responses.get("200", {}).get("content", {}):
            _with_ticket(operation, document["paths"].get(f"{path}/ticket"))
        if "oneOf" in operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {}):
            operation["requestBody"]["required"] = False
        for word in ("parameters", "security"):
            if not operation.get(word):
                operation.pop(word, None)
        for status, response in responses.items():
            for header in response.get("headers", {}).values():
                header.setdefault("schema", {"type": "string"})
            if not response.get("headers"):
                response.pop("headers", None)
            _say_what(response, status, schemas)
            # What can be asked for by its ETag is answered with it.
            known = "304" if status == "200" and "304" in responses else status
            if known in _HEADERS:
                name, text, schema = _HEADERS[known]
                response.setdefault("headers", {})[name] = {"description": text, "required": True, "schema": schema}


def _say_what(response: dict[str, Any], status: str, schemas: dict[str, Any]) -> None:
    """A success is described by what it answers with."""
    if status.startswith(("2", "303")) and "text/event-stream" not in response.get("content", {}):
        media: list[Any] = list(response.get("content", {}).values())
        schema = media[0]["schema"] if media else {}
        name = schema.get("items", schema).get("$ref", "").rpartition("/")[2]
        if name:
            response["description"] = schemas[name]["description"]
        elif status in _WITHOUT_BODY or not media:
            response["description"] = _WITHOUT_BODY.get(status, "Done.")


def _with_ticket(operation: dict[str, Any], office: dict[str, Any] | None) -> None:
    """A stream takes a ticket too; the address that issues it has the stream's parameters in its path."""
    operation["security"] = [{"bearer": []}, {"ticket": []}]
    if office is not None:
        office["post"]["parameters"] = [one for one in operation["parameters"] if one["in"] == "path"]
    operation["parameters"].append(_TICKET)


def _plain(parameter: dict[str, Any]) -> dict[str, Any]:
    """A parameter without what goes without saying: it is text in an address or a header, so never null."""
    schema = parameter["schema"]
    if "oneOf" in schema:
        (real,) = [one for one in schema.pop("oneOf") if one != {"type": "null"}]
        schema |= real
    elif "null" in schema.get("type", ()):
        schema["type"] = next(kind for kind in schema["type"] if kind != "null")
    schema.pop("description", None)
    for word in ("minimum", "maximum", "exclusiveMinimum"):
        if word in schema and schema[word] == int(schema[word]):
            schema[word] = int(schema[word])
    kept = {name: value for name, value in parameter.items() if name not in _MEANT}
    if parameter["in"] == "path" and parameter["name"].endswith("_id"):
        kept.setdefault("description", f"Which {parameter['name'].removesuffix('_id').replace('_', ' ')}.")
    return kept


def _always_there(document: dict[str, Any], schemas: dict[str, Any]) -> None:
    """A field with a default may be left out of a request; an answer has every field (msgspec writes them all)."""
    asked: set[str] = set()
    answered: set[str] = set()
    for _, _, operation in _operations(document):
        _reach(operation.get("requestBody", {}), schemas, asked)
        _reach(operation["responses"], schemas, answered)
    for name, schema in schemas.items():
        always = schema.pop("x-always", [])
        if name in answered - asked and always:
            tagged = [field for field in schema.get("required", ()) if field not in always]
            schema["required"] = tagged + always
            for field in schema["properties"].values():
                field.pop("default", None)


def _reach(node: Any, schemas: dict[str, Any], found: set[str]) -> None:
    """Add the names of the schemas that are referred to below a node."""
    if isinstance(node, dict):
        name = str(node.get("$ref", "")).rpartition("/")[2]
        if name and name not in found:
            found.add(name)
            _reach(schemas[name], schemas, found)
        for inner in node.values():
            _reach(inner, schemas, found)
    elif isinstance(node, list):
        for inner in node:
            _reach(inner, schemas, found)


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield path, method, operation
