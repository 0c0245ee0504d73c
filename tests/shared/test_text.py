"""Rules for text that people send"""

import re

import pytest

from shared.text import LINE, SEEN, said


@pytest.mark.parametrize(
    "text", ["a", " a ", "\n집", "😀", "\u202e\u05d0", "👩\u200d👩\u200d👧", "\u200b가", "\u1100\u1161", "."]
)
def test_what_can_be_seen_is_taken_whatever_is_around_it(text: str) -> None:
    assert re.search(SEEN, text)


@pytest.mark.parametrize(
    "text", ["", " ", "\t\n", "\u3164", "\u200b\ufeff", "\u202e\u202c", "\xa0", "\x01", "a\x00", "\x00"]
)
def test_what_no_one_sees_and_u_0000_are_refused_in_words(text: str) -> None:
    assert not re.search(SEEN, text)
    assert said(SEEN) == "must have something that can be seen, and no U+0000"


@pytest.mark.parametrize("text", ["초록이", " a ", "😀", "👩\u200d👩\u200d👧", "\u05d0\u05d1", "\u200f\u05d0", "."])
def test_a_line_that_others_see_is_taken_in_any_script(text: str) -> None:
    assert re.search(LINE, text)


@pytest.mark.parametrize(
    "text",
    ["", " ", "ㅤ", "a\x00", "a\nb", "a\n", "\na", "a\rb", "a\u2028b", "a\x85", "\u202eabc", "a\u2066b", "a\u202c"],
)
def test_a_line_ends_where_it_ends_and_turns_nothing_after_it(text: str) -> None:
    assert not re.search(LINE, text)
