"""The whole system as a newcomer starts it: one emulator for all contract tests."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import Struct, field

from emulator import control
from emulator.running import environment
from emulator.state.folder import State
from shared import clock
from shared.ids import new_id
from tests import web
from tests.emulator.conftest import copied
from tests.support import photo, refused

PASSWORD = "correct horse battery"


class System(Struct):
    """A running emulator: the gateway's address, the state folder, the addresses of its parts."""

    url: str
    state: Path
    environment: dict[str, str]

    def ask(self, what: str, **more: Any) -> dict[str, Any]:
        """An order to the supervisor, such as `kill` or `pause` of a `part`."""
        return control.ask(State(self.state), what, **more)

    def later(self, seconds: float) -> None:
        """Move the system's clock forward."""
        file = str(self.state / "clock")
        clock.use_file(file)
        try:
            clock.write_offset(file, clock.offset() + seconds)
        finally:
            clock.use_file(os.environ.get("ECO2_CLOCK_FILE"))


@pytest.fixture(scope="session")
def system(started_once: Path) -> Iterator[System]:
    """A system on a state of its own, started from the command line as a newcomer does."""
    emulator = copied(started_once)
    state = emulator.folder
    try:
        emulator.up()
        found = environment(state=state)
        yield System(found["ECO2_GATEWAY_URL"], state, found)
        # All that these tests had the services do was done under each service's own user.
        for name in ("BROKER_REDIS_URL", "CACHE_REDIS_URL"):
            assert refused(found[name]) == [], "a service needs what runtime/redis_users.py does not give it"
    finally:
        emulator.destroy()


class Somebody(Struct):
    """A registered person who is logged in."""

    client: httpx.AsyncClient
    name: str
    user: dict[str, Any]
    tokens: dict[str, Any]
    password: str = PASSWORD
    made: dict[str, str] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens['access_token']}"}

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """A request with this person's token."""
        return await self.client.request(method, path, headers={**self.headers, **more.pop("headers", {})}, **more)

    async def upload(self, content: bytes | None = None, where: str = "/api/v1/waste/uploads") -> str:
        """Put a photo into the store the way a client does; return its image_key."""
        content = content or photo()
        answer = await self.ask("POST", where, json={"content_type": "image/jpeg", "size_bytes": len(content)})
        assert answer.status_code == 201, answer.text
        form = answer.json()
        stored = await self.client.post(form["url"], data=form["fields"], files={"file": content})
        assert stored.status_code in (200, 201, 204), stored.text
        return str(form["image_key"])


async def somebody(client: httpx.AsyncClient, prefix: str = "kim") -> Somebody:
    """Register and log in."""
    name = f"{prefix}-{new_id().hex}"
    body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
    registered = await client.post("/api/v1/auth/register", json=body)
    assert registered.status_code == 201, registered.text
    login = await client.post("/api/v1/auth/login", json={"username": name, "password": PASSWORD})
    assert login.status_code == 200, login.text
    return Somebody(client, name, registered.json(), login.json())


@pytest.fixture
async def gateway(system: System) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the gateway, without proxies or settings of this machine."""
    async with web.AsyncClient(base_url=system.url, timeout=30) as client:
        yield client
