"""What of a result is kept and sent: as deep and as large as is allowed, and an error's two parts"""

import pytest

from runtime.delivery.envelope import storable
from runtime.journal import results
from runtime.journal.results import NotJson, checked_json, hash_result, split_error


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (None, None),
        ("no-image: It is none: sorry.", {"code": "no-image", "message": "It is none: sorry."}),
        ("internal", {"code": "internal", "message": "internal"}),
    ],
)
def test_an_error_is_a_code_and_a_sentence(text: str | None, parts: dict[str, str] | None) -> None:
    assert split_error(text) == parts


def test_a_result_s_hash_is_of_all_its_parts() -> None:
    error = {"code": "a", "message": "b"}
    others = [
        ("success", None, None, None),
        ("failure", None, None, None),
        ("success", {"a": 1}, None, None),
        ("success", None, {"a": 1}, None),
        ("failure", None, None, error),
        ("failure", None, None, error | {"message": "c"}),
    ]
    assert len({hash_result(*one) for one in others}) == len(others)  # type: ignore[arg-type]  # mypy joins the rows' fields to `object`
    assert hash_result(*others[0]) == hash_result(*others[0])  # type: ignore[arg-type]  # as the line above


def test_a_result_may_be_as_deep_and_as_large_as_is_allowed_and_no_more() -> None:
    deep: list[object] = []
    for _ in range(results._MAX_DEPTH):
        deep = [deep]
    assert checked_json(deep) == "[" * (results._MAX_DEPTH + 1) + "]" * (results._MAX_DEPTH + 1)
    with pytest.raises(NotJson, match="levels deep"):
        checked_json([deep])
    with pytest.raises(NotJson, match="levels deep"):
        checked_json({"a": deep})
    text = "x" * (results.MAX_RESULT_BYTES - 2)
    assert len(checked_json(text)) == results.MAX_RESULT_BYTES
    with pytest.raises(NotJson):
        checked_json(text + "x")


def test_an_error_s_sentence_is_one_that_every_store_takes() -> None:
    assert storable("a\x00b\ud800c") == "ab?c"
    assert storable("가" * 3000) == "가" * 2000
