"""The front door: routes, streams, refuses, and keeps the services' own doors shut."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import httpx
import pytest
from botocore.config import Config
from openapi_spec_validator import validate

from emulator.network.merge import merge
from emulator.process import Command, free_port, spawn, stop, wait_ready
from emulator.running import environment
from tests import web
from tests.emulator.conftest import ROOT, Emulator
from tests.support import wait_until

GO_ON = threading.Event()
# The methods of requests whose connection was cut instead of an answer.
CUT: list[str] = []


class Upstream(BaseHTTPRequestHandler):
    """A service that tells what it got, or answers in two pieces with a pause between."""

    protocol_version = "HTTP/1.1"

    def _cut(self) -> bool:
        """End the connection where the request may have done its work."""
        if cut := self.path.endswith("/cut"):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            CUT.append(self.command)
            self.close_connection = True
        return cut

    def do_GET(self) -> None:
        if self._cut():
            return
        if self.path.endswith("/slow"):
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.wfile.write(b"5\r\nfirst\r\n")
            GO_ON.wait(10)
            self.wfile.write(b"6\r\nsecond\r\n0\r\n\r\n")
            return
        broken = self.path.endswith("/openapi.json")
        body = json.dumps({"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}}).encode()
        self.send_response(500 if broken else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        if self._cut():
            return
        size = int(self.headers.get("Content-Length") or 0)
        if self.headers.get("Transfer-Encoding") == "chunked":
            while length := int(self.rfile.readline(), 16):
                size += len(self.rfile.read(length))
                self.rfile.readline()
            self.rfile.readline()
        else:
            self.rfile.read(size)
        body = str(size).encode()
        self.send_response(201)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A gateway before one made-up service and one that is not there."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    routes = f"/api/v1/auth=api-auth=http://127.0.0.1:{server.server_port},/api/v1/gone=api-gone=http://127.0.0.1:{free_port()}"
    env = os.environ | {
        "PYTHONPATH": str(ROOT),
        "GATEWAY_ROUTES": routes,
        "LISTEN_FDS": str(listener.fileno()),
        "PORT": str(port),
        "S3_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}",
        "S3_BUCKET": "eco2",
        "AWS_REGION": "ap-northeast-2",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
    }
    log = tmp_path_factory.mktemp("gateway") / "gateway.log"
    argv = [sys.executable, "-m", "emulator.network.gateway"]
    command = Command("gateway", argv, env, log, cwd=ROOT, pass_fds=(listener.fileno(),))
    process: subprocess.Popen[bytes] = spawn(command, orders=True)
    with web.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
        wait_ready(process, command, lambda: client.get("/_gateway").status_code == 200)
        yield client
    stop(process)
    assert process.stdin is not None
    process.stdin.close()
    listener.close()
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_service_hears_who_asked_and_which_request_it_is(alone: httpx.Client) -> None:
    given = {
        "X-Request-Id": "r-1",
        "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01",
        "X-Forwarded-For": "1.2.3.4",
    }
    heard = alone.get("/api/v1/auth/x%2Fy?a=b%20c", headers=given).json()
    assert heard["path"] == "/api/v1/auth/x%2Fy?a=b%20c"
    headers = heard["headers"]
    assert (headers["x-request-id"], headers["traceparent"]) == ("r-1", given["traceparent"])
    assert headers["x-forwarded-for"] == "1.2.3.4, 127.0.0.1"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["host"] == headers["x-forwarded-host"] == alone.base_url.netloc.decode()


@pytest.mark.parametrize(
    ("method", "content", "times"), [("GET", b"", 2), ("GET", b"x", 1), ("POST", b"", 1), ("POST", b"x", 1)]
)
def test_what_may_have_been_done_is_not_asked_for_again_when_its_connection_is_cut(
    alone: httpx.Client, method: str, content: bytes, times: int
) -> None:
    CUT.clear()
    assert alone.request(method, "/api/v1/auth/cut", content=content).status_code == 503
    assert [method] * times == CUT


@pytest.mark.parametrize("path", ["uploads/u/raw", "images/%2e%2e/uploads/u/raw", "images/%2E./uploads/u/raw", ""])
def test_the_store_is_not_even_asked_for_what_is_no_public_copy(alone: httpx.Client, path: str) -> None:
    # There it is away: whoever asks it hears 503.
    assert alone.get(f"/cdn/{path}").status_code == 404


def test_an_answer_is_handed_on_piece_by_piece(alone: httpx.Client) -> None:
    GO_ON.clear()
    with alone.stream("GET", "/api/v1/auth/slow") as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == b"first"
        GO_ON.set()
        assert b"".join(pieces) == b"second"


def test_a_body_of_more_than_a_mebibyte_is_refused_announced_or_not(alone: httpx.Client) -> None:
    limit = 1024 * 1024
    assert alone.post("/api/v1/auth/x", content=b"x" * limit).text == str(limit)
    assert alone.post("/api/v1/auth/x", content=iter([b"x" * limit])).text == str(limit)
    for body in (b"x" * (limit + 1), iter([b"x" * limit, b"x"])):
        answer = alone.post("/api/v1/auth/x", content=body)
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"


def raw(client: httpx.Client, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes that no HTTP library would; return status, headers and body of the first answer."""
    address = (client.base_url.host, client.base_url.port or 80)
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(request)
        answer = HTTPResponse(connection)
        answer.begin()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /api/v1/auth/x HTTP/1.1\r\n\r\n", 400),
        (b"GET /api/v1/auth/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"FOO /api/v1/auth/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /api/v1/auth/\xc6\xe4 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"POST /api/v1/auth/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", 400),
        (b"POST /api/v1/auth/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET /api/v1/auth/x HTTP/1.1\r\nHost: a\r\nX-A: a\0b\r\n\r\n", 400),
        (b"GET /api/v1/auth/x HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 70_000 + b"\r\n\r\n", 431),
    ],
)
def test_what_is_no_proper_http_is_a_problem_and_reaches_no_service(
    alone: httpx.Client, request_: bytes, status: int
) -> None:
    answered, headers, body = raw(alone, request_)
    assert (answered, headers["content-type"]) == (status, "application/problem+json")
    problem = json.loads(body)
    assert (problem["status"], problem["instance"]) == (status, headers["x-request-id"])


def test_http_1_0_needs_no_host(alone: httpx.Client) -> None:
    status, _, body = raw(alone, b"GET /api/v1/auth/x HTTP/1.0\r\n\r\n")
    assert (status, json.loads(body)["path"]) == (200, "/api/v1/auth/x")


@pytest.mark.parametrize("path", ["/", "/_gateway", "/nothing", "/cdn/images/x"])
def test_the_gateways_own_answers_carry_an_id_and_only_read(alone: httpx.Client, path: str) -> None:
    assert alone.get(path, headers={"X-Request-Id": "my-own"}).headers["x-request-id"] == "my-own"
    assert alone.get(path, headers={"X-Request-Id": "two words"}).headers["x-request-id"] != "two words"
    if path != "/nothing":
        answer = alone.post(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_service_that_is_not_there_is_503_with_retry_after(alone: httpx.Client) -> None:
    answer = alone.get("/api/v1/gone/x")
    assert (answer.status_code, answer.json()["detail"]) == (503, "api-gone does not answer. Try again in a moment.")
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["instance"] == answer.headers["x-request-id"]


def test_a_service_that_can_not_give_its_document_is_missing_in_the_one_of_all(alone: httpx.Client) -> None:
    answer = alone.get("/openapi.json")
    assert answer.status_code == 200
    assert answer.json()["x-missing-services"] == ["api-auth", "api-gone"]
    assert answer.json()["paths"] == {}


def test_what_is_nobodys_is_404_and_a_prefix_is_a_whole_word(alone: httpx.Client) -> None:
    for path in (
        "/nothing",
        "/api/v1/authentic",
        "/healthz",
        "/readyz",
        "/metrics",
        "/cdn/uploads/x",
        "/cdn/images/../uploads/x",
    ):
        answer = alone.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_the_store_away_is_503_for_a_public_copy(alone: httpx.Client) -> None:
    assert alone.get("/cdn/images/a/web.jpg").status_code == 503
    assert alone.post("/cdn/images/a/web.jpg").status_code == 405


def test_one_openapi_document_of_all_services_is_valid(emulator: Emulator) -> None:
    with emulator.client() as client:
        answer = client.get("/openapi.json")
        assert answer.headers["x-request-id"]
        document = answer.json()
        assert client.post("/openapi.json").status_code == 405
    validate(document)
    prefixes = {path.split("/")[3] for path in document["paths"]}
    assert prefixes == {"auth", "users", "locations", "waste", "recycle", "chat"}
    assert "x-missing-services" not in document


def test_the_api_reference_is_a_page_that_asks_no_other_address(emulator: Emulator) -> None:
    with emulator.client() as client:
        page = client.get("/docs")
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        for address in re.findall(r'(?:src|href)="([^"]+)"', page.text):
            assert address.startswith(("/docs/", "data:")), address
            assert address.startswith("data:") or client.get(address).status_code == 200, address
        assert 'id="urn:eco2:uploads:not-found"' in client.get("/docs/errors").text
        assert client.get("/docs/nothing").status_code == 404
        assert client.post("/docs").status_code == 405


def test_components_of_one_name_and_different_content_both_stay() -> None:
    def document(kind: str) -> dict[str, object]:
        reference = {"$ref": "#/components/schemas/Item"}
        path = {"get": {"responses": {"200": {"content": {"application/json": {"schema": reference}}}}}}
        return {"openapi": "3.1.0", "paths": {f"/{kind}": path}, "components": {"schemas": {"Item": {"type": kind}}}}

    merged = merge({"api-a": document("string"), "api-b": document("integer"), "api-c": document("string")}, ["api-d"])
    assert merged["components"]["schemas"] == {"Item": {"type": "string"}, "BItem": {"type": "integer"}}
    assert "BItem" in json.dumps(merged["paths"]["/integer"])
    assert "BItem" not in json.dumps(merged["paths"]["/string"])
    assert merged["x-missing-services"] == ["api-d"]


def test_public_copies_are_served_and_nothing_else(emulator: Emulator) -> None:
    env = environment(state=emulator.folder)
    s3 = boto3.client(
        "s3",
        endpoint_url=env["S3_ENDPOINT_URL"],
        region_name=env["AWS_REGION"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    for key in ("images/a b/web.webp", "uploads/u/raw"):
        s3.put_object(Bucket=env["S3_BUCKET"], Key=key, Body=b"picture", ContentType="image/webp")
    with emulator.client() as client:
        answer = client.get("/cdn/images/a%20b/web.webp")
        assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, b"picture", "image/webp")
        assert "max-age" in answer.headers["cache-control"]
        tag = answer.headers["etag"]
        for condition in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            same = client.get("/cdn/images/a%20b/web.webp", headers={"If-None-Match": condition, "Range": "bytes=0-1"})
            assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag), condition
        for asked, status, content in (
            ({"If-None-Match": '"other"'}, 200, b"picture"),
            ({"Range": "bytes=1-2"}, 206, b"ic"),
            ({"Range": "lines=1-2"}, 200, b"picture"),
            ({"Range": "bytes=1-2", "If-Range": '"of what it was before"'}, 200, b"picture"),
        ):
            got = client.get("/cdn/images/a%20b/web.webp", headers=asked)
            assert (got.status_code, got.content) == (status, content), asked
        head = client.head("/cdn/images/a%20b/web.webp")
        assert (head.headers["content-length"], head.content) == ("7", b"")
        for path in ("/cdn/uploads/u/raw", "/cdn/images/none"):
            assert client.get(path).status_code == 404


def test_a_cut_off_service_is_503_until_the_fault_is_cleared(emulator: Emulator) -> None:
    emulator.eco2("fault", "add", "api-chat-llm", "cut", "--service", "gateway")
    with emulator.client() as client:
        assert client.get("/api/v1/chat/conversations").status_code == 503
        emulator.eco2("fault", "clear")
        wait_until(lambda: client.get("/api/v1/chat/conversations").status_code == 401)
