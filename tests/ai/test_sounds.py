"""Words that sound alike."""

import pytest

from functions.ai.sounds import folded


@pytest.mark.parametrize(
    ("written", "meant"),
    [("텔레비젼", "텔레비전"), ("플라스틱 빨때", "플라스틱 빨대"), ("김치찌게", "김치찌개"), ("악세서리", "악세써리")],
)
def test_what_sounds_alike_is_one(written: str, meant: str) -> None:
    assert folded(written) == folded(meant)
    assert len(folded(written)) == len(written)


@pytest.mark.parametrize(("one", "other"), [("냉장고", "냉동고"), ("굴 껍데기", "귤 껍데기"), ("can", "cap")])
def test_what_sounds_different_stays_two(one: str, other: str) -> None:
    assert folded(one) != folded(other)
