"""A rolling deploy: processes of 0.1.0 beside today's, on the same PostgreSQL, Redis and object store, while people use both."""

import asyncio
import os
import shlex
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from emulator.process import free_port
from runtime.services import ROOT
from tests import web
from tests.emulator.conftest import Emulator
from tests.faults.rows_emulator import no_orphan, running
from tests.faults.system import System, must
from tests.faults.table import row
from tests.support import photo

ROLLING = 33
# The last commit of 0.1.0.
BEFORE = "67fe735"
HOSTS = {
    "auth": "auth",
    "userinfo": "users",
    "location": "locations",
    "waste": "waste",
    "chat_llm": "chat",
    "recycle_info": "recycle",
}
WORKERS = ("ai", "storage")
# What was accepted has ended so soon, in seconds.
ENDED = 180.0


def before(folder: Path) -> Path | None:
    """The code of 0.1.0, below `folder`; None where the history does not go back so far."""
    archive = ["git", "archive", BEFORE, "functions", "runtime", "shared", "pyproject.toml"]
    made = subprocess.run(archive, cwd=ROOT, capture_output=True, check=False)
    if made.returncode:
        return None
    with tarfile.open(fileobj=BytesIO(made.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder


@contextmanager
def beside(emulator: Emulator, code: Path) -> Iterator[dict[str, str]]:
    """Hosts and workers of 0.1.0 beside the emulator's own; the addresses of the hosts by the prefix of their routes.

    They come to Redis as `default`, as they did: users of their own came later.
    """
    said = emulator.eco2("status", "-o", "env").stdout
    given = dict(word.split("=", 1) for word in shlex.split(said))
    own = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8", "TZ": "UTC"}
    # An image brings the classifier's file that its own code reads.
    model = code / "model"
    own |= {"PYTHONPATH": str(code), "MODEL_DIR": str(model), "TRUSTED_HOPS": "1"}
    subprocess.run([sys.executable, "-m", "functions.ai.model_build", str(model)], env=own, cwd=code, check=True)
    started: list[subprocess.Popen[bytes]] = []
    urls: dict[str, str] = {}
    try:
        for name in (*HOSTS, *WORKERS):
            port = free_port()
            journal = emulator.folder / "journals" / f"before-{name}" / "worker.db"
            journal.parent.mkdir(parents=True)
            env = given | own | {"PORT": str(port), "HEALTH_PORT": str(port), "JOURNAL_PATH": str(journal)}
            module = "runtime.worker" if name in WORKERS else "runtime.host"
            with (code / f"{name}.log").open("wb") as log:
                argv = [sys.executable, "-m", module, name]
                started.append(subprocess.Popen(argv, env=env, cwd=code, stdout=log, stderr=log))
            urls[HOSTS.get(name, name)] = f"http://127.0.0.1:{port}"
        for url in urls.values():
            emulator.wait(lambda url=url: _ready(url), ENDED)  # type: ignore[misc]  # the loop's own
        yield urls
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(60)


def _ready(url: str) -> bool:
    try:
        return web.get(f"{url}/readyz", timeout=5).is_success
    except httpx.TransportError:
        return False


class Person:
    """Somebody whose requests reach either version by chance, and some both at once."""

    def __init__(self, system: System, gateway: str, old: dict[str, str]) -> None:
        self.random = system.random
        self.gateway = gateway
        self.old = old
        self.name = f"p{uuid4().hex[:12]}"
        self.tokens: dict[str, str] = {}
        self.id = ""
        self.analyses: list[str] = []
        self.replies: list[str] = []
        self.client = web.AsyncClient(timeout=60)

    async def ask(self, method: str, path: str, *good: int, old: bool | None = None, **how: Any) -> httpx.Response:
        """One request to one of the two; whatever is not among `good` is a fault."""
        which = self.random.random() < 0.5 if old is None else old
        base = self.old[path.split("/")[1]] if which else self.gateway
        headers = {"X-Forwarded-For": "127.0.0.1"} | how.pop("headers", {})
        if self.tokens:
            headers["Authorization"] = f"Bearer {self.tokens['access_token']}"
        answer = await self.client.request(method, f"{base}/api/v1{path}", headers=headers, **how)
        version = "0.1.0" if which else "today"
        said = f"{method} {path} of {version} said {answer.status_code}: {answer.text[:300]}"
        must(answer.status_code in good, said)
        return answer

    async def begin(self) -> None:
        login = {"username": self.name, "password": "correct horse"}
        await self.ask("POST", "/auth/register", 201, json=login | {"email": f"{self.name}@example.com"})
        self.tokens = (await self.ask("POST", "/auth/login", 200, json=login)).json()
        self.id = (await self.ask("GET", "/auth/me", 200)).json()["id"]
        made = await self.ask("POST", "/chat/conversations", 201, json={})
        self.conversation = f"/chat/conversations/{made.json()['id']}"

    async def round(self) -> None:
        """Everything once: what both versions lock, count, keep and send to each other."""
        refresh = {"refresh_token": self.tokens["refresh_token"]}
        self.tokens = (await self.ask("POST", "/auth/refresh", 200, json=refresh)).json()
        await self.analyse()
        await self.question()
        place = {
            "name": "집",
            "address": "서울특별시 마포구 월드컵로 1",
            "latitude": 37.5,
            "longitude": 126.9,
            "is_default": True,
        }
        both = (True, False, True, False)
        await asyncio.gather(*(self.ask("POST", "/locations/me", 201, json=place, old=old) for old in both))
        places = (await self.ask("GET", "/locations/me", 200)).json()["items"]
        must(sum(one["is_default"] for one in places) == 1, f"{self.name} has not one default place")
        for one in places:
            await self.ask("DELETE", f"/locations/me/{one['id']}", 204)
        wrote = {"nickname": uuid4().hex, "bio": uuid4().hex}
        changes = ((name, {name: text}) for name, text in wrote.items())
        await asyncio.gather(
            *(self.ask("PATCH", "/users/me", 200, json=change, old=name == "bio") for name, change in changes)
        )
        profile = (await self.ask("GET", "/users/me", 200)).json()
        must(wrote.items() <= profile.items(), "one version's change of a profile is lost in the other's")
        await self.ask("GET", "/recycle/search?q=%ED%8E%98%ED%8A%B8%EB%B3%91", 200)

    async def upload(self, path: str) -> str:
        content = photo(320, 240)
        form = {"content_type": "image/jpeg", "size_bytes": len(content)}
        made = (await self.ask("POST", path, 201, json=form)).json()
        stored = await self.client.post(
            made["url"], data=made["fields"], files={"file": ("p.jpg", content, "image/jpeg")}
        )
        must(stored.is_success, f"the store said {stored.status_code}: {stored.text[:200]}")
        return str(made["image_key"])

    async def analyse(self) -> None:
        image = {"image_key": await self.upload("/waste/uploads")}
        key = {"Idempotency-Key": str(uuid4())}
        both = (
            self.ask("POST", "/waste/analyses", 202, 409, json=image, headers=key, old=old) for old in (True, False)
        )
        answers = await asyncio.gather(*both)
        ids = {answer.json()["id"] for answer in answers if answer.status_code == 202}
        must(len(ids) == 1, f"one key, {len(ids)} analyses")
        self.analyses += ids
        stream = await self.ask("GET", f"/waste/analyses/{self.analyses[-1]}/events", 200)
        must("event: done" in stream.text, f"the stream of an analysis ended with {stream.text[-300:]}")
        await self.ask("PATCH", f"/waste/analyses/{self.analyses[-1]}", 200, json={"waste_type": "metal"})
        await self.ask(
            "PUT", "/users/me/avatar", 202, json={"image_key": await self.upload("/users/me/avatar/uploads")}
        )

    async def question(self) -> None:
        asked = {"content": "이거 어떻게 버려요?", "analysis_id": self.analyses[-1]}
        reply = (await self.ask("POST", f"{self.conversation}/messages", 202, json=asked)).json()["reply"]["id"]
        stream = await self.ask("GET", f"{self.conversation}/messages/{reply}/events", 200)
        must("event: done" in stream.text, f"the stream of a reply ended with {stream.text[-300:]}")
        self.replies.append(reply)

    async def finish(self) -> None:
        """What was accepted has ended well, whichever version looks."""
        for id_ in self.analyses:
            found = (await self.ask("GET", f"/waste/analyses/{id_}", 200)).json()
            must(found["status"] == "success", f"analysis {id_}: {found['status']} {found['error']}")


async def live(people: list[Person], until: float) -> None:
    async def one(person: Person) -> None:
        async with person.client:
            await person.begin()
            while True:
                await person.round()
                if time.monotonic() >= until:
                    break
            await person.finish()
            if people.index(person) % 2:
                await person.ask("DELETE", "/auth/me", 202, json={"password": "correct horse"})

    await asyncio.gather(*(one(person) for person in people))


def erased(emulator: Emulator, person: Person) -> bool:
    where = (
        *(("auth.users", "id"), ("users.profiles", "user_id"), ("users.avatars", "user_id")),
        *(
            ("waste.analyses", "user_id"),
            ("chat_llm.conversations", "user_id"),
            ("locations.user_locations", "user_id"),
        ),
    )
    counts = " + ".join(f"(SELECT count(*) FROM {table} WHERE {column} = '{person.id}')" for table, column in where)
    return emulator.sql(f"SELECT {counts}") == "0"


@row(
    ROLLING,
    "0.1.0 beside today's code on the same stores, used by the same people",
    "no 5xx, all ended once, erased by both",
)
def side_by_side(system: System) -> dict[str, Any]:
    code = before(system.folder)
    if code is None:
        return {"not run": "this checkout has no history back to 0.1.0"}
    with running(system) as emulator:
        with beside(emulator, code) as old:
            people = [Person(system, emulator.url, old) for _ in range(6 if system.full else 2)]
            asyncio.run(live(people, time.monotonic() + (60 if system.full else 0)))
            for person in people[1::2]:
                emulator.wait(lambda person=person: erased(emulator, person), ENDED)  # type: ignore[misc]  # the loop's own
        left = "SELECT count(*) FROM waste.analyses WHERE status = 'pending'"
        must(emulator.sql(left) == "0", "an analysis has not ended")
        no_orphan(emulator)
    return {"analyses": sum(len(one.analyses) for one in people), "replies": sum(len(one.replies) for one in people)}
