"""The functions as the dashboard shows them: what their files say, and what their OpenAPI operations take."""

import re
from typing import Any

from runtime.loader import LoadError, discover
from runtime.services import Service


def functions(services: dict[str, Service], document: dict[str, Any]) -> list[dict[str, Any]]:
    """Every function by service; an HTTP function with its operation, references resolved."""
    found = []
    for service in services.values():
        try:
            discovered = discover(service)
        except LoadError as error:
            found.append({"service": service.folder, "name": "?", "trigger": "error", "where": str(error), "file": ""})
            continue
        for function in discovered:
            entry: dict[str, Any] = {
                "service": service.folder,
                "name": function.name,
                "trigger": function.trigger,
                "where": function.where,
                "file": function.file,
                "role": service.database.role,
                "schema": service.database.schema,
                "limits": _limits(service, function.name),
            }
            if function.trigger == "http":
                method, _, path = function.where.partition(" ")
                plain = re.sub(r"\{(\w+):\w+\}", r"{\1}", path)
                operation = document.get("paths", {}).get(plain, {}).get(method.lower())
                if operation:
                    entry["operation"] = _resolved(operation, document, 0)
                entry |= {"method": method, "path": plain}
            found.append(entry)
    return found


def _limits(service: Service, name: str) -> str:
    """What its container gets in the cluster, by service.toml."""
    run = service.run
    own = service.functions.get(name)
    replicas = (own and own.deployment and own.replicas) or run.replicas
    threads = f", {run.threads} threads" if run.threads > 1 else ""
    return f"{replicas} × ({run.cpu} CPU, {run.memory}{threads}), {service.database.pool} connections each"


def _resolved(node: Any, document: dict[str, Any], depth: int) -> Any:
    if depth > 12:
        return {}
    if isinstance(node, dict):
        if "$ref" in node:
            target: Any = document
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target.get(part, {})
            return _resolved(target, document, depth + 1)
        # Answers are long and not needed for a form.
        return {k: _resolved(v, document, depth + 1) for k, v in node.items() if k != "responses"} | (
            {"statuses": sorted(node["responses"])} if "responses" in node else {}
        )
    if isinstance(node, list):
        return [_resolved(item, document, depth + 1) for item in node]
    return node
