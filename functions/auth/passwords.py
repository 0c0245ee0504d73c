"""Passwords: bcrypt in a thread, a few at a time, and never more of a password than bcrypt can see."""

import asyncio
import functools
import gc
import sys
import threading
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from weakref import WeakKeyDictionary

from msgspec import Meta

from shared.errors import BadInput, Unavailable

Password = Annotated[
    str,
    Meta(
        min_length=8,
        max_length=64,
        description="8 to 64 characters, and at most 72 bytes in UTF-8; without U+0000.",
        examples=["correct horse battery"],
    ),
]

# 2^12 rounds take about 0.3 s of one core (OWASP asks for 2^10 at least).
COST = 12
LONGEST_BYTES = 72
# Of no password anybody has; of the same cost, so that an unknown user takes the same work as a wrong password.
NOBODY = "$2b$12$hnjJmyuU1LQicnLLJx9u1.kFr3Eijcg92BJohgkJgHqisaIL6Ouay"
# More threads than that only make each other slower, and the event loop with them.
AT_ONCE = 2
# Who would wait longer than this many others (about 5 s) is asked to come again instead.
WAITING = 32
# Of these places one address has so many: a whole class may log in at once, and no one alone can keep all others out.
WAITING_PER_ADDRESS = 24


class Busy(Unavailable):
    """Too many people log in at this moment: try again shortly."""

    type = "urn:eco2:auth:busy"

    def __init__(self) -> None:
        super().__init__(retry_after=5)


class _Slots:
    def __init__(self) -> None:
        self.free = asyncio.Semaphore(AT_ONCE)
        self.waiting: list[str] = []


_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, _Slots] = WeakKeyDictionary()


@asynccontextmanager
async def slot(address: str) -> AsyncIterator[None]:
    """One of the few places in which a password is hashed, for the client of that address.

    Raises:
        Busy: when too many wait for one already, or too many of that address.
    """
    slots = _slots.setdefault(asyncio.get_running_loop(), _Slots())
    if len(slots.waiting) >= WAITING or slots.waiting.count(address) >= WAITING_PER_ADDRESS:
        raise Busy
    slots.waiting.append(address)
    try:
        await slots.free.acquire()
    finally:
        slots.waiting.remove(address)
    try:
        yield
    finally:
        slots.free.release()


def prepare(password: str, field: str) -> bytes:
    """The bytes that are hashed: NFC (RFC 8265 §4.2), so that Hangul typed on a Mac is Hangul typed on Windows.

    Raises:
        BadInput: for a password bcrypt would truncate, or with U+0000, where other implementations stop reading.
    """
    encoded = unicodedata.normalize("NFC", password).encode()
    if b"\0" in encoded:
        raise BadInput(field, "must not contain U+0000")
    if len(encoded) > LONGEST_BYTES:
        message = f"has {len(encoded)} bytes in UTF-8; at most {LONGEST_BYTES} are possible, choose a shorter one"
        raise BadInput(field, message)
    return encoded


async def refuse_common(password: str, field: str, *own: str) -> None:
    """Refuse a new password that a guesser tries first; `own` are the person's name and address.

    Raises:
        BadInput: it is among the 30,000 commonest, one character over and over, or the name or the address.
    """
    folded = unicodedata.normalize("NFC", password).strip().lower()
    if len(set(folded)) <= 1:
        raise BadInput(field, "is one character over and over: choose one that is harder to guess")
    names = {part for name in own for part in (name.lower(), name.lower().partition("@")[0])}
    if folded in names:
        raise BadInput(field, "is your own name or address: choose one that is harder to guess")
    if f"\n{folded}\n" in await asyncio.to_thread(_commonest):
        raise BadInput(field, "is one of the commonest passwords: choose one that is harder to guess")


_loading = threading.Lock()  # no one else may be importing what is thrown away, or load all of it a second time


def _commonest() -> str:
    """Loaded once, however many register first at the same moment."""
    with _loading:
        return _common()


@functools.cache
def _common() -> str:
    """The commonest passwords, each between two ends of a line.

    They are 0.2 MB as one text, and 17 as a set beside the words, surnames and tables that zxcvbn brings along.
    """
    # A process that registers no one never loads it.
    from zxcvbn.frequency_lists import FREQUENCY_LISTS

    text = "\n".join(["", *FREQUENCY_LISTS["passwords"], ""])
    for name in [name for name in sys.modules if name.partition(".")[0] == "zxcvbn"]:
        del sys.modules[name]
    del FREQUENCY_LISTS
    gc.collect()  # a package and its modules hold each other
    return text


async def hashed(password: str, field: str) -> str:
    """The bcrypt hash of a new password; for a caller that holds a slot.

    Raises:
        BadInput: as `prepare`.
    """
    import bcrypt

    encoded = prepare(password, field)
    return (await asyncio.to_thread(bcrypt.hashpw, encoded, bcrypt.gensalt(COST))).decode()


async def matches(password: str, password_hash: str | None) -> bool:
    """Whether it is the password; None means an unknown user and takes as much work. For a caller with a slot."""
    import bcrypt

    try:
        encoded = prepare(password, "password")
    except BadInput:
        # It can't be anybody's password, and the answer should take as long as for one that could.
        encoded, password_hash = b"", None
    found = await asyncio.to_thread(bcrypt.checkpw, encoded, (password_hash or NOBODY).encode())
    return found and password_hash is not None
