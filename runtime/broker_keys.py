"""The broker's keys in Redis. Lists, hashes and sets are Dramatiq's own; the rest is ours, below the same prefix."""

NAMESPACE = "dramatiq"
# A mark that a FLUSHALL takes away.
LIFE = f"{NAMESPACE}:__life__"
# The names of functions that are switched off, as a JSON list.
DISABLED = f"{NAMESPACE}:__disabled__"


def known_disabled(service: str) -> str:
    """What a service's relays knew last to be switched off, as a JSON list: each looks after its own outbox."""
    return f"{NAMESPACE}:{service}.disabled"


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


def heartbeats(queue: str) -> str:
    """Members: the queue's consumers by the time of their last sign of life, in milliseconds of the server's clock."""
    return f"{NAMESPACE}:{queue}.heartbeats"


def fetched(consumer: str, queue: str) -> str:
    """Set of the ids that a consumer has fetched and not acked."""
    return f"{NAMESPACE}:__acks__.{consumer}.{queue}"


def lease(queue: str, task_id: str) -> str:
    """Who works on a task: `consumer:life`."""
    return f"{NAMESPACE}:{queue}.lease:{task_id}"


def stop(holder: str) -> str:
    """List that ends a consumer's own wait."""
    return f"{NAMESPACE}:stop:{holder}"


def of_sender(folder: str) -> tuple[str, ...]:
    """The keys that a publication to a service touches: of its queue, and of its bulk work's (`envelope.bulk_queue`)."""
    return tuple(key(queue) for queue in (folder, f"{folder}.bulk") for key in (waiting, late, messages, wake))


def of_service(folder: str) -> tuple[str, ...]:
    """Patterns of all keys that are a service's alone."""
    return waiting(folder), waiting(f"{folder}.*"), fetched("*", folder), fetched("*", f"{folder}.bulk")
