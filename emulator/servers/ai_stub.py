"""A server that speaks the OpenAI API's chat completions and knows nothing: for developing and testing without a network.

    python -m emulator.servers.ai_stub --port 8099 [--script FILE] [--replay FILE] [--upstream URL] [--record FILE]

A script is a JSON list of rules. The first rule that fits a request and is not used up answers it:

    [{"times": 2, "status": 429, "retry_after": 1},
     {"match": "페트병", "content": "라벨을 떼고 배출하세요.", "token_seconds": 0.05},
     {"kind": "photo", "content": {"waste_type": "glass", "confidence": 0.9, "materials": ["glass"],
                                   "contamination": "none", "parts": ["cap"]}},
     {"refusal": "I can't help with that."}]

Without a fitting rule a request that was recorded gets its recorded answer (`--replay`), another one is passed on to a real
server with the caller's own key (`--upstream`); without these a photo is a clear PET bottle, and a question is answered
with the first rule of its system message. A recording is one JSON line an exchange, without headers (no key) and with a hash
in place of an image.
"""

import argparse
import json
import re
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec

from emulator.servers.ai_recording import Recorded, key_of, read_recording, slim
from emulator.servers.ai_script import Rule, read_script
from shared import supervision

# Requests that are remembered for whoever asks what was sent, the newest: each may hold a photograph.
NOTED = 100
_PHOTO = {
    "waste_type": "pet_clear",
    "confidence": 0.93,
    "materials": ["pet"],
    "contamination": "none",
    "parts": ["cap", "label"],
    "second_type": "plastic",
    "second_confidence": 0.05,
    "item": "clear-drink-bottle",
}


class Stub:
    """The server, in threads of this process. `with Stub([Rule(...)]) as stub:` listens on `stub.url`."""

    def __init__(
        self,
        rules: list[Rule] | None = None,
        *,
        port: int = 0,
        record: Path | None = None,
        replay: Path | None = None,
        upstream: str = "",
    ) -> None:
        self.rules = rules or []
        self.upstream = upstream.rstrip("/")
        self._recorded = {key_of(one.request): one for one in read_recording(replay)} if replay else {}
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self._record = record
        self._lock = threading.Lock()
        stub = self

        class Handler(_Handler):
            owner = stub

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> "Stub":
        self._loop = supervision.thread("ai-stub", lambda: self._server.serve_forever(0.05))
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.stopping()
        self._server.shutdown()
        self._server.server_close()

    def serve(self) -> None:
        """Serve in this thread until it is interrupted."""
        with suppress(KeyboardInterrupt):
            self._server.serve_forever(0.2)
        self._server.server_close()

    def rule(self, request: dict[str, Any]) -> Rule | None:
        """The rule for a request, if one fits; counts its use."""
        kind = "photo" if "response_format" in request else "question"
        text = _last(request)
        with self._lock:
            for rule in self.rules:
                if rule.times == 0 or rule.kind not in ("", kind) or not re.search(rule.match, text):
                    continue
                if rule.times is not None:
                    rule.times -= 1
                return rule
        return None

    def recorded(self, request: dict[str, Any]) -> Recorded | None:
        """What was answered to this request when it was recorded."""
        return self._recorded.get(key_of(slim(request)))

    def note(self, request: dict[str, Any], headers: dict[str, str]) -> None:
        with self._lock:
            self.requests.append(request)
            self.headers.append(headers)
            del self.requests[:-NOTED], self.headers[:-NOTED]

    def keep(self, request: dict[str, Any], status: int, type_: str, body: bytes) -> None:
        """Record an exchange, where that is wanted."""
        if self._record is None:
            return
        line = msgspec.json.encode(Recorded(slim(request), status, type_, body.decode(errors="replace")))
        with self._lock, self._record.open("ab") as file:
            file.write(line + b"\n")


def _last(request: dict[str, Any]) -> str:
    """The text of the last user message."""
    for message in reversed(request.get("messages", [])):
        if message["role"] == "user":
            content = message["content"]
            return content if isinstance(content, str) else " ".join(p.get("text", "") for p in content)
    return ""


def _content(request: dict[str, Any], rule: Rule) -> str:
    if rule.echo:
        return _last(request)
    if rule.content is not None:
        return rule.content if isinstance(rule.content, str) else json.dumps(rule.content, ensure_ascii=False)
    if "response_format" in request:
        return json.dumps(_PHOTO)
    for message in request["messages"]:
        if message["role"] == "system" and message["content"].startswith("{"):
            rules = json.loads(message["content"])["rules"]
            return " ".join([rules[0]["name"] + ":", *rules[0]["do"]]) if rules else "?"
    return "?"


def _pieces(text: str) -> Iterator[str]:
    yield from re.findall(r"\s*\S+|\s+$", text)


def _letters(request: dict[str, Any]) -> int:
    return sum(len(json.dumps(slim(message), ensure_ascii=False)) for message in request["messages"])


class _Handler(BaseHTTPRequestHandler):
    owner: Stub
    protocol_version = "HTTP/1.1"
    # What was answered, for the recording.
    _status = 0
    _type = ""
    _sent = bytearray()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: the supervisor shows what parts print."""

    def do_GET(self) -> None:
        self._send(200, {"object": "list", "data": [{"id": "stub", "object": "model", "owned_by": "eco2"}]})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        if not self.path.endswith("/chat/completions"):
            self._send(404, {"error": {"message": f"no such path: {self.path}", "type": "invalid_request_error"}})
            return
        rule = self.owner.rule(request)
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.owner.note(request, headers)
        self._sent = bytearray()
        with suppress(ConnectionError):
            if rule is None and (recorded := self.owner.recorded(request)) is not None:
                self._again(recorded)
            elif rule is None and self.owner.upstream:
                self._again(self._asked(request, headers.get("authorization", "")))
            else:
                rule = rule or Rule()
                time.sleep(rule.seconds)
                self._answer(request, rule)
        if self._sent:
            self.owner.keep(request, self._status, self._type, bytes(self._sent))

    def _asked(self, request: dict[str, Any], authorization: str) -> Recorded:
        """What the real server answers."""
        passed = urllib.request.Request(  # noqa: S310 - the developer's own address
            f"{self.owner.upstream}/chat/completions",
            json.dumps(request).encode(),
            {"Content-Type": "application/json", "Authorization": authorization},
        )
        try:
            with urllib.request.urlopen(passed, timeout=120) as answer:  # noqa: S310 - the developer's own address
                return Recorded({}, answer.status, answer.headers.get_content_type(), answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Recorded({}, error.code, error.headers.get_content_type(), error.read().decode())
        except OSError as error:
            return Recorded({}, 502, "application/json", json.dumps({"error": {"message": f"not reached: {error}"}}))

    def _again(self, recorded: Recorded) -> None:
        if recorded.type != "text/event-stream":
            self._bytes(recorded.status, recorded.body.encode(), {}, recorded.type)
            return
        self._begin_stream()
        for event in recorded.body.strip().split("\n\n"):
            self._event(event.encode())

    def _answer(self, request: dict[str, Any], rule: Rule) -> None:
        if rule.drop:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif rule.status != 200:
            headers = {} if rule.retry_after is None else {"Retry-After": str(rule.retry_after)}
            error = {"message": "scripted error", "type": "scripted", "code": rule.code or None}
            self._send(rule.status, {"error": error}, headers)
        elif rule.raw is not None:
            self._bytes(200, rule.raw.encode(), {})
        elif request.get("stream"):
            self._stream(request, rule)
        else:
            self._whole(request, rule)

    def _usage(self, request: dict[str, Any], text: str) -> dict[str, int]:
        read, written = _letters(request) // 2, len(text) // 2
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}

    def _whole(self, request: dict[str, Any], rule: Rule) -> None:
        text = _content(request, rule)
        message = {"role": "assistant", "content": None if rule.refusal else text, "refusal": rule.refusal or None}
        body = {
            "id": "stub",
            "object": "chat.completion",
            "created": 0,
            "model": request["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": rule.finish}],
        }
        if rule.usage:
            body["usage"] = self._usage(request, text)
        self._send(200, body)

    def _stream(self, request: dict[str, Any], rule: Rule) -> None:
        self._begin_stream()
        text = _content(request, rule)
        if rule.refusal:
            self._chunk(request, {"refusal": rule.refusal})
        else:
            for number, piece in enumerate(_pieces(text)):
                if rule.cut_after is not None and number >= rule.cut_after:
                    return
                time.sleep(rule.token_seconds)
                self._chunk(request, {"content": piece})
        self._chunk(request, {}, finish=rule.finish)
        if rule.usage:
            self._chunk(request, None, usage=self._usage(request, text))
        self._event(b"data: [DONE]")

    def _begin_stream(self) -> None:
        self._status, self._type = 200, "text/event-stream"
        self.send_response(200)
        self.send_header("Content-Type", self._type)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def _event(self, event: bytes) -> None:
        self._sent += event + b"\n\n"
        self.wfile.write(event + b"\n\n")
        self.wfile.flush()

    def _chunk(
        self, request: dict[str, Any], delta: dict[str, Any] | None, finish: str | None = None, usage: Any = None
    ) -> None:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
        chunk = {
            "id": "stub",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": request["model"],
            "choices": choices,
            "usage": usage,
        }
        self._event(b"data: " + json.dumps(chunk, ensure_ascii=False).encode())

    def _send(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        self._bytes(status, json.dumps(body, ensure_ascii=False).encode(), headers or {})

    def _bytes(self, status: int, body: bytes, headers: dict[str, str], type_: str = "application/json") -> None:
        self._status, self._type, self._sent = status, type_, bytearray(body)
        self.send_response(status)
        self.send_header("Content-Type", type_)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m emulator.servers.ai_stub", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--script", type=Path, help="a JSON list of rules")
    parser.add_argument("--replay", type=Path, help="answer what was recorded in this file with what was answered then")
    parser.add_argument("--upstream", default="", help="pass on what no rule fits to this OpenAI-compatible server")
    parser.add_argument("--record", type=Path, help="append each exchange to this file, without the key or the photo")
    options = parser.parse_args(arguments)
    try:
        stub = Stub(
            read_script(options.script) if options.script else [],
            port=options.port,
            record=options.record,
            replay=options.replay,
            upstream=options.upstream,
        )
    except (ValueError, OSError) as error:
        sys.stderr.write(f"ai_stub: {error}\n")
        return 2
    print(f"OPENAI_BASE_URL={stub.url}", flush=True)
    stub.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
