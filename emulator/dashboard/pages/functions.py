"""The page Functions: what their files say, what their OpenAPI operations take, and calls of them as any user."""

import asyncio
import os
import re
import time
from typing import Any

import httpx
import msgspec
from litestar import get, post
from litestar.exceptions import HTTPException
from litestar.params import JSONBody
from msgspec import Struct

from emulator.commands.invoke import token_of
from emulator.dashboard.site import Site
from emulator.plain_http import PLAIN
from emulator.timeline import build
from runtime.loader import LoadError, discover
from runtime.services import Service


class Call(Struct):
    """A request to a function, through the gateway, as a user (registered at first use) or as nobody."""

    method: str
    path: str
    body: Any = None
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    person: str = ""


class Person(Struct):
    """Whose token is asked for."""

    person: str


@get("/functions", summary="Every function, with what its form needs")
async def functions(site: Site) -> list[dict[str, Any]]:
    document = (await site.client.get("/openapi.json")).json()
    return await asyncio.to_thread(catalogue, site.services, document)


@post("/call", status_code=200, summary="Call a function, and see what it did")
async def call(site: Site, data: JSONBody[Call]) -> dict[str, Any]:
    if not data.path.startswith("/api/"):
        raise HTTPException("only functions below /api/ are called from here", status_code=400)
    trace_id = os.urandom(16).hex()
    headers = data.headers | {"traceparent": f"00-{trace_id}-{os.urandom(8).hex()}-01"}
    if data.person:
        headers["Authorization"] = f"Bearer {await asyncio.to_thread(_token, site, data.person)}"
    body = None if data.body is None else msgspec.json.encode(data.body)
    if body is not None:
        headers.setdefault("Content-Type", "application/json")
    started = time.perf_counter()
    try:
        async with asyncio.timeout(15):
            answer = await site.client.request(data.method, data.path, content=body, params=data.query, headers=headers)
    except (httpx.HTTPError, TimeoutError) as error:
        raise HTTPException(f"no answer: {type(error).__name__}", status_code=502) from None
    took = (time.perf_counter() - started) * 1000
    await asyncio.sleep(0.1)  # the last span is sent after the answer
    return {
        "status": answer.status_code,
        "ms": round(took, 1),
        "headers": dict(answer.headers),
        "body": answer.text[:200_000],
        "trace": trace_id,
        "request_id": answer.headers.get("x-request-id", ""),
        "timeline": build(site.collector.trace(trace_id)),
    }


@post("/token", status_code=200, summary="An access token of a user, registered at first use")
async def token(site: Site, data: JSONBody[Person]) -> dict[str, str]:
    return {"access_token": await asyncio.to_thread(_token, site, data.person)}


HANDLERS: list[Any] = [functions, call, token]


def _token(site: Site, person: str) -> str:
    with httpx.Client(base_url=site.gateway, timeout=30, **PLAIN) as client:
        return token_of(person, site.state, client)


def catalogue(services: dict[str, Service], document: dict[str, Any]) -> list[dict[str, Any]]:
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
                    entry["operation"] = resolved(operation, document)
                entry |= {"method": method, "path": plain}
            found.append(entry)
    return found


def _limits(service: Service, name: str) -> dict[str, str | int]:
    """What its container gets in the cluster, by service.toml, and how many there are."""
    run = service.run
    own = service.functions.get(name)
    replicas = (own and own.deployment and own.replicas) or run.replicas
    found: dict[str, str | int] = {"replicas": replicas, "cpu": run.cpu, "memory": run.memory}
    return found | {"threads": run.threads, "connections": service.database.pool}


def resolved(node: Any, document: dict[str, Any], depth: int = 0) -> Any:
    """A part of an OpenAPI or JSON Schema document with its references filled in, for a form."""
    if depth > 12:
        return {}
    if isinstance(node, dict):
        if "$ref" in node:
            target: Any = document
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target.get(part, {})
            return resolved(target, document, depth + 1)
        # Answers are long and not needed for a form.
        return {k: resolved(v, document, depth + 1) for k, v in node.items() if k != "responses"} | (
            {"statuses": sorted(node["responses"])} if "responses" in node else {}
        )
    if isinstance(node, list):
        return [resolved(item, document, depth + 1) for item in node]
    return node
