"""What a stored photo shows, as a waste type with its confidence."""

import hashlib
import logging

import dramatiq

from functions.ai import metrics
from functions.ai.cache import look
from functions.ai.interfaces import ProviderFailed
from functions.ai.providers import Providers, providers
from shared import objects, progress
from shared.messages import Classification
from shared.objects import ObjectMissing, ObjectTooLarge
from shared.tasks import Result, TaskFailed

log = logging.getLogger(__name__)

# The web size of an upload of 10 MiB stays far below it.
_MAX_BYTES = 10 << 20


@dramatiq.actor(queue_name="ai", time_limit=120_000)
def classify_photo(
    *, image_key: str, content_hash: str, thumbnail_key: str = "", language: str = "ko", spender: str = ""
) -> Result:
    """Answer with a Classification of waste types and codes alone: no text of a model reaches anybody.

    Raises:
        TaskFailed: `image-missing`, when the stored copy is gone.
        Unavailable: the object store is away, or the classifier's file.
    """
    progress.publish("classifying", 0.6)
    chosen = providers()
    model = chosen.photos[0].model
    known = chosen.cache.get(f"photo:{model}", content_hash, Classification)
    if known is not None:
        metrics.cached("photo", "same")
        return Result(record=known)
    # The embedded classifier shrinks what it gets to 260 pixels: from the thumbnail it has them in a fifth of the time.
    paid = len(chosen.photos) > 1
    try:
        photo = objects.store().get(image_key if paid else thumbnail_key or image_key, _MAX_BYTES)
    except (ObjectMissing, ObjectTooLarge):
        raise TaskFailed("image-missing", "The photo's stored copy is gone: upload it again.") from None
    if (paid or not thumbnail_key) and hashlib.sha256(photo).hexdigest() != content_hash:
        # An answer under a hash that is another photo's would be given to others.
        raise TaskFailed("image-changed", "The photo's stored copy is not the one that was uploaded: upload it again.")
    return Result(record=_answer(chosen, photo, content_hash, spender))


def _answer(chosen: Providers, photo: bytes, content_hash: str, spender: str) -> Classification:
    first = chosen.photos[0]
    paid = len(chosen.photos) > 1
    # Asking the embedded provider costs less than looking for neighbours, and can't be wrong about which photo it is.
    seen = look(photo) if paid else None
    if seen is not None and (near := chosen.cache.near(first.model, seen)) is not None:
        metrics.cached("photo", "near")
        return near
    for provider in chosen.photos:
        try:
            answer = provider.classify(photo, spender)
        except ProviderFailed as failure:
            log.warning("photo provider %s has no answer: %s", provider.provider, failure)
            metrics.failed("photo", provider.provider)
            continue
        metrics.answered("photo", provider.provider)
        # A stand-in's answer is not kept: the next photo asks the first provider again.
        if provider is first:
            chosen.cache.put(f"photo:{first.model}", content_hash, answer)
            if seen is not None:
                chosen.cache.put_near(first.model, seen, answer)
        return answer
    raise TaskFailed("not-classified", "The photo could not be classified.")
