"""Dangers that no words name are heard by their letters, also in texts that were never seen"""

import pytest

from functions.ai import dangers
from functions.ai.vocabulary import SITUATIONS
from tests.eval import aspects
from tests.eval import dangers as training


def test_what_is_held_does_not_depend_on_what_is_written_between_words_nor_on_the_end_of_a_long_text() -> None:
    assert dangers.held("Ｈot, wax!") == dangers.held("hot wax")
    long = "가나다라마바사 " * 30
    assert dangers.held(long + "손이 따가워") == dangers.held(long)


@pytest.fixture(scope="module")
def given() -> list[training.Text]:
    return training.texts()


@pytest.mark.parametrize(
    ("text", "danger"),
    [
        ("딸이 머리 염색약을 핥아먹었나 봐요", "swallowed"),
        ("뿌리는 거 쓰다가 눈에 튀어서 눈물이 나", "splashed"),
        ("청소하고 나니까 목이 따갑고 기침이 나요", "fumes"),
        ("콘센트 만지다 찌릿했어", "live_wire"),
        ("발바닥에 조각이 박혔는데 피가 안 멈춰", "bleeding"),
        ("공사하고 나서 가루가 온 집에 풀풀", "dust"),
        ("my cat licked the oven cleaner", "swallowed"),
        ("sparks came out of the plug", "live_wire"),
        ("쓰던 가위 어디에 버려요", None),
        ("강아지가 물어뜯은 방석 버릴게", None),
        ("old dog bed, where does it go?", None),
    ],
)
def test_texts_that_it_was_not_trained_on_are_told_apart(
    text: str, danger: str | None, given: list[training.Text]
) -> None:
    assert text not in {known for known, _ in given}
    assert dangers.judged(text, asks=True) == danger


def test_all_that_it_tells_has_a_line() -> None:
    assert set(dangers.read().kinds) - {dangers.NONE} <= {situation.name for situation in SITUATIONS}
    assert all(situation.name in dangers.read().kinds for situation in SITUATIONS if not situation.all)


def test_the_file_is_what_its_command_makes_of_the_texts(given: list[training.Text]) -> None:
    kept = dangers.read()
    assert kept.data_sha256 == training.linear.data_hash(given), f"the texts have changed: {training.COMMAND}"
    assert aspects.differs(training.train(given, begin=kept), kept) == ""
