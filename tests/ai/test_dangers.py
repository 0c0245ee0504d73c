"""Every danger, in phrasings of both languages (`dangers.tsv`): the answer begins with what keeps people safe."""

from collections import defaultdict
from pathlib import Path

import pytest

from functions.ai.facts import Language
from functions.ai.interfaces import Question
from functions.ai.questions import EmbeddedQuestions
from functions.ai.retrieval import Neighbours
from functions.ai.vocabulary import SITUATIONS
from shared.calls import Calls


def _phrasings() -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for line in Path(__file__).with_name("dangers.tsv").read_text(encoding="utf-8").splitlines():
        name, text = line.split("\t")
        found[name].append(text)
    return found


PHRASINGS = _phrasings()
LINES = {situation.name: situation for situation in SITUATIONS}


def _language(text: str) -> Language:
    return "en" if text.isascii() else "ko"


@pytest.mark.parametrize("name", sorted(PHRASINGS))
def test_the_first_line_keeps_people_safe(known: Calls, name: str) -> None:
    provider = EmbeddedQuestions(Neighbours(known))
    wrong = []
    for text in PHRASINGS[name]:
        answer = provider.answer(Question(text), lambda *_: None)
        first = answer.text.partition("\n")[0]
        if first != LINES[name].line(_language(text)):
            wrong.append(f"{text}: {first}")
    assert not wrong, "\n".join(wrong)


def test_every_danger_is_asked_in_both_languages() -> None:
    for name in LINES:
        korean = sum(not text.isascii() for text in PHRASINGS[name])
        assert korean >= 2, name
        assert len(PHRASINGS[name]) - korean >= 2, name
