"""A primary-key read: CPU per request beside Litestar with a bare psycopg pool in autocommit."""

import statistics
from typing import Any

import psycopg

from shared.ids import new_id
from tests.bench._load import cpu_per_request, free_port, request, server
from tests.bench._system import system
from tests.support import access_token

ROUNDS = 9
REQUESTS = 2000

BARE = """
import os, sys, uvicorn
from contextlib import asynccontextmanager
from uuid import UUID
from litestar import Litestar, get
from litestar.params import FromPath
from litestar.di import NamedDependency, Provide
from litestar.exceptions import NotFoundException
from msgspec import Struct
from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool

class Profile(Struct):
    user_id: UUID
    nickname: str | None
    avatar_url: str | None
    bio: str | None

pool = AsyncConnectionPool(os.environ["DSN"], kwargs={"autocommit": True}, min_size=1, max_size=4, open=False)

@get("/api/v1/users/{user_id:uuid}")
async def get_person(user_id: FromPath[UUID]) -> Profile:
    async with pool.connection() as conn:
        async with conn.cursor(row_factory=class_row(Profile)) as cursor:
            await cursor.execute("SELECT user_id, nickname, avatar_url, bio FROM profiles WHERE user_id = %s", [user_id])
            profile = await cursor.fetchone()
    if profile is None:
        raise NotFoundException
    return profile

@asynccontextmanager
async def lifespan(app):
    async with pool:
        yield

app = Litestar([get_person], openapi_config=None, logging_config=None, lifespan=[lifespan])
uvicorn.run(app, port=int(sys.argv[1]), log_config=None, access_log=False, http="httptools", loop="uvloop", ws="none")
"""

OURS = """
import os, sys
os.environ["PORT"] = sys.argv[1]
from runtime.http.host import run
sys.exit(run(["userinfo"]))
"""


def run() -> list[dict[str, Any]]:
    with system() as (environment, _, keys):
        user_id = new_id()
        with psycopg.connect(environment["API_USERS_DB_URL"], autocommit=True) as conn:
            conn.execute("INSERT INTO profiles (user_id, nickname, bio) VALUES (%s, '미나', '재활용')", [user_id])
        headers = {"Authorization": f"Bearer {access_token(keys, new_id(), new_id())}"}
        message = request("GET", f"/api/v1/users/{user_id}", headers)
        bare_port, our_port = free_port(), free_port()
        with (
            server(BARE, bare_port, {"DSN": environment["API_USERS_DB_URL"]}) as bare,
            server(OURS, our_port, environment) as ours,
        ):
            spent: dict[str, list[float]] = {"bare": [], "ours": []}
            for round_ in range(ROUNDS + 1):
                for kind, process, port in (("bare", bare, bare_port), ("ours", ours, our_port)):
                    microseconds = cpu_per_request(process, port, message, REQUESTS)
                    if round_:
                        spent[kind].append(microseconds)
    ratio = statistics.median(a / b for a, b in zip(spent["ours"], spent["bare"], strict=True))
    return [
        {
            "name": "read by primary key",
            "ours": statistics.median(spent["ours"]),
            "raw": statistics.median(spent["bare"]),
            "ratio": ratio,
            "budget": "≤ 1.10 ×",
            "unit": "µs CPU a request",
        }
    ]
