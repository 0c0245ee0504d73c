"""The broker's keys in Redis. Lists, hashes and sets are Dramatiq's own; the rest is ours, below the same prefix."""

NAMESPACE = "dramatiq"
# Members: consumers by the time of their last sign of life, in milliseconds of the server's clock.
HEARTBEATS = f"{NAMESPACE}:__heartbeats__"
# A mark that a FLUSHALL takes away.
LIFE = f"{NAMESPACE}:__life__"
# The names of functions that are switched off, as a JSON list.
DISABLED = f"{NAMESPACE}:__disabled__"


def waiting(queue: str) -> str:
    """List of the ids of messages that wait."""
    return f"{NAMESPACE}:{queue}"


def late(queue: str) -> str:
    """List of the ids of messages that are not of this moment: a backlog, and what is published again."""
    return f"{NAMESPACE}:{queue}.late"


def messages(queue: str) -> str:
    """Hash of messages by id."""
    return f"{NAMESPACE}:{queue}.msgs"


def wake(queue: str) -> str:
    """List that a publication pushes to and an idle consumer waits on."""
    return f"{NAMESPACE}:{queue}.wake"


def fetched(consumer: str, queue: str) -> str:
    """Set of the ids that a consumer has fetched and not acked."""
    return f"{NAMESPACE}:__acks__.{consumer}.{queue}"


def lease(task_id: str) -> str:
    """Who works on a task: `consumer:life`."""
    return f"{NAMESPACE}:lease:{task_id}"


def stop(holder: str) -> str:
    """List that ends a consumer's own wait."""
    return f"{NAMESPACE}:stop:{holder}"
