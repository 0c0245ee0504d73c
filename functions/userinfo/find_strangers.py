"""Says which of these objects are not userinfo's: no picture that is shown or checked, no upload that is open."""

from functions.userinfo import db as sql
from shared.messages import FindStrangers, Strangers
from shared.parts import Db
from shared.tasks import Result
from shared.triggers import queue


@queue(FindStrangers)
async def find_strangers(message: FindStrangers, db: Db) -> Result:
    async with db.connection() as conn:
        return Result(record=Strangers(await sql.select_not_ours(conn, message.keys)))
