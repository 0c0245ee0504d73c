"""Photographs on their way in: a person asks for an upload, puts the file into the store, and names its key once.

Used by every service that takes photographs; each has an `uploads` table in its own schema:
`(image_key TEXT PRIMARY KEY, user_id UUID NOT NULL, expires_at TIMESTAMPTZ NOT NULL, used_at TIMESTAMPTZ)`.
"""

import asyncio
import secrets
from datetime import timedelta
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

from shared import clock
from shared.db import Connection
from shared.errors import NotFound
from shared.fields import Time
from shared.objects import ObjectMissing, ObjectStore
from shared.text import pattern
from shared.together import Unit

LIFETIME = timedelta(hours=1)
MAX_BYTES = 10 * 1024 * 1024
# A raw upload is gone after this at the latest, whatever became of it.
KEPT_AT_MOST = timedelta(hours=24)
EXAMPLE_KEY = "uploads/019a0000-0000-7000-8000-000000000000/6ba5b4d395ac2dbf7017f6db06af1401"
KEY_PATTERN = pattern(r"^uploads/[0-9a-f-]{36}/[0-9a-f]{32}$", "is no image_key that an upload was given")


class UploadRequest(Struct):
    """What the client is about to upload.

    Attributes:
        content_type: what the store takes; the content itself decides what it is.
        size_bytes: the length of the file, which the store holds the upload to.
    """

    content_type: Annotated[
        Literal["image/jpeg", "image/png", "image/webp"],
        Meta(title="PhotoType", description="The media type of a photo."),
    ]
    size_bytes: Annotated[int, Meta(ge=1, le=MAX_BYTES, examples=[248_113])]


class Upload(Struct):
    """A form: POST `fields` and then the file, as the last field `file`, to `url`; then name `image_key`.

    Attributes:
        image_key: the name of the upload from then on; good once.
        url: the object store's address for the form.
        fields: of the form, by their names, signed together.
        expires_at: until when the store takes the form, and this API the key.
    """

    image_key: Annotated[str, Meta(pattern=KEY_PATTERN, examples=[EXAMPLE_KEY])]
    url: Annotated[str, Meta(examples=["https://bucket.s3.ap-northeast-2.amazonaws.com/"])]
    fields: Annotated[
        dict[str, str], Meta(examples=[{"Content-Type": "image/jpeg", "key": EXAMPLE_KEY, "policy": "eyJ9"}])
    ]
    expires_at: Time


class UploadNotFound(NotFound):
    """There is no upload of yours under this image_key: it was never uploaded, has expired, or was used before."""

    type = "urn:eco2:uploads:not-found"


async def sign(objects: ObjectStore, user_id: UUID, request: UploadRequest) -> Upload:
    """Make a key that only this user can name, once, within the hour, and the form to upload the file with."""
    key = f"uploads/{user_id}/{secrets.token_hex(16)}"
    # The first signature of a process imports parts of boto3 (100 ms), so not on the event loop.
    form = await asyncio.to_thread(
        objects.presign_post,
        key,
        content_type=request.content_type,
        max_bytes=request.size_bytes,
        seconds=round(LIFETIME.total_seconds()),
    )
    return Upload(key, form.url, form.fields, form.expires_at)


async def insert(connection: Connection, user_id: UUID, upload: Upload) -> None:
    """Note an upload that was offered, so that its key can be used once."""
    await connection.execute(
        "INSERT INTO uploads (image_key, user_id, expires_at) VALUES (%s, %s, %s)",
        [upload.image_key, user_id, upload.expires_at],
    )


async def check_uploaded(objects: ObjectStore, key: str) -> None:
    """Make sure that the file is in the store; before the transaction, because it is a call to elsewhere.

    Raises:
        UploadNotFound: it is not.
    """
    try:
        await asyncio.to_thread(objects.size, key)
    except ObjectMissing:
        raise UploadNotFound from None


_REDEEM = """
UPDATE uploads
SET used_at = %(now)s
WHERE image_key = %(key)s AND user_id IS NOT DISTINCT FROM %(user)s AND used_at IS NULL AND expires_at > %(now)s
"""


async def redeem(conn: Connection | Unit, user_id: UUID, key: str) -> None:
    """Take the key in the transaction, or the unit, that accepts the work on it.

    Raises:
        UploadNotFound: it is another's, expired or used; of a unit, when it is committed.
    """
    values = {"now": clock.now(), "key": key, "user": user_id}
    if isinstance(conn, Unit):
        conn.expect(_REDEEM, values, UploadNotFound)
    elif (await conn.execute(_REDEEM, values)).rowcount != 1:
        raise UploadNotFound


async def select_stale(connection: Connection, limit: int = 500) -> list[str]:
    """Keys whose raw upload may not be kept any longer."""
    oldest = clock.now() - KEPT_AT_MOST + LIFETIME
    cursor = await connection.execute(
        "SELECT image_key FROM uploads WHERE expires_at < %s ORDER BY expires_at LIMIT %s", [oldest, limit]
    )
    return [row[0] for row in await cursor.fetchall()]


async def delete_rows(connection: Connection, keys: list[str]) -> None:
    """Forget keys whose objects are gone."""
    await connection.execute("DELETE FROM uploads WHERE image_key = ANY(%s)", [keys])


async def select_open(connection: Connection, user_id: UUID) -> list[str]:
    """Keys whose form is still good: whoever has it can put a file there, whatever becomes of the row."""
    cursor = await connection.execute(
        "SELECT image_key FROM uploads WHERE user_id = %s AND expires_at > %s", [user_id, clock.now()]
    )
    return [row[0] for row in await cursor.fetchall()]


async def delete_of_person(connection: Connection, user_id: UUID) -> list[str]:
    """Forget a person's uploads; return the keys, whose objects the caller has deleted."""
    cursor = await connection.execute("DELETE FROM uploads WHERE user_id = %s RETURNING image_key", [user_id])
    return [row[0] for row in await cursor.fetchall()]
