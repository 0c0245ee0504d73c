"""Announces the end of sessions that ended while the broker's Redis was away."""

from functions.auth.messages import AnnounceRevocations
from shared import identity
from shared.parts import Broker
from shared.redis import guard
from shared.triggers import queue


@queue(AnnounceRevocations)
async def announce_revocations(message: AnnounceRevocations, broker: Broker) -> None:
    with guard("broker"):
        await identity.announce_revocations(broker, message.session_ids)
