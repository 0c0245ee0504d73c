"""Completes an OpenAPI document: an example for every body, and the headers that follow from a status.

An example is made of its fields' own (`Meta(examples=[...])` where the field is declared), so it has each field that the
answer has and can't go stale. Errors bring theirs along (shared.http.problems).
"""

from collections.abc import Iterator
from typing import Any

_BY_FORMAT = {"uuid": "019a0000-0000-7000-8000-000000000000", "date-time": "2026-01-02T03:04:05.678901Z"}
_HEADERS = {
    "304": ("ETag", "The tag of what the client has."),
    "401": ("WWW-Authenticate", '`Bearer`; with `error="invalid_token"` for a token that is not valid (RFC 6750 §3).'),
    "429": ("Retry-After", "Seconds to wait."),
    "503": ("Retry-After", "Seconds to wait."),
}


def complete(document: dict[str, Any]) -> None:
    """Add what is missing, in place."""
    schemas = document.get("components", {}).get("schemas", {})
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
