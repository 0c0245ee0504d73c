"""A service has erased a person"""

from collections.abc import Awaitable, Callable
from typing import Literal

import pytest

from functions.auth.erasure_confirmed import erasure_confirmed
from shared import clock
from shared.db import Database
from shared.ids import new_id
from shared.messages import Outcome, TaskError
from tests.auth.conftest import Account, erase, messages


@pytest.mark.parametrize(("status", "left"), [("success", 9), ("failure", 10)])
async def test_only_a_confirmation_ends_a_message(
    account: Account, db: Callable[[str], Awaitable[Database]], status: Literal["success", "failure"], left: int
) -> None:
    assert await erase(account, await account.login()) == 202
    database = await db("auth")
    row = (await messages(database, account))[0]
    error = TaskError("internal", "no") if status == "failure" else None
    await erasure_confirmed([Outcome(row[0], new_id(), row[3], status, clock.now(), error=error)], database)
    assert len(await messages(database, account)) == left
    async with database.connection() as conn:
        cur = await conn.execute("SELECT count(*) FROM failed_tasks WHERE id = %s", [row[0]])
        assert await cur.fetchone() == (0,)
