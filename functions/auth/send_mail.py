"""Writes to a person's address: a link that verifies it, or one that sets a new password."""

import asyncio
from datetime import timedelta

from functions.auth import db as sql
from functions.auth import mail, one_time
from functions.auth.messages import SendMail
from shared import clock
from shared.parts import Db, Settings
from shared.tasks import TaskFailed
from shared.triggers import queue

LIFE = timedelta(minutes=30)


@queue(SendMail)
async def send_mail(message: SendMail, db: Db, settings: Settings) -> None:
    """A second run sends a second letter, whose link works as well as the first one's.

    Raises:
        TaskFailed: `mail-not-set-up`; `address-refused`.
    """
    if not settings.smtp_url:
        raise TaskFailed("mail-not-set-up", "SMTP_URL is not set: no mail can be sent.")
    token, token_hash = one_time.new()
    async with db.transaction() as conn:
        person = await sql.select_person_by_id(conn, message.user_id)
        # No one: somebody asked for an unknown address, which is accepted like any other.
        if person is None or (message.purpose == "verify" and person.email_verified):
            return
        await sql.insert_mail_token(conn, token_hash, person.id, message.purpose, person.email, clock.now() + LIFE)
    letter = mail.letter(message.purpose, name=person.username, email=person.email, token=token, settings=settings)
    try:
        await asyncio.to_thread(mail.send, letter, settings)
    except mail.AddressRefused:
        raise TaskFailed("address-refused", "The mail server takes nothing for this address.") from None
