"""What each service may do in the two Redis: the one place that the emulator's servers and the cluster's Secrets both read.

Each service has a user of its name, with its own queues, the queues that it sends to, and the keys named in NEEDS. On a foreign
queue it may put a message and ask how many wait: not read, not take, not delete. `default`, with all rights, is the operator's.
Rules are checked inside scripts too, command by command.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct

from runtime import broker_keys as keys
from runtime.services import Service

Server = Literal["broker", "cache"]


class Need(Struct, frozen=True):
    """What a service needs beyond its own queues: folders that it sends tasks to, and rules for either server."""

    sends: tuple[str, ...] = ()
    broker: tuple[str, ...] = ()
    cache: tuple[str, ...] = ()


def _rates(*kinds: str) -> tuple[str, ...]:
    """Counters of what may be done so often (shared/rates.py)."""
    return ("+eval", "+get", "+set", "+del", *(f"~rates:{kind}:*" for kind in kinds))


# Event streams that a host reads and whose end it tells, and the tickets that open them (shared/events.py, shared/tickets.py).
# XREVRANGE is the last version's, which runs beside this one while it is rolled out.
_STREAMS = (
    *("~progress:*", "+xadd", "+expire", "+xrange", "+xrevrange", "+xread", "+unlink"),
    *("~ticket:*", "+set", "+getdel"),
)
# Whether somebody's day is used up (shared/spend.py).
_SPENT = ("%R~spend:*", "+hget")
# A worker tells of its progress, and reads no one's.
_TELLS = ("%W~progress:*", "+xadd", "+expire")
_KINDS_OF_AUTH = (
    "login",
    "login-address",
    "register",
    "confirm",
    "forgot",
    "forgot-address",
    "verification",
    "oauth-start",
)

NEEDS: Mapping[str, Need] = {
    "auth": Need(
        sends=("chat_llm", "location", "recycle_info", "userinfo", "waste"),
        broker=(*_rates(*_KINDS_OF_AUTH), "~auth:revoked", "+zadd", "+zremrangebyscore", "+multi", "+exec"),
    ),
    "chat_llm": Need(sends=("ai",), broker=(*_rates("messages"), *_STREAMS, *_SPENT)),
    "userinfo": Need(sends=("storage",), broker=_rates("uploads")),
    "waste": Need(
        sends=("storage", "ai", "userinfo"),
        broker=(*_rates("uploads", "analyses"), *_STREAMS, *_SPENT),
        cache=("~item:*", "~guide:*", "+get", "+set"),
    ),
    "storage": Need(broker=_TELLS),
    "ai": Need(
        broker=(*_TELLS, "~spend:*", "+eval", "+hget", "+hset", "+hincrby", "+multi", "+exec"),
        cache=("~ai:*", "+get", "+set", "+lrange", "+lpush", "+ltrim", "+expire"),
    ),
}

_CONNECT = ("+ping", "+select", "+client|setinfo", "+client|setname", "+client|id")
# What the scripts of runtime/delivery do with a service's own queues.
_DELIVERS = (
    *(
        "+evalsha",
        "+script|load",
        "+info",
        "+time",
        "+llen",
        "+rpush",
        "+lpush",
        "+lpop",
        "+lrange",
        "+blpop",
        "+hset",
        "+hget",
        "+hdel",
        "+hexists",
    ),
    *("+sadd", "+srem", "+smembers", "+zadd", "+zrangebyscore", "+zrem", "+get", "+set", "+del", "+pexpire", "+expire"),
)
# On a queue of somebody else's. A script's keys are checked as if it did everything with each; its commands one by one.
_SENDS = ("+evalsha", "+llen", "+rpush", "+hset")


def rules(service: Service, server: Server) -> list[str]:
    """The ACL rules of a service's user, each as `ACL SETUSER` takes it."""
    need = NEEDS.get(service.folder, Need())
    base = ["resetkeys", "resetchannels", "clearselectors", "-@all", *_CONNECT]
    if server == "cache":
        return [*base, *dict.fromkeys(need.cache)]
    own = [f"~{pattern}" for pattern in keys.of_service(service.folder)]
    shared = [f"~{keys.LIFE}", f"~{keys.stop('*')}", f"{'%R' if service.is_worker else ''}~{keys.DISABLED}"]
    told = [] if service.is_worker else ["%R~auth:revoked", "+zrangebyscore"]
    found = [*base, *_DELIVERS, *own, *shared, *told, *need.broker]
    # An outcome goes back to whoever sent the task.
    asking = (folder for folder, other in NEEDS.items() if service.folder in other.sends)
    to = sorted({*need.sends, *asking})
    if to:
        foreign = [f"~{key}" for folder in to for key in keys.of_sender(folder)]
        found.append(f"({' '.join([*_SENDS, *own, *foreign])})")
    return list(dict.fromkeys(found))


def sent_to(service: Service) -> tuple[str, ...]:
    """The folders of the services that it sends tasks to."""
    return NEEDS.get(service.folder, Need()).sends


def password(server_password: str, service: Service) -> str:
    """A service's password, made from the server's: one secret to keep and to change, and no service learns another's."""
    return hmac.new(server_password.encode(), f"eco2 redis {service.name}".encode(), hashlib.sha256).hexdigest()


def lines(server: Server, services: Mapping[str, Service], passwords: Iterable[str]) -> str:
    """The configuration's lines for all users of a server; with two `passwords` of the server each user may come with either."""
    passwords = list(passwords)
    found = ""
    for service in services.values():
        if server in service.uses:
            hashes = (f"#{hashlib.sha256(password(word, service).encode()).hexdigest()}" for word in passwords)
            found += f"user {' '.join([service.name, 'on', *hashes, *rules(service, server)])}\n"
    return found


def words(line: str) -> list[str]:
    """A configuration's line as `ACL SETUSER` takes it: rules in brackets are one word."""
    return re.findall(r"\([^)]*\)|\S+", line)


def url(service: Service, server_password: str, place: str) -> str:
    """The address by which a service reaches a server at `host:port`."""
    return f"redis://{service.name}:{password(server_password, service)}@{place}/0"
