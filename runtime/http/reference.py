"""The API reference as a page: `/docs` of the emulator's gateway, and `<prefix>/docs` of a service with the setting API_DOCS.

Scalar shows the OpenAPI document (its script is in the PyPI package flask-openapi-scalar, of whose Python nothing is used);
around it is a page of ours, which lets the reader try as a chosen person. `docs/errors` says of each error by its URN what it
means and what to do. Everything comes from this address, and the browser asks no other (Content-Security-Policy).
"""

from __future__ import annotations

import html
import importlib.util
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

import msgspec
from msgspec import Struct

from shared import errors

PAGES = Path(__file__).parent / "pages"
PACKAGE = "flask_openapi_scalar"
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:;"
    " connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _CSP,
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
# What to do about an error whose own sentence does not say it.
_REMEDIES = {
    400: "Correct what `errors` names, and send the request again.",
    401: "Log in; where an access token was refused, refresh it first.",
    403: "Ask as somebody who may, or prove who you are.",
    404: "Check the id; what is another person's can't be told from what is not there.",
    409: "Read the thing again, and decide anew.",
    413: "Send less: large files go to the object store directly.",
    415: "Send JSON in UTF-8 with `Content-Type: application/json`.",
    429: "Wait for as many seconds as `Retry-After` says.",
    500: "Give `instance` to whoever runs the system: it is a fault of ours.",
    503: "Wait for as many seconds as `Retry-After` says, then repeat; a POST with its `Idempotency-Key`.",
}


class KnownError(Struct, frozen=True):
    """One kind of error: what it means, what to do about it, and which operations answer it (all, if none is named)."""

    type: str
    status: int
    title: str
    meaning: str
    remedy: str
    operations: list[str]


def known_errors(document: dict[str, Any]) -> list[KnownError]:
    """Every error that the document's operations may answer, and those that any address may, by their URN."""
    found: dict[str, tuple[int, str, str, list[str]]] = {}
    for kind in _kinds(errors.Problem):
        if kind.__module__ == errors.__name__:
            found[kind.type] = (kind.status, kind.title(), errors.first_line(kind), [])
    for path, operations in document.get("paths", {}).items():
        for method, operation in operations.items():
            for response in operation["responses"].values():
                problem = response.get("content", {}).get("application/problem+json", {})
                for example in problem.get("examples", {}).values():
                    value = example["value"]
                    known = found.setdefault(value["type"], (value["status"], value["title"], value["detail"], []))
                    known[3].append(f"{method.upper()} {path}")
    return [_known(urn, *rest) for urn, rest in sorted(found.items())]


def _kinds(kind: type[errors.Problem]) -> list[type[errors.Problem]]:
    return [kind, *(inner for below in kind.__subclasses__() for inner in _kinds(below))]


def _known(urn: str, status: int, title: str, sentence: str, operations: list[str]) -> KnownError:
    meaning, colon, remedy = sentence.rstrip(".").partition(": ")
    if not colon:
        remedy = _REMEDIES.get(status, "Change the request as the sentence says.").rstrip(".")
    return KnownError(urn, status, title, f"{meaning}.", f"{remedy[0].upper()}{remedy[1:]}.", operations)


def answer(path: str, base: str, document: dict[str, Any]) -> tuple[int, bytes, bytes, dict[str, str]] | None:
    """Status, media type, body and headers of what is at `path` below `base` + /docs; None where nothing is."""
    match path:
        case "" | "/":
            script = script_file()
            title = html.escape(document["info"]["title"])
            body = _page("reference.html" if script else "reference_absent.html", base=base, title=title)
            return 200, b"text/html; charset=utf-8", body, _HEADERS
        case "/errors":
            rows = "".join(map(_row, known_errors(document)))
            return 200, b"text/html; charset=utf-8", _page("errors.html", base=base, rows=rows), _HEADERS
        case "/page.js" | "/page.css":
            kind = b"text/javascript" if path.endswith("js") else b"text/css"
            return 200, kind + b"; charset=utf-8", (PAGES / path[1:]).read_bytes(), _HEADERS
        case "/openapi.json":
            return 200, b"application/json", msgspec.json.encode(document), _HEADERS
        case "/scalar.js" if (script := script_file()) is not None:
            cached = _HEADERS | {"Cache-Control": "private, max-age=86400"}
            return 200, b"text/javascript; charset=utf-8", script.read_bytes(), cached
    return None


@cache
def script_file() -> Path | None:
    """Scalar's script, if its package is installed."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        return None
    file = Path(found.origin).parent / "templates" / "scalar" / "js" / "scalar.standalone.js"
    return file if file.exists() else None


def _page(name: str, **values: str) -> bytes:
    return Template((PAGES / name).read_text(encoding="utf-8")).substitute(values).encode()


def _row(known: KnownError) -> str:
    places = "".join(f"<li><code>{html.escape(one)}</code></li>" for one in known.operations)
    where = (
        f"<details><summary>{_count(known.operations)}</summary><ul>{places}</ul></details>"
        if places
        else "any address"
    )
    urn, title = html.escape(known.type), html.escape(f"{known.status} {known.title}")
    return (
        f'<tr id="{urn}"><td><a href="#{urn}"><code>{urn}</code></a><br>{title}</td>'
        f"<td>{_text(known.meaning)}</td><td>{_text(known.remedy)}</td><td>{where}</td></tr>\n"
    )


def _count(operations: list[str]) -> str:
    return "one operation" if len(operations) == 1 else f"{len(operations)} operations"


def _text(sentence: str) -> str:
    """With what is between backticks as code."""
    parts = html.escape(sentence).split("`")
    return "".join(f"<code>{part}</code>" if n % 2 else part for n, part in enumerate(parts))
