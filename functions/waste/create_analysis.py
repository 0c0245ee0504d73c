"""Accepts an uploaded photo for analysis: 202 at once, the work follows."""

from typing import Annotated, Any

from litestar import Response, post
from litestar.params import JSONBody
from msgspec import Meta, Struct

from functions.waste import db as sql
from functions.waste.messages import PhotoProcessed
from functions.waste.model import Analysis
from shared import clock, rates, spend, uploads
from shared.errors import TooMany
from shared.http import LOCATION, Broker, CurrentUser, Db, Idem, Objects, Settings, problems
from shared.idempotency import Taken
from shared.ids import new_id
from shared.messages import ProcessPhoto
from shared.spend import DayUsedUp
from shared.tasks import enqueue
from shared.uploads import UploadNotFound

PATH = "/api/v1/waste/analyses"


class AnalysisRequest(Struct):
    """The photo, by the key that its upload was given.

    Attributes:
        image_key: of POST /uploads.
    """

    image_key: Annotated[str, Meta(pattern=uploads.KEY_PATTERN, examples=[uploads.EXAMPLE_KEY])]


@post(
    "/analyses",
    status_code=202,
    responses=problems(UploadNotFound, TooMany, DayUsedUp),
    response_headers=LOCATION,
    summary="Analyse a photo",
)
async def create_analysis(
    data: JSONBody[AnalysisRequest],
    user: CurrentUser,
    db: Db,
    objects: Objects,
    broker: Broker,
    settings: Settings,
    idempotency: Idem,
) -> Response[Analysis]:
    # A repeat gets its answer although the upload is used by now, and gone soon.
    seen: Response[Any] | None
    async with db.connection() as conn:
        if (seen := await idempotency.find(conn)) is not None:
            return seen
    await rates.quota(broker, "analyses", user.id, settings.quota_analyses)
    await spend.check(broker, user.id)
    await uploads.check_uploaded(objects, data.image_key)
    unit = db.unit()
    analysis = await sql.insert_analysis(unit, new_id(), user.id, data.image_key, clock.now())
    answer = idempotency.take(unit, analysis, status=202, headers={"Location": f"{PATH}/{analysis.id}"})
    await uploads.redeem(unit, user.id, data.image_key)
    message = ProcessPhoto(image_key=data.image_key, prefix=f"images/{analysis.id}")
    await enqueue(unit, message, subject=analysis.id, reply=PhotoProcessed, person=spend.spender(user.id))
    try:
        await db.commit(unit)
    except Taken:
        async with db.connection() as conn:
            return await idempotency.repeated(conn)
    return answer
