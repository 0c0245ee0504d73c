"""Answers that are given again: to whom, for how long, and how many are kept"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from msgspec import structs
from redis import Redis

from functions.ai.cache import DISTANCE, KEPT, TONES, Cache, Look, question_key
from shared.ids import new_id
from shared.messages import Candidate, Classification
from shared.redis import connect

Later = Callable[[float], AbstractContextManager[None]]
LOOK = Look(0x0F0F_F0F0_1234_5678, bytes([100] * 768))
GLASS = Classification("glass", 0.9, [Candidate("glass", 0.9)], "openai", "some-model")


@pytest.fixture
def client(cache_url: str) -> Iterator[Redis]:
    with connect(cache_url) as client:
        yield client


@pytest.fixture
def answers(client: Redis) -> Cache:
    return Cache(client)


@pytest.fixture
def model() -> str:
    return f"model-{new_id().hex}"


def flipped(bits: int) -> Look:
    """The same picture with so many other bits, each in another part of the hash."""
    return structs.replace(LOOK, bits=LOOK.bits ^ sum(1 << 16 * number for number in range(bits)))


def toned(by: int) -> Look:
    return structs.replace(LOOK, tones=LOOK.tones[:-1] + bytes([LOOK.tones[-1] + by]))


def test_photos_that_differ_in_one_bit_more_or_one_tone_more_are_two() -> None:
    for bits, found in ((0b111, DISTANCE), (0b1111, None)):  # all in one part, so that the others find it
        assert LOOK.distance(structs.replace(LOOK, bits=LOOK.bits ^ bits)) == found
    for by, found in ((TONES, 0), (TONES + 1, None), (-TONES, 0), (-TONES - 1, None)):
        assert LOOK.distance(toned(by)) == found
    assert LOOK.distance(structs.replace(LOOK, tones=LOOK.tones[:-1])) is None


def test_an_answer_is_given_again_under_its_own_key_and_kind_alone(answers: Cache, model: str) -> None:
    answers.put(f"photo:{model}", "key", GLASS)
    assert answers.get(f"photo:{model}", "key", Classification) == GLASS
    assert answers.get(f"photo:{model}", "another", Classification) is None
    assert answers.get(f"question:{model}", "key", Classification) is None
    assert answers.get(f"photo:{model}-2", "key", Classification) is None


def test_an_answer_is_as_old_as_the_systems_clock_says(answers: Cache, model: str, later: Later) -> None:
    answers.put(model, "key", GLASS)
    answers.put_near(model, LOOK, GLASS)
    with later(KEPT - 60):
        assert answers.get(model, "key", Classification) == GLASS
        assert answers.near(model, LOOK) == GLASS
    with later(KEPT + 1):
        assert answers.get(model, "key", Classification) is None
        assert answers.near(model, LOOK) is None


def test_nothing_is_kept_for_ever(answers: Cache, client: Redis, model: str) -> None:
    answers.put(model, "key", GLASS)
    answers.put_near(model, LOOK, GLASS)
    names = list(client.scan_iter(f"*{model}*", count=1000))
    assert len(names) == 1 + DISTANCE + 1
    assert all(0 < int(str(client.ttl(name))) <= KEPT for name in names)


def test_a_plain_picture_with_many_relatives_makes_no_long_list(answers: Cache, client: Redis, model: str) -> None:
    for number in range(70):
        answers.put_near(model, toned(number), GLASS)
    lengths = [client.llen(str(name)) for name in client.scan_iter(f"*{model}*", count=1000)]
    assert lengths == [64] * (DISTANCE + 1)


@pytest.mark.parametrize(
    ("other", "same"),
    [(flipped(DISTANCE), True), (flipped(DISTANCE + 1), False), (toned(TONES), True), (toned(TONES + 1), False)],
)
def test_a_photo_that_differs_by_more_is_another_one(answers: Cache, model: str, other: Look, same: bool) -> None:
    answers.put_near(model, LOOK, GLASS)
    assert (answers.near(model, other) is not None) == same
    assert answers.near(f"{model}-2", LOOK) is None


def test_of_two_that_look_the_same_the_nearer_one_answers(answers: Cache, model: str) -> None:
    paper = structs.replace(GLASS, waste_type="paper")
    for bits, answer in ((3, GLASS), (1, paper), (2, GLASS)):
        answers.put_near(model, flipped(bits), answer)
    assert answers.near(model, LOOK) == paper


def test_a_question_is_the_same_in_any_form_and_another_behind_other_words() -> None:
    assert question_key("user", "  유리병은\n어떻게? ") == question_key("user", "유리병은 어떻게?")
    assert question_key("user", "it", "user", "a glass?") != question_key("user", "a glass?")
    assert question_key("user", "a b") != question_key("user a", "b")
    assert question_key("user", "ab") != question_key("usera", "b"), "nor by where one ends and the next begins"


def test_what_another_version_has_written_is_nothing(answers: Cache, client: Redis, model: str) -> None:
    client.set(f"ai:{model}:key", b'{"at": 1}')
    assert answers.get(model, "key", Classification) is None
