"""Sessions whose time is over"""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from functions.auth.sweep import sweep
from shared import clock
from shared.db import Database
from tests.auth.conftest import SESSIONS, Account, bearer, status


async def test_what_has_expired_is_swept(account: Account, db: Callable[[str], Awaitable[Database]]) -> None:
    live = await account.login()
    old = await account.login()
    async with (await db("auth")).connection() as conn:
        sessions = (await account.client.get(SESSIONS, headers=bearer(old))).json()["items"]
        await conn.execute(
            "UPDATE sessions SET expires_at = %s WHERE id = %s", [clock.now() - timedelta(seconds=1), sessions[0]["id"]]
        )
    await sweep(await db("auth"))
    async with (await db("auth")).connection() as conn:
        cur = await conn.execute("SELECT count(*) FROM refresh_tokens WHERE user_id = %s", [account.id])
        assert await cur.fetchone() == (1,)
    assert await status(account, live) == 200
