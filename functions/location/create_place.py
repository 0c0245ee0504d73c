"""A new place of the person's; as the default it takes the place of the one before."""

from litestar import Response, post
from litestar.params import JSONBody
from msgspec import Struct

from functions.location import db as sql
from functions.location.places import Address, Latitude, Longitude, Name, check_point
from shared import clock
from shared.errors import BadInput, Conflict, Unauthorized
from shared.http import CurrentUser, Db, Idem, problems
from shared.ids import new_id


class NewPlace(Struct):
    """A place.

    Attributes:
        name: what the person calls it.
        address: in words.
        latitude, longitude: degrees north and east, both or none.
        is_default: take the default away from the place that has it.
    """

    name: Name
    address: Address
    latitude: Latitude | None = None
    longitude: Longitude | None = None
    is_default: bool = False


@post("/me", status_code=201, responses=problems(BadInput, Unauthorized, Conflict), summary="Add a place")
async def create_place(data: JSONBody[NewPlace], user: CurrentUser, db: Db, idempotency: Idem) -> Response[sql.Place]:
    check_point(data.latitude, data.longitude)
    place = sql.Place(new_id(), data.name, data.address, data.latitude, data.longitude, data.is_default, clock.now())
    async with db.transaction() as conn:
        if (seen := await idempotency.claim(conn)) is not None:
            return seen
        if data.is_default:
            await sql.lock_default(conn, user.id)
            await sql.update_no_default(conn, user.id)
        written = await sql.insert_place(conn, user.id, place)
        return await idempotency.keep(conn, written, status=201)
