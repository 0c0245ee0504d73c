"""What tells waste from other topics is what its command makes of its texts, and is right about texts that it never saw."""

import pytest

from functions.ai import topic
from functions.ai.linear import LinearFile
from tests.eval import linear
from tests.eval import topic as training


def test_the_file_is_what_its_command_makes_of_the_texts() -> None:
    given = training.texts()
    kept = topic.read()
    assert kept.data_sha256 == linear.data_hash(given), f"the texts have changed: {training.COMMAND}"
    assert linear.differs(training.train(given), kept) == ""


def test_a_rounding_step_is_no_difference() -> None:
    one = LinearFile(1, training.COMMAND, "0", 5, {"a": 7})
    assert linear.differs(one, LinearFile(1, training.COMMAND, "0", 6, {"a": 6, "b": 1})) == ""
    assert linear.differs(one, LinearFile(1, training.COMMAND, "0", 5, {"a": 9})) == "a number by 2 hundredths"
    assert linear.differs(one, LinearFile(1, training.COMMAND, "1", 5, {"a": 7})) == "data_sha256: 0 and 1"


def test_runs_are_of_words_whatever_is_written_between_them() -> None:
    assert topic.runs("ＡＢ, c!") == topic.runs("ab c")
    assert topic.runs("ab") == {" ", "a", "b", " a", "ab", "b ", " ab", "ab "}


@pytest.mark.parametrize(
    ("text", "elsewhere"),
    [
        ("베란다에서 나온 녹슨 건조대", False),
        ("장화 구멍 났어요", False),
        ("작년에 쓰던 달력 두 개", False),
        ("a cracked flower pot", False),
        ("노트북 배터리 오래 쓰는 법 알려줘", True),
        ("우산 예쁜 거 추천", True),
        ("노트북 뭐 사는 게 좋을까", True),
        ("who invented the umbrella", True),
    ],
)
def test_texts_that_it_was_not_trained_on_are_told_apart(text: str, elsewhere: bool) -> None:
    assert text not in {known for known, _ in training.texts()}
    assert (topic.about_waste(text), topic.about_something_else(text)) == (not elsewhere, elsewhere)
