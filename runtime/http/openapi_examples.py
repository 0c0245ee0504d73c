"""One example of each body in an OpenAPI document, from the examples of its fields; so it can't go stale."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_BY_FORMAT = {"uuid": "019a0000-0000-7000-8000-000000000000", "date-time": "2026-01-02T03:04:05.678901Z"}


def add(operations: Iterator[dict[str, Any]], schemas: dict[str, Any]) -> None:
    """Give each body that has none an example."""
    for operation in operations:
        responses = operation["responses"]
        for body in (operation.get("requestBody", {}), *responses.values()):
            for media in body.get("content", {}).values():
                if "examples" not in media:
                    media["example"] = _of(media["schema"], schemas)
        if "202" in responses:
            _just_accepted(responses["202"].get("content", {}), schemas)


def _just_accepted(content: dict[str, Any], schemas: dict[str, Any]) -> None:
    """What is pending has no result yet."""
    for media in content.values():
        example = media["example"]
        if isinstance(example, dict) and "status" in example:
            for name, field in schemas[media["schema"]["$ref"].rpartition("/")[2]]["properties"].items():
                if {"type": "null"} in field.get("anyOf", ()):
                    example[name] = None
                elif field.get("type") == "array":
                    example[name] = []
            example["status"] = "pending"


def _of(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    if schema.get("examples"):
        return schema["examples"][0]
    if "$ref" in schema:
        return _of(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "enum" in schema or "const" in schema:
        return schema["const"] if "const" in schema else schema["enum"][0]
    if alternatives := schema.get("anyOf") or schema.get("oneOf"):
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
