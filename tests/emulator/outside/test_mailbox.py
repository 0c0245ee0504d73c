"""Letters as a person finds them, over real SMTP."""

import asyncio
import smtplib
from email.message import EmailMessage
from pathlib import Path

import pytest

from emulator.outside import mailbox
from emulator.outside.mailbox import Mailbox, smtp
from shared import clock


def letter(subject: str, text: str = "안녕하세요") -> bytes:
    made = EmailMessage()
    made["Subject"], made["To"], made["From"] = subject, "header@example.com", "eco2@example.com"
    made.set_content(text)
    return made.as_bytes()


def test_letters_are_newest_first_and_those_of_one_address_in_any_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = Mailbox(tmp_path / "deep/mail")
    for number, to in enumerate((["Mina@example.com"], ["yuna@example.com"], ["yuna@example.com", "mina@example.com"])):
        monkeypatch.setattr(clock, "time", lambda number=number: 2e9 + number)
        box.add(letter(f"제목 {number}"), "eco2@example.com", to)
    assert [one.subject for one in box.letters()] == ["제목 2", "제목 1", "제목 0"]
    found = box.letters("MINA@example.com")
    assert [one.subject for one in found] == ["제목 2", "제목 0"]
    assert (found[1].to, found[1].sender, found[1].text.strip()) == (
        ["Mina@example.com"],
        "eco2@example.com",
        "안녕하세요",
    )
    assert found[1].received_at.timestamp() == 2e9
    assert [one.subject for one in Mailbox(tmp_path / "deep/mail").letters()] == ["제목 2", "제목 1", "제목 0"]
    box.clear()
    assert box.letters() == []


def test_the_oldest_go_when_there_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "MOST", 2)
    box = Mailbox(tmp_path / "mail")
    for number in range(4):
        monkeypatch.setattr(clock, "time", lambda number=number: 2e9 + number)
        box.add(letter(str(number)), "a@example.com", ["b@example.com"])
    assert [one.subject for one in box.letters()] == ["3", "2"]


def test_letters_of_one_moment_are_told_and_let_go_in_the_order_in_which_they_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox, "MOST", 12)
    # As the files are named: by the moment, and by a count of which the tenth sorts before the second.
    monkeypatch.setattr("time.time", lambda: 2e9)
    monkeypatch.setattr("mailbox.Maildir._count", 1)
    box = Mailbox(tmp_path / "mail")
    for number in range(15):
        box.add(letter(str(number)), "a@example.com", ["b@example.com"])
    assert [one.subject for one in box.letters()] == [str(number) for number in range(14, 2, -1)]


async def test_a_letter_that_is_sent_is_kept_and_what_no_mail_server_takes_is_refused(tmp_path: Path) -> None:
    box = Mailbox(tmp_path / "mail")
    server = await asyncio.get_running_loop().create_server(lambda: smtp(box), "127.0.0.1", 0)

    def send(to: str, content: bytes) -> None:
        with smtplib.SMTP(*server.sockets[0].getsockname()) as client:
            client.sendmail("eco2@example.com", [to], content)

    async with server:
        await asyncio.to_thread(send, "mina@example.com", letter("one"))
        for to, code in (("bounce@example.com", 550), ("bounce-later@example.com", 550), ("mina", 553)):
            with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
                await asyncio.to_thread(send, to, letter("two"))
            assert refused.value.recipients[to][0] == code
        with pytest.raises(smtplib.SMTPSenderRefused, match=r"too large|exceed"):
            await asyncio.to_thread(send, "mina@example.com", letter("three", "x" * 70 + "\r\n") * 20_000)
    assert [(one.subject, one.to) for one in box.letters()] == [("one", ["mina@example.com"])]
