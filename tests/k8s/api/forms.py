"""What the API server refuses of a request by its form alone, before it looks at what is there."""

import json
import re

from tests.k8s.api.kinds import Document, Kind
from tests.k8s.api.store import Refused, unknown_fields

_NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_LABEL = r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_BAD_NAME = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with"
    f" an alphanumeric character (e.g. 'example.com', regex used for validation is '{_NAME}')"
)
_BAD_LABEL = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an"
    f" alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '{_LABEL}')"
)
_MEDIA = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")


def check_new(kind: Kind, name_in_path: str, raw: bytes, content_type: str, *, strict: bool) -> None:
    """What is wrong with the request to make an object.

    Raises:
        Refused: something is.
    """
    if name_in_path:
        raise Refused(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    if content_type not in _MEDIA:
        text = "the body of the request was in an unknown format - accepted media types include: " + ", ".join(_MEDIA)
        raise Refused(415, "UnsupportedMediaType", text)
    if content_type != "application/json":
        return
    try:
        body = json.loads(raw)
    except ValueError:
        text = f"the object provided is unrecognized (must be of type {kind.kind}): couldn't get version/kind; json parse error"
        raise Refused(400, "BadRequest", f"{text}: unexpected end of JSON input ({raw.decode()})") from None
    _check_kind(kind, body)
    if kind.kind == "ConfigMap":
        _check_config_map(kind, body, strict=strict)
    _check_names(kind, body["metadata"])


def _check_kind(kind: Kind, body: Document) -> None:
    given, version = body.get("kind", kind.kind), body.get("apiVersion", kind.version)
    if given != kind.kind:
        text = f'{given} in version "{version}" cannot be handled as a {kind.kind}'
        text = f"{text}: converting ({version}.{given}) to (core.{kind.kind}): unknown conversion"
        raise Refused(400, "BadRequest", text)


def _check_config_map(kind: Kind, body: Document, *, strict: bool) -> None:
    about = 'ConfigMap in version "v1" cannot be handled as a ConfigMap'
    if any(isinstance(value, int | float) for value in (body.get("data") or {}).values()):
        text = f"{about}: json: cannot unmarshal number into Go struct field ConfigMap.data of type string"
        raise Refused(400, "BadRequest", text)
    if strict and (unknown := unknown_fields(kind, body)):
        raise Refused(400, "BadRequest", f'{about}: strict decoding error: unknown field "{unknown[0]}"')


def _check_names(kind: Kind, metadata: Document) -> None:
    name = metadata.get("name", "")

    def invalid(text: str) -> Refused:
        return Refused(422, "Invalid", f'{kind.full_kind} "{name}" is invalid: {text}')

    if not name and not metadata.get("generateName"):
        raise invalid("metadata.name: Required value: name or generateName is required")
    # Those of rights may hold colons.
    if name and kind.group != "rbac.authorization.k8s.io" and not re.fullmatch(_NAME, name):
        raise invalid(f'metadata.name: Invalid value: "{name}": {_BAD_NAME}')
    for value in (metadata.get("labels") or {}).values():
        if not re.fullmatch(_LABEL, value):
            raise invalid(f'metadata.labels: Invalid value: "{value}": {_BAD_LABEL}')


def known_fields(kind: Kind, found: Document, patch: Document | None = None, *, strict: bool) -> Document:
    """An object without the fields that its kind does not have.

    Raises:
        Refused: the request is strict, and the patch that made it has one.
    """
    unknown = unknown_fields(kind, found)
    if unknown and strict:
        text = f'Invalid value: "{patch}": strict decoding error: unknown field "{unknown[0]}"'
        raise Refused(422, "Invalid", f' "" is invalid: patch: {text}')
    return {key: value for key, value in found.items() if key not in unknown}
