"""A queue function called by hand: what its message looks like, and a row of an owner's outbox that sends one."""

import importlib
import os
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from runtime.commands import operator
from runtime.loader import discover
from runtime.redis_users import sent_to
from runtime.services import Service, ServiceError, find, suggestion
from shared import clock
from shared.ids import new_id
from shared.messages import Message

_SEND = """
INSERT INTO {outbox} (id, actor, message, subject, traceparent, created_at, due_at, time_limit)
VALUES (%(id)s, %(actor)s, %(message)s, %(subject)s, %(traceparent)s, %(now)s, %(now)s,
        %(limit)s * INTERVAL '1 millisecond')
"""


def taken_by(name: str) -> type[Message]:
    """The class of the messages that a queue function takes, by `service/function`.

    Raises:
        ServiceError: there is no such function, or it takes what no one can send by hand.
    """
    folder, _, wanted = name.partition("/")
    functions = {function.name: function for function in discover(find(folder))}
    function = functions.get(wanted)
    if function is None or function.trigger != "queue":
        names = [one.name for one in functions.values() if one.trigger == "queue"]
        raise ServiceError(f"{folder} has no queue function {wanted}{suggestion(wanted, names)}")
    module = importlib.import_module(f"functions.{folder}.{wanted}")
    takes: type[Any] = getattr(module, wanted).fn.__eco2_takes__
    if not issubclass(takes, Message):
        raise ServiceError(f"{name} takes the outcomes of tasks: send the task itself, or try it again")
    return takes


def form(name: str) -> dict[str, Any]:
    """What a form for a message needs: its JSON Schema, references resolved, what it is, and who may send it."""
    takes = taken_by(name)
    (schema,), parts = msgspec.json.schema_components([takes], ref_template="#/components/schemas/{name}")
    own = name.partition("/")[0]
    # Whose relay the broker lets put something into that queue: another's would be refused again and again.
    owners = [
        service.folder
        for service in operator.owners()
        if "broker" in service.uses and (service.folder == own or own in sent_to(service))
    ]
    return {
        "schema": schema,
        "components": {"schemas": parts},
        "about": (takes.__doc__ or "").strip(),
        "owners": [own] if own in owners else owners,
    }


def send(conn: psycopg.Connection[Any], name: str, body: bytes, owner: str, subject: UUID | None) -> tuple[UUID, str]:
    """Accept a task in the owner's outbox, as its own functions would, without a reply; return its id and its trace's.

    Raises:
        ServiceError: there is no such function or owner, or the message is not one that the function takes.
    """
    takes = taken_by(name)
    service = _owner(name, form(name)["owners"], owner)
    try:
        message = msgspec.json.decode(body, type=takes)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ServiceError(f"this is no message for {name}: {error}") from None
    id_, trace = new_id(), os.urandom(16).hex()
    values = {
        "id": id_,
        "actor": name,
        "message": Jsonb(msgspec.to_builtins(message)),
        "subject": subject or new_id(),
        "traceparent": f"00-{trace}-{os.urandom(8).hex()}-01",
        "now": clock.now(),
        "limit": takes.time_limit,
    }
    with operator.writing(conn, service) as own:
        own.execute(sql.SQL(_SEND).format(outbox=sql.Identifier(service.database.schema, "outbox")), values)
    return id_, trace


def _owner(name: str, owners: list[str], owner: str) -> Service:
    if not owners:
        raise ServiceError(
            f"no service sends tasks to {name.partition('/')[0]}: NEEDS in runtime/redis_users.py says who may"
        )
    if owner and owner not in owners:
        raise ServiceError(f"{owner} sends no such tasks: {', '.join(owners)} may")
    return find(owner or owners[0])
