"""Every slip between messages and functions fails `make check`; each is made once here, in a copy."""

import shutil
from pathlib import Path

import pytest

from runtime.services import ROOT
from tests.wiring import slips


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the check reads."""
    for folder in ("functions", "shared"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=lambda _, names: [n for n in names if n == "data"])
    return tmp_path


def change(checkout: Path, file: str, old: str, new: str) -> None:
    path = checkout / file
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{file} has changed: the slip must be made anew"
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_messages_and_functions_fit() -> None:
    assert slips() == []


def test_the_check_runs_them() -> None:
    assert (
        "-m tests.wiring"
        in (ROOT / "Makefile").read_text(encoding="utf-8").partition("\ncheck:")[2].partition("\n\n")[0]
    )


MESSAGES = "shared/messages.py"
PROCESS = "functions/storage/process_photo.py"


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        (MESSAGES, '"storage/process_photo"', '"storage/proces_photo"', "ProcessPhoto names storage/proces_photo"),
        (
            MESSAGES,
            '"ai/answer_question"',
            '"chat_llm/answer_question"',
            "AnswerQuestion names chat_llm/answer_question",
        ),
        (PROCESS, "@queue(ProcessPhoto)", "@queue(ProcessedPhoto)", "@queue takes a class of shared/messages.py"),
        (PROCESS, "@queue(ProcessPhoto)\n", "", "no function takes ProcessPhoto: its actor is 'storage/process_photo'"),
        (
            MESSAGES,
            "    image_key: str\n    prefix",
            "    image_key: str\n    urgent: bool\n    prefix",
            "reads the field urgent",
        ),
        (
            "functions/waste/create_analysis.py",
            "reply=PhotoProcessed",
            'reply="waste/photo_procesed"',
            "create_analysis.py: reply='waste/photo_procesed' is no class of outcomes of functions/waste/messages.py",
        ),
        (
            "functions/waste/create_analysis.py",
            "reply=PhotoProcessed",
            "reply=ProcessPhoto",
            "reply=ProcessPhoto is no class of outcomes",
        ),
        (
            "functions/waste/create_analysis.py",
            "from functions.waste.messages import PhotoProcessed",
            "from functions.userinfo.messages import AvatarProcessed as PhotoProcessed",
            "the reply AvatarProcessed goes to another service, userinfo/avatar_processed",
        ),
        (
            "functions/auth/revocations.py",
            "AnnounceRevocations(list(session_ids))",
            "None",
            "no one sends AnnounceRevocations, which announce_revocations takes",
        ),
        ("functions/chat_llm/create_message.py", ", reply=QuestionAnswered", "", "no one sends QuestionAnswered"),
        ("functions/auth/delete_me.py", '"recycle_info", ', "", "no one sends ErasePerson to recycle_info"),
    ],
)
def test_a_slip_is_said_with_its_file(checkout: Path, file: str, old: str, new: str, says: str) -> None:
    change(checkout, file, old, new)
    assert [said for said in slips(checkout) if says in said], slips(checkout)


def test_a_message_that_is_new_needs_a_function_and_a_sender(checkout: Path) -> None:
    with (checkout / MESSAGES).open("a", encoding="utf-8") as file:
        file.write('\n\nclass Weigh(Message, frozen=True):\n    actor: ClassVar[str] = "storage/weigh"\n    key: str\n')
    assert slips(checkout) == ["shared/messages.py: no function takes Weigh: its actor is 'storage/weigh'"]
    (checkout / "functions/storage/weigh.py").write_text(
        "from shared.messages import Weigh\nfrom shared.triggers import queue\n\n\n"
        "@queue(Weigh)\ndef weigh(message: Weigh) -> None:\n    print(message.key)\n",
        encoding="utf-8",
    )
    assert slips(checkout) == ["functions/storage/weigh.py: no one sends Weigh, which weigh takes"]
