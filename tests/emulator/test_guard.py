"""Whom the dashboard answers: pages and commands of this machine, with the token of the emulator that runs."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from litestar import Litestar, get
from litestar.datastructures import State as AppState

from emulator import control
from emulator.dashboard import guard
from emulator.process import StartError
from emulator.state.folder import State

HERE = "http://127.0.0.1:8000"


@get("/open", before_request=guard.only_from_here)
async def open_page() -> str:
    return "page"


@get("/api", before_request=guard.with_token)
async def with_token() -> str:
    return "rows"


@get("/away")
async def away() -> str:
    raise StartError("nothing runs")


@get("/broken")
async def broken() -> str:
    raise ValueError("a fault of ours")


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    state = State(tmp_path / "state")
    state.create()
    state.write_json(control.FILE, {"pid": os.getpid(), "gateway": HERE, "control": 1, "token": "secret"})
    app = Litestar(
        [open_page, with_token, away, broken],
        state=AppState({"site": SimpleNamespace(state=state)}),
        exception_handlers={Exception: guard.refuse},
        openapi_config=None,
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HERE) as found:
        yield found


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/open", {}, 200),
        ("/open", {"host": "localhost"}, 200),
        ("/open", {"host": "[::1]:8000"}, 200),
        ("/open", {"host": "rebound.example"}, 403),
        ("/open", {"host": "rebound.example", "x-forwarded-host": "localhost"}, 403),
        ("/open", {"host": "127.0.0.1.example"}, 403),
        ("/open", {"origin": HERE}, 200),
        ("/open", {"origin": "http://other.example"}, 403),
        ("/open", {"origin": "http://127.0.0.1:9000"}, 403),
        ("/open", {"origin": "null"}, 403),
        ("/api", {}, 401),
        ("/api", {guard.HEADER: "other"}, 401),
        ("/api", {guard.HEADER: ""}, 401),
        ("/api", {guard.HEADER: "secret"}, 200),
        ("/api", {guard.HEADER: "secret", "host": "rebound.example"}, 403),
        ("/api", {guard.HEADER: "secret", "origin": "http://other.example"}, 403),
        ("/away", {}, 409),
        ("/broken", {}, 500),
        ("/nowhere", {}, 404),
    ],
)
async def test_who_is_answered_and_how_the_others_are_told(
    client: httpx.AsyncClient, path: str, headers: dict[str, str], status: int
) -> None:
    answer = await client.get(path, headers=headers)
    assert answer.status_code == status
    if status != 200:
        assert answer.json()["status"] == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert "secret" not in answer.text
