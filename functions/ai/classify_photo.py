"""What a stored photo shows, as a waste type with its confidence."""

import hashlib
import logging

from functions.ai import metrics
from functions.ai.cache import look
from functions.ai.interfaces import ProviderFailed
from functions.ai.providers import Answering, Providers
from shared.messages import Classification, ClassifyPhoto
from shared.objects import ObjectMissing, ObjectTooLarge
from shared.parts import Objects, Progress, Task
from shared.tasks import Result, TaskFailed
from shared.triggers import queue

log = logging.getLogger(__name__)

# The web size of an upload of 10 MiB stays far below it.
_MAX_BYTES = 10 << 20


@queue(ClassifyPhoto)
def classify_photo(
    message: ClassifyPhoto, providers: Answering, objects: Objects, progress: Progress, task: Task
) -> Result:
    """Answer with a Classification of waste types and codes alone: no text of a model reaches anybody.

    Raises:
        TaskFailed: `image-missing`, when the stored copy is gone.
        Unavailable: the object store is away, or the classifier's file.
    """
    progress.publish("classifying", 0.6)
    model = providers.photos[0].model
    known = providers.cache.get(f"photo:{model}", message.content_hash, Classification)
    if known is not None:
        metrics.cached("photo", "same")
        return Result(record=known)
    # The embedded classifier shrinks what it gets to 260 pixels: from the thumbnail it has them in a fifth of the time.
    paid = len(providers.photos) > 1
    try:
        photo = objects.get(message.image_key if paid else message.thumbnail_key or message.image_key, _MAX_BYTES)
    except (ObjectMissing, ObjectTooLarge):
        raise TaskFailed("image-missing", "The photo's stored copy is gone: upload it again.") from None
    if (paid or not message.thumbnail_key) and hashlib.sha256(photo).hexdigest() != message.content_hash:
        # An answer under a hash that is another photo's would be given to others.
        raise TaskFailed("image-changed", "The photo's stored copy is not the one that was uploaded: upload it again.")
    return Result(record=_answer(providers, photo, message, task))


def _answer(providers: Providers, photo: bytes, message: ClassifyPhoto, task: Task) -> Classification:
    first = providers.photos[0]
    paid = len(providers.photos) > 1
    # Asking the embedded provider costs less than looking for neighbours, and can't be wrong about which photo it is.
    seen = look(photo) if paid else None
    if seen is not None and (near := providers.cache.near(first.model, seen)) is not None:
        metrics.cached("photo", "near")
        return near
    for provider in providers.photos:
        try:
            answer = provider.classify(photo, message.spender, task.deadline)
        except ProviderFailed as failure:
            log.warning("photo provider %s has no answer: %s", provider.provider, failure)
            metrics.failed("photo", provider.provider)
            continue
        metrics.answered("photo", provider.provider)
        # A stand-in's answer is not kept: the next photo asks the first provider again.
        if provider is first:
            providers.cache.put(f"photo:{first.model}", message.content_hash, answer)
            if seen is not None:
                providers.cache.put_near(first.model, seen, answer)
        return answer
    raise TaskFailed("not-classified", "The photo could not be classified.")
