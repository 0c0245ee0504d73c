"""A person's upload, checked and turned into the two copies that are kept."""

import dramatiq

from functions.storage.images import ImageRefused, make_copies
from shared import objects, progress, uploads
from shared.messages import ProcessedPhoto
from shared.objects import ObjectMissing, ObjectTooLarge
from shared.tasks import Result, TaskFailed

# A copy never changes under its key. Not longer than a day: a photo that its owner deletes should leave caches too.
_CACHE = "private, max-age=86400, immutable"


@dramatiq.actor(queue_name="storage", time_limit=60_000)
def process_photo(*, image_key: str, prefix: str) -> Result:
    """Store `<prefix>/<hash>-web.jpg` and `<prefix>/<hash>-thumb.jpg`; the owner deletes the upload after the result.

    The keys come from the content, so a second run writes the same bytes to the same places.

    Raises:
        TaskFailed: `upload-missing`, `too-many-bytes`, or a code of `functions.storage.images.make_copies`.
    """
    store = objects.store()
    progress.publish("checking", 0.1)
    try:
        data = store.get(image_key, uploads.MAX_BYTES)
    except ObjectMissing:
        raise TaskFailed("upload-missing", "The uploaded photo is gone: upload it again.") from None
    except ObjectTooLarge:
        limit = uploads.MAX_BYTES // (1 << 20)
        raise TaskFailed("too-many-bytes", f"The file is too large: at most {limit} MiB are taken.") from None
    try:
        copies = make_copies(data)
    except ImageRefused as refused:
        raise TaskFailed(refused.code, str(refused)) from None
    progress.publish("storing", 0.4)
    web_key = f"{prefix}/{copies.content_hash[:32]}-web.jpg"
    thumbnail_key = f"{prefix}/{copies.content_hash[:32]}-thumb.jpg"
    store.put(web_key, copies.web, content_type="image/jpeg", cache_control=_CACHE)
    store.put(thumbnail_key, copies.thumbnail, content_type="image/jpeg", cache_control=_CACHE)
    return Result(
        record=ProcessedPhoto(
            web_key=web_key,
            thumbnail_key=thumbnail_key,
            width=copies.width,
            height=copies.height,
            bytes=len(copies.web),
            content_hash=copies.content_hash,
            format=copies.format,
        )
    )
