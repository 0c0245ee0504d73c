"""Identifiers that sort by the time they were made."""

import os
from datetime import datetime
from uuid import UUID

from shared import clock


def new_id() -> UUID:
    """Return a UUID of version 7 (RFC 9562 §5.7): 48 bits of Unix milliseconds, then 74 random bits.

    The milliseconds come from the system's clock in `shared.clock`, so ids sort with the times in the rows beside them.
    """
    value = int.from_bytes(os.urandom(16), "big")
    milliseconds = int(clock.time() * 1000) & 0xFFFF_FFFF_FFFF
    value = (value & ~(((1 << 48) - 1) << 80)) | (milliseconds << 80)
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return UUID(int=value)


def first_id(at: datetime) -> UUID:
    """The smallest id that `new_id` may have made at that moment or later: rows made before are a range of their primary key."""
    return UUID(int=(int(at.timestamp() * 1000) << 80) | (0x7 << 76) | (0x2 << 62))
