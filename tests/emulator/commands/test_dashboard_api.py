"""How commands ask the dashboard: what they send, and the one line that they say when it does not answer or says no"""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from emulator import control
from emulator.commands import dashboard_api
from emulator.process import StartError, free_port
from emulator.state.folder import State


class Dashboard(BaseHTTPRequestHandler):
    """Notes what it is asked, and answers by the path."""

    asked: ClassVar[list[tuple[str, str, str]]] = []

    def do_GET(self) -> None:
        token = self.headers["X-Eco2-Token"]
        self.asked.append((self.command, self.path, f"{token} {self.rfile.read(self._length()).decode()}".strip()))
        status, kind, body = {
            "/no": (409, "application/problem+json", b'{"detail": "not now"}'),
            "/away": (503, "text/plain", b"x" * 400),
        }.get(self.path.removeprefix("/_emulator/api").partition("?")[0], (200, "application/json", b"[1]"))
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - so http.server looks for it

    def _length(self) -> int:
        return int(self.headers.get("Content-Length", 0))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def dashboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str, str]]]:
    Dashboard.asked = []
    with HTTPServer(("127.0.0.1", 0), Dashboard) as server:
        about = {"gateway": f"http://127.0.0.1:{server.server_port}", "token": "secret"}
        monkeypatch.setattr(control, "find", lambda _: about)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Dashboard.asked
        server.shutdown()
        thread.join()


def test_what_is_asked_is_answered_and_a_no_is_one_line(tmp_path: Path, dashboard: list[tuple[str, str, str]]) -> None:
    state = State(tmp_path)
    assert dashboard_api.ask(state, "/top", by="p95", limit=5, left=None) == [1]
    assert dashboard_api.ask(state, "/top/explain", json={"a": 1}) == [1]
    (get, post) = dashboard
    assert get == ("GET", "/_emulator/api/top?by=p95&limit=5", "secret")
    assert (post[:2], json.loads(post[2].partition(" ")[2])) == (("POST", "/_emulator/api/top/explain"), {"a": 1})
    for path, says in (("/no", "the dashboard says 409: not now"), ("/away", f"the dashboard says 503: {'x' * 300}")):
        with pytest.raises(StartError) as refused:
            dashboard_api.ask(state, path)
        assert str(refused.value) == says


def test_a_dashboard_that_is_away_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "find", lambda _: {"gateway": f"http://127.0.0.1:{free_port()}", "token": "secret"})
    with pytest.raises(StartError, match=r"^the dashboard does not answer: ConnectError$"):
        dashboard_api.ask(State(tmp_path), "/top")
