"""A service's OpenAPI document: Litestar's, and what our conventions imply.

From a handler's parameters follow the errors it may answer; from a status, headers; from the fields' own examples
(`Meta(examples=[...])` where the field is declared) one of each body, which has each field that the answer has and can't go
stale. Errors bring theirs along (shared.http.problems).
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from litestar import Litestar, Router
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from runtime.http.authentication import ASKING
from runtime.http.binding import parameters
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
from shared.http import Responses
from shared.http import problems as problem_responses
from shared.idempotency import KeyReused, StillUnderWay

_STORES = {"db", "idempotency", "broker", "cache", "objects"}
# Fields of answers that are there at times: errors of bad input alone, ids of events that can be resumed.
_AT_TIMES = {("ProblemDocument", "errors"), ("ServerSentEvent", "id")}
# Parameters of which nothing that a client sends is part.
_GIVEN = _STORES | {"user", "maybe_user", "calls", "settings", "hub", "request"}

_BY_FORMAT = {"uuid": "019a0000-0000-7000-8000-000000000000", "date-time": "2026-01-02T03:04:05.678901Z"}
_HEADERS = {
    "304": ("ETag", "The tag of what the client has."),
    "401": ("WWW-Authenticate", '`Bearer`; with `error="invalid_token"` for a token that is not valid (RFC 6750 §3).'),
    "429": ("Retry-After", "Seconds to wait."),
    "503": ("Retry-After", "Seconds to wait."),
}


def _describe(handler: HTTPRouteHandler, names: set[str]) -> None:
    """Note at a handler what follows from the names of its parameters."""
    kinds: list[type[Problem]] = []
    if names & ASKING:
        kinds.append(Unauthorized)
        handler.security = [{"bearer": []}] if "maybe_user" not in names else [{"bearer": []}, {}]
    if "data" in names:
        kinds += [BadInput, TooLarge, UnsupportedMedia]
    if names - _GIVEN:
        kinds.append(BadInput)
    if "idempotency" in names:
        kinds += [KeyReused, StillUnderWay]
    if any("{" in path for path in handler.paths):
        kinds.append(NotFound)
    if names & _STORES:
        kinds += [Unavailable, Busy, TooSlow] if "db" in names else [Unavailable]
    handler.responses = Responses(problem_responses(*dict.fromkeys(kinds)) | dict(handler.responses or {}))
    if "conditions" in names and "GET" in handler.http_methods:
        handler.responses[304] = ResponseSpec(None, generate_examples=False, description="The client has it already.")


def document(service: Service, handlers: Sequence[HTTPRouteHandler], bound: Sequence[HTTPRouteHandler]) -> bytes:
    """The document of a service's handlers, as JSON, by an application of its own: few processes are ever asked for it."""
    for handler, given in zip(handlers, bound, strict=True):
        _describe(given, parameters(handler))
    app = Litestar(
        [Router(service.prefix, tags=[service.short], route_handlers=bound)],
        openapi_config=OpenAPIConfig(
            title=f"Eco² {service.name}",
            version="1",
            render_plugins=[JsonRenderPlugin()],
            operation_id_creator=lambda handler, method, path: f"{service.folder}_{handler.fn.__name__}",
            components=Components(
                security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")}
            ),
        ),
        logging_config=None,
    )
    content = app.openapi_schema.to_schema()
    _complete(content)
    # Litestar names Page[Item] after all modules on the way; clients make class names of it.
    return re.sub(rb"Page_[\w.]*?(\w+)_(?=\")", rb"PageOf\1", msgspec.json.encode(content))


def _complete(document: dict[str, Any]) -> None:
    """Add examples and headers, and say what answers always have, in place."""
    schemas = document.get("components", {}).get("schemas", {})
    _always_there(document, schemas)
    for operation in _operations(document):
        responses = operation["responses"]
        for body in (operation.get("requestBody", {}), *responses.values()):
            for media in body.get("content", {}).values():
                if "examples" not in media:
                    media["example"] = _of(media["schema"], schemas)
            if "202" in responses:
                _just_accepted(responses["202"].get("content", {}), schemas)
        for status, response in responses.items():
            # What can be asked for by its ETag is answered with it.
            known = "304" if status == "200" and "304" in responses else status
            if known in _HEADERS:
                name, text = _HEADERS[known]
                schema = {"type": "integer" if name == "Retry-After" else "string"}
                response.setdefault("headers", {})[name] = {"description": text, "required": True, "schema": schema}


def _always_there(document: dict[str, Any], schemas: dict[str, Any]) -> None:
    """A field with a default may be left out of a request; an answer has every field (msgspec writes them all)."""
    asked: set[str] = set()
    answered: set[str] = set()
    for operation in _operations(document):
        _reach(operation.get("requestBody", {}), schemas, asked)
        _reach(operation["responses"], schemas, answered)
    at_times = _AT_TIMES | set(_left_out(msgspec.Struct))
    for name in answered - asked:
        fields = [field for field in schemas[name].get("properties", {}) if (name, field) not in at_times]
        if fields:
            schemas[name]["required"] = fields


def _left_out(kind: type[msgspec.Struct]) -> Iterator[tuple[str, str]]:
    """The fields that msgspec does not write while they are UNSET, by class and name."""
    for found in kind.__subclasses__():
        # Without type hints: in some class of this process one may name what only a type checker imports.
        names, defaults = found.__struct_encode_fields__, found.__struct_defaults__
        with_default = names[len(names) - len(defaults) :]
        yield from (
            (found.__name__, name)
            for name, default in zip(with_default, defaults, strict=True)
            if default is msgspec.UNSET
        )
        yield from _left_out(found)


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


def _just_accepted(content: dict[str, Any], schemas: dict[str, Any]) -> None:
    """What is pending has no result yet."""
    for media in content.values():
        example = media.get("example")
        if isinstance(example, dict) and "status" in example:
            fields = schemas[media["schema"]["$ref"].rpartition("/")[2]]["properties"]
            for name, field in fields.items():
                if {"type": "null"} in field.get("oneOf", ()) or None in field.get("enum", ()):
                    example[name] = None
                elif field.get("type") == "array":
                    example[name] = []
            example["status"] = "pending"


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for operations in document["paths"].values():
        yield from operations.values()


def _of(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    if "$ref" in schema:
        return _of(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if schema.get("examples"):
        return schema["examples"][0]
    if "enum" in schema or "const" in schema:
        return schema["const"] if "const" in schema else schema["enum"][0]
    if alternatives := schema.get("oneOf"):
        real = [one for one in alternatives if one.get("type") != "null"]
        return _of(real[0], schemas) if real else None
    match schema.get("type"):
        case "object":
            return {name: _of(field, schemas) for name, field in schema.get("properties", {}).items()}
        case "array":
            return [_of(schema["items"], schemas)] if "items" in schema else []
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "null":
            return None
    return _BY_FORMAT.get(schema.get("format", ""), "text")
