"""What a recording consists of: exchanges, a line each, with longer bodies in files, and the spans of all processes.

A recording is a folder: `about.json`, `snapshot/` (the state at its start), `cache.jsonl`, `requests.jsonl`, `bodies/`,
`spans.jsonl` and, once it has ended, the manifest of all of it.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

REQUESTS, SPANS, BODIES, SNAPSHOT = "requests.jsonl", "spans.jsonl", "bodies", "snapshot"
# Of this connection alone, or made anew by whoever sends the request again.
NOT_KEPT = {
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "te",
    "traceparent",
    "transfer-encoding",
    "x-request-id",
}
# An answer is kept so far; of what is longer the size and hash are compared.
LONGEST_ANSWER = 1024 * 1024
# Longer or binary bodies are files: the log stays a text that can be read.
_INLINE = 16 * 1024
# A recording ends by itself before it fills a disk.
LARGEST = 1024 * 1024 * 1024


class Body(Struct, omit_defaults=True):
    """`text`, or the name of a file in `bodies/`. `cut`: longer than what is kept; `hash` (SHA-256) is that of all of it."""

    size: int = 0
    text: str | None = None
    file: str = ""
    hash: str = ""
    cut: bool = False


class Answer(Struct):
    """`ended`: `whole`, or who gave up before: the client (`left`), or the service (`broken`)."""

    status: int
    headers: list[tuple[str, str]]
    body: Body
    seconds: float
    ended: Literal["whole", "left", "broken"] = "whole"


class Exchange(Struct):
    """A request and its answer. `at` is the system's time in seconds since the epoch, `trace` the id of its spans' trace."""

    id: str
    at: float
    to: Literal["gateway", "s3"]
    method: str
    path: str
    headers: list[tuple[str, str]]
    body: Body
    trace: str
    answer: Answer

    @property
    def end(self) -> float:
        return self.at + self.answer.seconds

    @property
    def given_id(self) -> str:
        """Its X-Request-Id, which another one may have too."""
        return self.id.partition("~")[0]

    def header(self, name: str) -> str:
        """A header of the request, empty where it has none."""
        return next((value for key, value in self.headers if key == name), "")

    @property
    def is_stream(self) -> bool:
        return any(
            key == "content-type" and value.startswith("text/event-stream") for key, value in self.answer.headers
        )


class Span(Struct):
    """As `shared.spans` sends it; `start` in seconds since the epoch."""

    trace: str
    id: str
    parent: str
    service: str
    name: str
    kind: str
    start: float
    ms: float
    attributes: dict[str, Any] = {}

    @property
    def end(self) -> float:
        return self.start + self.ms / 1000


class Log:
    """Appends exchanges to a recording that is open. Several processes do: a line is one write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = os.open(folder / REQUESTS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._bodies = 0

    def keep(self, content: bytes, size: int | None = None, digest: str = "") -> Body:
        """A body as it goes into a line; `size` and `digest` are those of the whole where `content` is its beginning."""
        whole = size is None or size == len(content)
        body = Body(len(content) if size is None else size, cut=not whole, hash="" if whole else digest)
        if len(content) <= _INLINE:
            try:
                body.text = content.decode()
                return body
            except UnicodeDecodeError:
                pass
        body.file = hashlib.sha256(content).hexdigest()
        path = self.folder / BODIES / body.file
        if not path.exists():
            path.write_bytes(content)
            self._bodies += len(content)
        return body

    def write(self, exchange: Exchange) -> None:
        """Append an exchange, unless the recording is full."""
        if os.fstat(self._file).st_size + self._bodies < LARGEST:
            os.write(self._file, msgspec.json.encode(exchange) + b"\n")

    def close(self) -> None:
        os.close(self._file)


def content_of(folder: Path, body: Body) -> bytes:
    """The body's bytes, as far as they were kept."""
    return (folder / BODIES / body.file).read_bytes() if body.file else (body.text or "").encode()


def read_exchanges(folder: Path) -> list[Exchange]:
    """All exchanges in the order of their beginnings. An id that a client gave twice is told apart by `~2`."""
    found = sorted(_lines(folder / REQUESTS, Exchange), key=lambda exchange: exchange.at)
    times: Counter[str] = Counter()
    for exchange in found:
        times[exchange.id] += 1
        if times[exchange.id] > 1:
            exchange.id += f"~{times[exchange.id]}"
    return found


def read_spans(folder: Path) -> dict[str, list[Span]]:
    """All spans by their trace."""
    found: dict[str, list[Span]] = {}
    for span in _lines(folder / SPANS, Span):
        found.setdefault(span.trace, []).append(span)
    return found


def _lines(path: Path, kind: type[Any]) -> Iterator[Any]:
    decoder = msgspec.json.Decoder(kind)
    if not path.exists():
        return
    for line in _whole(path.read_bytes().split(b"\n")):
        try:
            yield decoder.decode(line)
        except msgspec.DecodeError:
            continue  # the last one of a process that was killed, or a span longer than a datagram


def _whole(lines: Iterable[bytes]) -> Iterator[bytes]:
    return (line for line in lines if line)
