"""Letters to people: their texts, and the connection to the mail server.

Both languages are in each: which one a person reads is known to userinfo, and a letter about an account should not wait for it.
"""

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Literal
from urllib.parse import unquote, urlsplit

from shared import clock
from shared.errors import Unavailable
from shared.settings import Settings

Purpose = Literal["verify", "reset"]
# Seconds for each step of the talk with the mail server.
PATIENCE = 10.0

_TEXTS: dict[Purpose, tuple[str, str]] = {
    "verify": (
        "[Eco²] 이메일 주소 확인 · Verify your address",
        "안녕하세요, {name}님.\n\n아래 링크를 열면 이메일 주소 확인이 끝나요. 링크는 30분 동안, 한 번만 쓸 수 있어요.\n\n"
        "Hello {name},\n\nopen this link to verify your address. It works once, for 30 minutes.\n\n{link}\n",
    ),
    "reset": (
        "[Eco²] 비밀번호 재설정 · Set a new password",
        "안녕하세요, {name}님.\n\n아래 링크에서 새 비밀번호를 정해 주세요. 링크는 30분 동안, 한 번만 쓸 수 있어요. "
        "요청하지 않으셨다면 이 메일을 무시해 주세요.\n\n"
        "Hello {name},\n\nset a new password with this link. It works once, for 30 minutes. "
        "If you did not ask for it, ignore this letter.\n\n{link}\n",
    ),
}


class AddressRefused(Exception):
    """The mail server takes nothing for this address, now or later."""


def letter(purpose: Purpose, *, name: str, email: str, token: str, settings: Settings) -> EmailMessage:
    """The letter with its link, or with the token alone where no app is set up (APP_URL)."""
    subject, text = _TEXTS[purpose]
    # In the fragment: it reaches no server's log and no Referer.
    link = f"{settings.app_url.rstrip('/')}/{purpose}#token={token}" if settings.app_url else token
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = settings.mail_from, email, subject
    message["Date"] = formatdate(clock.time())
    message["Message-ID"] = make_msgid(domain="eco2")
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office replies
    message.set_content(text.format(name=name, link=link))
    return message


def send(message: EmailMessage, settings: Settings) -> None:
    """Hand a letter to the mail server. Blocks: for a thread.

    Raises:
        AddressRefused: the server refused it for good (RFC 5321 §4.2.1: a reply of 500 and above).
        Unavailable: the server is away, or said "later".
    """
    try:
        with _server(settings.smtp_url) as server:
            server.send_message(message)
    except smtplib.SMTPRecipientsRefused as refused:
        code = next(iter(refused.recipients.values()))[0]
        if code >= 500:
            raise AddressRefused from None
        raise Unavailable("mail server") from refused
    except smtplib.SMTPResponseException as answer:
        # Authentication and policy are 5xx too, but they are ours to mend: the letter waits.
        if isinstance(answer, smtplib.SMTPDataError) and answer.smtp_code >= 500:
            raise AddressRefused from None
        raise Unavailable("mail server") from answer
    except (smtplib.SMTPException, OSError) as error:
        raise Unavailable("mail server") from error


@contextmanager
def _server(url: str) -> Iterator[smtplib.SMTP]:
    place = urlsplit(url)
    host = place.hostname or "localhost"
    if place.scheme == "smtps":
        context = ssl.create_default_context()
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, place.port or 465, timeout=PATIENCE, context=context)
    else:
        server = smtplib.SMTP(host, place.port or 587, timeout=PATIENCE)
    with server:
        server.ehlo()
        if place.scheme == "smtp" and server.has_extn("starttls"):
            server.starttls(context=ssl.create_default_context())
            server.ehlo()
        if place.username:
            server.login(unquote(place.username), unquote(place.password or ""))
        yield server
