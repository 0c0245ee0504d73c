"""One OpenAPI document of all services'."""

import json
from typing import Any


def merge(documents: dict[str, dict[str, Any]], missing: list[str]) -> dict[str, Any]:
    """Put the services' documents (by service name) into one.

    Paths differ by their prefix. Two components of one name but different content both stay: the later one is named
    after its service. Services that did not answer are listed under `x-missing-services`.
    """
    merged: dict[str, Any] = {
        "openapi": next((d["openapi"] for d in documents.values()), "3.1.0"),
        "info": next((d["info"] for d in documents.values() if "info" in d), {"version": "1"}) | {"title": "Eco²"},
        "servers": [{"url": "/"}],
        "tags": [tag for document in documents.values() for tag in document.get("tags", ())],
        "paths": {},
        "components": {},
    }
    for service, document in documents.items():
        document = _rename(document, _clashes(document, merged, service))
        merged["paths"] |= document.get("paths", {})
        for kind, found in document.get("components", {}).items():
            merged["components"].setdefault(kind, {}).update(found)
    if missing:
        merged["x-missing-services"] = missing
    return merged


def _clashes(document: dict[str, Any], merged: dict[str, Any], service: str) -> dict[str, str]:
    """Component references to be renamed, as `#/components/KIND/NAME` old to new."""
    word = "".join(part.capitalize() for part in service.split("-")[1:]) or service
    renamed = {}
    for kind, found in document.get("components", {}).items():
        taken = merged["components"].get(kind, {})
        for name, content in found.items():
            if name in taken and taken[name] != content:
                renamed[f"#/components/{kind}/{name}"] = f"#/components/{kind}/{word}{name}"
    return renamed


def _rename(document: dict[str, Any], renamed: dict[str, str]) -> dict[str, Any]:
    if not renamed:
        return document
    text = json.dumps(document)
    for old, new in renamed.items():
        text = text.replace(json.dumps(old), json.dumps(new))
    copy: dict[str, Any] = json.loads(text)
    for old, new in renamed.items():
        _, _, kind, name = old.split("/")
        copy["components"][kind][new.rpartition("/")[2]] = copy["components"][kind].pop(name)
    return copy
