"""Changed settings of the person's."""

import msgspec
from litestar import Response, patch
from litestar.params import JSONBody
from msgspec import UNSET, Struct, UnsetType

from functions.userinfo import db as sql
from shared.errors import BadInput, PreconditionFailed, Unauthorized
from shared.fields import Language
from shared.http import Conditional, CurrentUser, Db, problems


class SettingsChanges(Struct):
    """What is left out stays as it is.

    Attributes:
        notification_enabled: whether to tell the person when something is done.
        language, theme: the app's.
    """

    notification_enabled: bool | UnsetType = UNSET
    language: Language | UnsetType = UNSET
    theme: sql.Theme | UnsetType = UNSET


@patch("/me/settings", responses=problems(BadInput, Unauthorized, PreconditionFailed), summary="Change my settings")
async def update_settings(
    data: JSONBody[SettingsChanges], user: CurrentUser, db: Db, conditions: Conditional
) -> Response[sql.Settings]:
    changes = {name: value for name, value in msgspec.structs.asdict(data).items() if value is not UNSET}
    async with db.transaction() as conn:
        await sql.lock_person(conn, user.id)
        settings = await sql.select_settings(conn, user.id)
        conditions.require(settings)
        settings = msgspec.structs.replace(settings, **changes)
        await sql.upsert_settings(conn, user.id, settings)
        return conditions.changed(settings)
