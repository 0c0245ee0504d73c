"""Waste is told from other topics, also in texts that were never seen"""

import pytest

from functions.ai import topic
from tests.eval import topic as training


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
