"""Objects that their owner no longer wants, gone from the store."""

from shared.messages import DeleteObjects
from shared.parts import Objects
from shared.tasks import Result, TaskFailed
from shared.triggers import queue


@queue(DeleteObjects)
def delete_objects(message: DeleteObjects, objects: Objects) -> Result:
    """Delete the keys and all that lies below the prefixes. What is gone already is no error.

    Raises:
        TaskFailed: `prefix-too-wide`, before anything is deleted.
    """
    # Without its last slash images/1 would take images/10 along; one cut short by a mistake would empty the bucket.
    below = [f"{prefix.rstrip('/')}/" for prefix in message.prefixes]
    if any(len([part for part in prefix.split("/") if part]) < 2 for prefix in below):
        raise TaskFailed("prefix-too-wide", "A prefix must name one owner's folder, such as images/<id>/.")
    found = [stored.key for prefix in below for stored in objects.list(prefix)]
    objects.delete(*message.keys, *found)
    return Result(record={"deleted": len(message.keys) + len(found)})
