"""Objects that their owner no longer wants, gone from the store."""

import dramatiq

from shared import objects
from shared.tasks import Result, TaskFailed


@dramatiq.actor(queue_name="storage", time_limit=300_000)
def delete_objects(*, keys: list[str], prefixes: list[str]) -> Result:
    """Delete the keys and all that lies below the prefixes. What is gone already is no error.

    Raises:
        TaskFailed: `prefix-too-wide`, before anything is deleted.
    """
    # Without its last slash images/1 would take images/10 along; one cut short by a mistake would empty the bucket.
    below = [f"{prefix.rstrip('/')}/" for prefix in prefixes]
    if any(len([part for part in prefix.split("/") if part]) < 2 for prefix in below):
        raise TaskFailed("prefix-too-wide", "A prefix must name one owner's folder, such as images/<id>/.")
    store = objects.store()
    found = [stored.key for prefix in below for stored in store.list(prefix)]
    store.delete(*keys, *found)
    return Result(record={"deleted": len(keys) + len(found)})
