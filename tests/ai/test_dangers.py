"""Every danger, in phrasings of both languages (`dangers.tsv`): the answer begins with what keeps people safe."""

from collections import defaultdict
from pathlib import Path

import pytest

from functions.ai.facts import Language
from functions.ai.interfaces import Question
from functions.ai.polarity import is_worded
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
        line = LINES[name].line(_language(text))
        if first != line and not (first.startswith(f"{line} ") and is_worded(first.removeprefix(f"{line} "))):
            wrong.append(f"{text}: {first}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("라이터 가스 남았는데 종량제에 넣어도 되나요", "아니요, 가스가 남은 채로 버리지 마세요"),
        ("깨진 소주병 재활용 되나요", "아니요, "),
        ("can I pour paint thinner down the drain?", "No, "),
        # A yes is of the thing as it mostly is, and a no to a danger is none at all.
        ("뜨거운 식용유를 페트병에 바로 부어도 되나요", ""),
        ("병 주둥이가 깨진 소주병은 마트에 가져가도 되나요", ""),
        ("깨진 유리 종량제봉투에 넣어도 되나요", ""),
        ("스프레이 남은 거 구멍 뚫어도 되나요", ""),
        ("hot charcoal in the trash?", ""),
        ("깨진 유리 만져도 위험하지 않죠", ""),
    ],
)
def test_a_no_to_what_is_asked_for_follows_in_the_same_line(known: Calls, text: str, said: str) -> None:
    first = EmbeddedQuestions(Neighbours(known)).answer(Question(text), lambda *_: None).text.partition("\n")[0]
    line = next(line for one in SITUATIONS if first.startswith(line := one.line(_language(text))))
    after = first.removeprefix(line).strip()
    assert after.startswith(said)
    assert bool(after) == bool(said)


def test_every_danger_is_asked_in_both_languages() -> None:
    for name in LINES:
        korean = sum(not text.isascii() for text in PHRASINGS[name])
        assert korean >= 2, name
        assert len(PHRASINGS[name]) - korean >= 2, name
