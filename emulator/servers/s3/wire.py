"""The store's HTTP: connections are kept between requests, as S3 does. moto speaks WSGI: a thread a request."""

import asyncio
import contextlib
import io
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote_to_bytes

from werkzeug.wrappers import Response

from runtime import listening
from runtime.http.corked import CorkedProtocol
from runtime.http.server import Server, configured

# A single request to S3 carries at most 5 GB. Here it is held in memory: enough for photographs and test data.
MAX_BODY = 256 * 1024 * 1024
# Forms that are taken in at once: people's uploads take turns, so that what a service asks meanwhile is answered as quickly as by
# the real store, which has more than one processor.
_FORMS = 2
_THREADS = 8
# Where moto looks for the names of metadata that have an underscore, which WSGI can't tell from a dash.
OWN_NAMES = "moto.preserved_header_names"
_METADATA = "x-amz-meta-"
# Seconds that a connection stays without a request.
_KEPT = 60

# Seconds that is waited for more of what is too large.
_PATIENCE = 1

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Environ = dict[str, Any]
Headers = list[tuple[bytes, bytes]]


class _Protocol(CorkedProtocol):
    """What is no HTTP is refused in S3's own words."""

    def send_400_response(self, msg: str) -> None:
        body = (
            b"<Error><Code>BadRequest</Code><Message>An error occurred when parsing the HTTP request.</Message></Error>"
        )
        head = f"HTTP/1.1 400 Bad Request\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
        self.out.write(f"{head}Connection: close\r\n\r\n".encode() + body)
        self.out.close()


class Wire:
    """An ASGI application: each request as a WSGI environment to `answer`, with its whole body, in a thread."""

    def __init__(self, answer: Callable[[Environ], Response]) -> None:
        self._answer = answer
        self._threads = ThreadPoolExecutor(_THREADS, "s3")
        self._forms = asyncio.Semaphore(_FORMS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await _body(scope, receive)
        except ConnectionResetError:
            return  # half of it must not be taken for the whole
        environ = _environ(scope, body)
        if is_form(environ):
            async with self._forms:
                status, headers, content = await self._in_a_thread(environ)
        else:
            status, headers, content = await self._in_a_thread(environ)
        if body is None:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content, "more_body": body is None})
        if body is None:
            await _discard(receive)
            await send({"type": "http.response.body", "body": b""})

    async def _in_a_thread(self, environ: Environ) -> tuple[int, Headers, bytes]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._whole, environ)

    def _whole(self, environ: Environ) -> tuple[int, Headers, bytes]:
        content, status, headers = self._answer(environ).get_wsgi_response(environ)
        said = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return int(status[:3]), said, b"".join(content)


def is_form(environ: Environ) -> bool:
    """Whether a page posts a form, which is no request of the API."""
    content_type: str = environ.get("CONTENT_TYPE", "")
    return environ["REQUEST_METHOD"] == "POST" and content_type.startswith("multipart/form-data")


async def _body(scope: Scope, receive: Receive) -> bytes | None:
    """None where it is too large: then it is not read to its end. ConnectionResetError when the client goes before that."""
    declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    pieces, left, more = list[bytes](), MAX_BODY, int(declared) <= MAX_BODY
    while more and left >= 0:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError
        pieces.append(message.get("body", b""))
        left, more = left - len(pieces[-1]), message.get("more_body", False)
    return b"".join(pieces) if int(declared) <= MAX_BODY and left >= 0 else None


async def _discard(receive: Receive) -> None:
    """Read what still comes: its sender would not see the answer if the connection was closed on it."""
    more = True
    with contextlib.suppress(TimeoutError):
        while more:
            more = (await asyncio.wait_for(receive(), _PATIENCE)).get("more_body", False)


def _environ(scope: Scope, body: bytes | None) -> Environ:
    """As PEP 3333 has it, with `REQUEST_URI` as it was sent; CONTENT_LENGTH is the body's, in whatever way that came."""
    raw, query = scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")
    uri = f"{raw}?{query}" if query else raw
    host, port = scope["server"] or ("", 0)
    environ = {
        "REQUEST_METHOD": scope["method"],
        "REQUEST_URI": uri,
        "RAW_URI": uri,  # moto reads it by this name
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(raw).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": (scope["client"] or ("",))[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": io.BytesIO(body or b""),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    environ[OWN_NAMES] = own = dict[str, str]()
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        key = name.upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        if "_" in name:
            if not name.startswith(_METADATA):
                continue  # as servers do: it would pass for the one with a dash
            own.setdefault(key, name)
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    environ["CONTENT_LENGTH"] = str(MAX_BODY + 1 if body is None else len(body))
    return environ


def serve(answer: Callable[[Environ], Response], host: str, port: int) -> None:
    """Serve until SIGTERM; what was answered is on disk."""
    config = configured(
        Wire(answer),
        http=_Protocol,
        lifespan="off",
        interface="asgi3",
        proxy_headers=False,
        timeout_keep_alive=_KEPT,
        timeout_graceful_shutdown=2,
    )
    Server(config).run([listening.on(host, port)])
