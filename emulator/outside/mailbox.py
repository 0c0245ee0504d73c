"""A mail server that delivers to one mailbox, whoever the letter is for: a real SMTP server, and the letters as JSON.

Letters lie as files (Maildir) in the state folder, so that a restart keeps them; the oldest go when there are too many.
"""

import mailbox
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import getaddresses
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session
from msgspec import Struct

from shared import clock

# Letters kept, and bytes of one: RFC 5321 §4.5.3.1.7 asks for 64 KB at least.
MOST = 500
LARGEST = 1 << 20


class Letter(Struct, frozen=True):
    """One letter as a person reads it; `id` names it at this mailbox."""

    id: str
    received_at: datetime
    sender: str
    to: list[str]
    subject: str
    text: str


class Mailbox:
    """The letters of one state folder."""

    def __init__(self, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._maildir = mailbox.Maildir(folder, create=True)

    def add(self, content: bytes, sender: str, recipients: list[str]) -> None:
        """Keep a letter for the addresses of its envelope, which need not be those of its header."""
        letter = mailbox.MaildirMessage(message_from_bytes(content))
        letter["X-Envelope-From"] = sender
        letter["X-Envelope-To"] = ", ".join(recipients)
        letter.set_date(clock.time())
        self._maildir.add(letter)
        names = sorted(self._maildir.keys(), key=_age)
        for name in names[: max(0, len(names) - MOST)]:
            self._maildir.discard(name)

    def letters(self, to: str = "") -> list[Letter]:
        """Newest first; with `to`, those for that address in any case."""
        found = [letter for letter in self._all() if not to or to.lower() in (one.lower() for one in letter.to)]
        return sorted(found, key=lambda letter: (letter.received_at, _age(letter.id)), reverse=True)

    def clear(self) -> None:
        self._maildir.clear()

    def _all(self) -> Iterator[Letter]:
        self._maildir._refresh()  # type: ignore[attr-defined]  # files may have come or gone beside us
        for name in self._maildir.keys():  # noqa: SIM118 - iterating a Maildir reads every letter
            try:
                raw = self._maildir.get_bytes(name)
                received = self._maildir.get_message(name).get_date()
            except KeyError:
                continue
            letter: EmailMessage = message_from_bytes(raw, policy=policy.default)
            body = letter.get_body(("plain", "html"))
            yield Letter(
                id=name,
                received_at=datetime.fromtimestamp(received, UTC),
                sender=str(letter["X-Envelope-From"] or ""),
                to=[address for _, address in getaddresses([str(letter["X-Envelope-To"] or "")])],
                subject=str(letter["Subject"] or ""),
                text=str(body.get_content()) if body is not None else "",
            )


def _age(name: str) -> list[int]:
    """What sorts names by when they were given: `1764529556.M99P7Q2.host`, whose numbers begin with no zeros."""
    return [int(number) for number in re.findall(r"\d+", name)]


class Receiver:
    """What the SMTP server does with a letter: RFC 5321's reply for each case."""

    def __init__(self, box: Mailbox) -> None:
        self._box = box

    async def handle_RCPT(  # noqa: N802 - aiosmtpd finds its hooks by these names
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if "@" not in address:
            return "553 5.1.3 this is not an address"
        if address.rpartition("@")[0].startswith("bounce"):
            # For trying what a refused address does: bounce@example.com and the like.
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd finds its hooks by these names
        content: Any = envelope.content or b""
        self._box.add(content, envelope.mail_from or "", list(envelope.rcpt_tos))
        return "250 OK"


def smtp(box: Mailbox) -> SMTP:
    """The protocol of one connection, for `loop.create_server`."""
    return SMTP(Receiver(box), data_size_limit=LARGEST, enable_SMTPUTF8=True, hostname="eco2.localhost")
