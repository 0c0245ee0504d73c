"""A person's upload, checked and turned into the two copies that are kept."""

from shared import uploads
from shared.messages import ProcessedPhoto, ProcessPhoto
from shared.objects import ObjectMissing, ObjectTooLarge
from shared.parts import Objects, Progress
from shared.tasks import Result, TaskFailed
from shared.triggers import queue

# A copy never changes under its key. Not longer than a day: a photo that its owner deletes should leave caches too.
_CACHE = "private, max-age=86400, immutable"


@queue(ProcessPhoto)
def process_photo(message: ProcessPhoto, objects: Objects, progress: Progress) -> Result:
    """Store `<prefix>/<hash>-web.jpg` and `<prefix>/<hash>-thumb.jpg`; the owner deletes the upload after the result.

    The keys come from the content, so a second run writes the same bytes to the same places.

    Raises:
        TaskFailed: `upload-missing`, `too-many-bytes`, or a code of `functions.storage.images.make_copies`.
    """
    # With the first photo: Pillow and its colour tables are 7 MB of a worker that may only ever delete.
    from functions.storage.images import ImageRefused, make_copies

    progress.publish("checking", 0.1)
    try:
        data = objects.get(message.image_key, uploads.MAX_BYTES)
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
    web_key = f"{message.prefix}/{copies.content_hash[:32]}-web.jpg"
    thumbnail_key = f"{message.prefix}/{copies.content_hash[:32]}-thumb.jpg"
    objects.put(web_key, copies.web, content_type="image/jpeg", cache_control=_CACHE)
    objects.put(thumbnail_key, copies.thumbnail, content_type="image/jpeg", cache_control=_CACHE)
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
