"""The schemas of an OpenAPI document: msgspec's, which are exact, with the words of the docstrings.

Litestar describes addresses and parameters. Where a body is, it leaves a mark (`Bodies`), and `write` puts a schema there.
A class's docstring describes it, and its section `Attributes:` the fields: a line `name: text` or `name, name: text` each. An
inline schema with a title (`Meta(title=...)` on a Literal or a union) becomes a schema of that name, written once.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any, get_origin

import msgspec
from litestar.openapi.spec import Schema
from litestar.plugins import OpenAPISchemaPlugin
from litestar.typing import FieldDefinition
from msgspec import UNSET, Struct

REFERENCE = "#/components/schemas/"
_MARK = "body "
_SECTION = "\n\nAttributes:\n"
_ATTRIBUTE = re.compile(r"^    (\w+(?:, \w+)*): (.*(?:\n {8,}.*)*)", re.M)
# What a docstring says of a field, until the field's type is written.
_OWN = "x-description"


class Bodies(OpenAPISchemaPlugin):
    """Takes the bodies' types from Litestar (2.25), whose schemas are looser: no tuples, no docstrings, no bounds."""

    def __init__(self) -> None:
        self.types: list[Any] = []

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        return not field_definition.is_union and field_definition.is_subclass_of(Struct)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: Any) -> Schema:
        kind = field_definition.annotation
        self.types.append(getattr(kind, "one_of", kind))
        return Schema(title=f"{_MARK}{len(self.types) - 1}")


def write(document: dict[str, Any], types: list[Any]) -> None:
    """Put the schemas of the types where their marks are, in place."""
    bodies, components = msgspec.json.schema_components(types, ref_template=f"{REFERENCE}{{name}}")
    classes = {_name(cls): cls for cls in _classes(msgspec.inspect.multi_type_info(types), set())}
    named: dict[str, Any] = {}
    for name, schema in components.items():
        del schema["title"]
        if not schema["required"]:
            del schema["required"]
        _describe(schema, classes[name])
    schemas = {_readable(name): _tidy(schema, named) for name, schema in components.items()}
    document["paths"] = _filled(document["paths"], bodies, named)
    _name_enums(document["paths"], named)
    document.setdefault("components", {})["schemas"] = dict(sorted((schemas | named).items()))


def _describe(schema: dict[str, Any], given: Any) -> None:
    cls = get_origin(given) or given
    schema["description"] = _in_one_line(inspect.cleandoc(cls.__doc__ or "").partition(_SECTION)[0])
    for base in reversed(cls.__mro__):
        section = inspect.cleandoc(base.__dict__.get("__doc__") or "").partition(_SECTION)[2]
        for names, text in _ATTRIBUTE.findall(section):
            for name in names.split(", "):
                if name in schema["properties"]:
                    schema["properties"][name][_OWN] = _in_one_line(text[0].upper() + text[1:])
    if issubclass(cls, Struct):
        # For who answers: there is every field that is not UNSET. Who asks may leave out what has a default.
        schema["x-always"] = [field.encode_name for field in msgspec.structs.fields(cls) if field.default is not UNSET]


def _in_one_line(text: str) -> str:
    return " ".join(text.split())


def _classes(node: Any, seen: set[type]) -> Iterator[type]:
    """The classes with fields that types are made of, as msgspec sees them."""
    if isinstance(node, tuple):
        for inner in node:
            yield from _classes(inner, seen)
    elif isinstance(node, msgspec.inspect.StructType | msgspec.inspect.TypedDictType):
        if node.cls not in seen:
            seen.add(node.cls)
            yield node.cls
            yield from _classes(tuple(field.type for field in node.fields), seen)
    elif isinstance(node, msgspec.inspect.Type):
        yield from _classes(tuple(getattr(node, name) for name in node.__struct_fields__), seen)


def _name(cls: Any) -> str:
    """As msgspec names a class in its references."""
    if (origin := get_origin(cls)) is None:
        return str(cls.__name__)
    return f"{origin.__name__}_{', '.join(_name(inner) for inner in cls.__args__)}_"


def _readable(name: str) -> str:
    """`Page_Item_` is no name for a class, which clients make of it."""
    return re.sub(r"^(\w+?)_(\w+)_$", r"\1Of\2", name)


def _filled(node: Any, bodies: tuple[dict[str, Any], ...], named: dict[str, Any]) -> Any:
    """The node with the bodies' schemas in place of the marks."""
    if isinstance(node, list):
        return [_filled(inner, bodies, named) for inner in node]
    if not isinstance(node, dict):
        return node
    title = node.get("title")
    if isinstance(title, str) and title.startswith(_MARK):
        return _tidy(bodies[int(title.removeprefix(_MARK))], named)
    return {name: _filled(inner, bodies, named) for name, inner in node.items()}


def _tidy(schema: Any, named: dict[str, Any]) -> Any:
    """A schema as OpenAPI's tools like it; what has a title goes to `named`."""
    if not isinstance(schema, dict):
        return schema
    found = dict(schema)
    for word in ("items", "additionalProperties"):
        if word in found:
            found[word] = _tidy(found[word], named)
    for word in ("prefixItems", "anyOf"):
        if word in found:
            found[word] = [_tidy(inner, named) for inner in found[word]]
    if "properties" in found:
        found["properties"] = {name: _property(inner, named) for name, inner in found["properties"].items()}
    if "$ref" in found:
        found["$ref"] = REFERENCE + _readable(found["$ref"].removeprefix(REFERENCE))
    if "prefixItems" in found:
        found.pop("items", None)  # `false`: maxItems says it, and tools take no false for a schema
    if "discriminator" in found:
        found["oneOf"] = found.pop("anyOf")
    for inner in found.get("anyOf", ()):
        if "description" in inner:  # beside the null
            found.setdefault("description", inner.pop("description"))
    if "enum" in found:
        found = {"type": "string"} | found
        if len(found["enum"]) == 1:
            (found["const"],) = found.pop("enum")
    return _named(found, named) if "title" in found else found


def _property(schema: dict[str, Any], named: dict[str, Any]) -> dict[str, Any]:
    # Later than the type's own description, which goes with a named type.
    own = {"description": schema.pop(_OWN)} if _OWN in schema else {}
    found: dict[str, Any] = own | _tidy(schema, named) | own
    return found


def _named(schema: dict[str, Any], named: dict[str, Any]) -> dict[str, Any]:
    name = schema.pop("title")
    aside = {word: schema.pop(word) for word in ("default", "examples") if word in schema}
    if named.setdefault(name, schema) != schema:
        raise ValueError(f"two schemas are named {name}: {named[name]} and {schema}")
    return {"$ref": f"{REFERENCE}{name}"} | aside


def _name_enums(node: Any, named: dict[str, Any]) -> None:
    """A parameter's enum, which Litestar wrote, refers to the named one of the same values."""
    by_values = {frozenset(schema["enum"]): name for name, schema in named.items() if "enum" in schema}
    for operations in node.values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                values = frozenset(parameter["schema"].get("enum", ())) - {None}
                if values in by_values:
                    parameter["schema"] = {"$ref": f"{REFERENCE}{by_values[values]}"}
