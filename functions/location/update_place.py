"""A changed place of the person's."""

from uuid import UUID

import msgspec
from litestar import Response, patch
from litestar.params import FromPath, JSONBody
from msgspec import UNSET, Struct, UnsetType

from functions.location import db as sql
from functions.location.places import Address, Latitude, Longitude, Name, check_point
from shared.errors import BadInput, NotFound, PreconditionFailed, Unauthorized
from shared.http import Conditional, CurrentUser, Db, problems


class PlaceChanges(Struct):
    """What is left out stays as it is; null takes the coordinates away.

    Attributes:
        name: what the person calls it.
        address: in words.
        latitude, longitude: degrees north and east, both or none.
        is_default: take the default away from the place that has it.
    """

    name: Name | UnsetType = UNSET
    address: Address | UnsetType = UNSET
    latitude: Latitude | UnsetType | None = UNSET
    longitude: Longitude | UnsetType | None = UNSET
    is_default: bool | UnsetType = UNSET


@patch(
    "/me/{place_id:uuid}",
    responses=problems(BadInput, Unauthorized, NotFound, PreconditionFailed),
    summary="Change one of my places",
)
async def update_place(
    place_id: FromPath[UUID], data: JSONBody[PlaceChanges], user: CurrentUser, db: Db, conditions: Conditional
) -> Response[sql.Place]:
    changes = {name: value for name, value in msgspec.structs.asdict(data).items() if value is not UNSET}
    async with db.transaction() as conn:
        if data.is_default is True:
            await sql.lock_default(conn, user.id)
        place = await sql.select_place_for_update(conn, user.id, place_id)
        if place is None:
            raise NotFound
        conditions.require(place)
        changed = msgspec.structs.replace(place, **changes)
        check_point(changed.latitude, changed.longitude)
        if data.is_default is True:
            await sql.update_no_default(conn, user.id)
        return conditions.changed(await sql.update_place(conn, changed))
