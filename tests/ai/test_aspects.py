"""What is asked is told from what is only told, also in texts that were never seen"""

import pytest

from functions.ai import aspects
from functions.ai.facts import Facts
from tests.eval import aspects as training
from tests.eval import marked


def read(text: str) -> Facts:
    return Facts(text, "ko", ())


def test_names_are_one_sign_each_and_runs_do_not_depend_on_what_is_written_between() -> None:
    fact = read("캔에 재가, 들었어")
    found = aspects.held(fact, [(0, 1, False), (3, 4, True)], follows=False)
    assert found == aspects.held(read("병에 모래가 들었어"), [(0, 1, False), (3, 5, True)], follows=False)
    assert {"□에", "△가", "$:었어", "^:□에"} <= found
    assert aspects.held(fact, (), follows=True) - aspects.held(fact, (), follows=False) == {"follows"}


def test_what_words_hear_counts_with_the_letters_and_not_what_a_thing_is_called() -> None:
    text = "라벨 안 뗀 병 헹궈서 플라스틱에 버려도 돼?"
    found = aspects.held(read(text), [(text.index("병"), text.index("병") + 1, False)], follows=False)
    assert {"heard:rinse", "heard:label", "says:bin", "says:disposal", "polar:True open:False", "part:label"} <= found
    name = aspects.held(read("세척 솔 어디 버려"), [(0, 4, False)], follows=False)
    assert not any(one.startswith("heard:") for one in name)


@pytest.mark.parametrize(
    ("line", "heard", "asked"),
    [
        ("다 씻어놨는데 [참기름 병] 어디에 넣어요", ["rinse"], ()),
        ("[라면 냄비] 물로 한번 헹굴 정도면 되나요", ["rinse"], ("rinse",)),
        ("[접이식 의자] 변기 옆에 있던 건데 어디로 버려야 하나요", ["toilet"], ()),
        ("[우유팩] 납작하게 만들어서 내야 하나요", [], ("crush",)),
        ("[국물] 변기에 부어도 되나요", ["toilet"], ("toilet",)),
    ],
)
def test_what_is_asked_is_heard_and_what_is_told_is_not(line: str, heard: list[str], asked: tuple[str, ...]) -> None:
    said = marked.line(line)
    assert said.text not in {known.text for known in training.texts()}
    names = [(*span, told) for span, told in said.names]
    assert aspects.asked(heard, read(said.text), names, follows=False) == asked


def test_where_a_thing_goes_and_what_is_no_kind_of_the_lines_stay_as_words_say() -> None:
    assert aspects.asked(["bag", "local"], read("캔 어디에 버려요"), [(0, 1, False)], follows=False) == ("bag", "local")


def test_the_file_is_what_its_command_makes_of_the_lines() -> None:
    given = training.texts()
    kept = aspects.read()
    assert kept.data_sha256 == training.linear.data_hash(given), f"the lines have changed: {training.COMMAND}"
    assert training.differs(training.train(given, begin=kept), kept) == ""
