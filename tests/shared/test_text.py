"""Rules for text that people send"""

import re

import pytest

from shared.text import SEEN, said


@pytest.mark.parametrize("text", ["a", " a ", "\n집", "😀", "\u202eא", "👩‍👩‍👧", "\u200b가", "\u1100\u1161", "."])
def test_what_can_be_seen_is_taken_whatever_is_around_it(text: str) -> None:
    assert re.search(SEEN, text)


@pytest.mark.parametrize(
    "text", ["", " ", "\t\n", "\u3164", "\u200b\ufeff", "\u202e\u202c", "\xa0", "\x01", "a\x00", "\x00"]
)
def test_what_no_one_sees_and_u_0000_are_refused_in_words(text: str) -> None:
    assert not re.search(SEEN, text)
    assert said(SEEN) == "must have something that can be seen, and no U+0000"
