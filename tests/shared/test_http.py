"""Conditional requests: which ETags name a thing, by which header, and what is answered then"""

from typing import Any

import msgspec
import pytest

from shared.errors import BadInput, Conflict, NotFound, PreconditionFailed, Problem
from shared.http import Conditions, ProblemDocument, problems

THING = {"name": "a"}
TAG = Conditions(None, None).answer(THING).headers["ETag"]
OTHER = '"0123456789abcdef01234567"'


@pytest.mark.parametrize(
    ("header", "weakly", "strongly"),
    [
        *((TAG, True, True), (OTHER, False, False), ("*", True, True), (" * ", True, True), ("", False, False)),
        *((f"W/{TAG}", True, False), (f"W/{OTHER}", False, False)),
        *((f"{OTHER}, {TAG}", True, True), (f"{OTHER},{TAG}", True, True), (f"{TAG} ,{OTHER}", True, True)),
        *((f"{OTHER}, W/{TAG}", True, False), (TAG[1:-1], False, False), (f"{TAG[:-2]}x", False, False)),
    ],
)
def test_what_a_client_has_is_not_sent_again_and_what_it_has_not_seen_is_not_changed(
    header: str, weakly: bool, strongly: bool
) -> None:
    answer = Conditions(header, None).answer(THING)
    assert (answer.status_code, answer.content) == ((304, b"") if weakly else (200, msgspec.json.encode(THING)))
    assert answer.headers == {"ETag": TAG}
    for conditions, passes in (
        (Conditions(None, header), strongly),
        (Conditions(header, None), not weakly),
        (Conditions(header, header), strongly and not weakly),
        (Conditions(OTHER, header), strongly),
        (Conditions(header, TAG), not weakly),
    ):
        assert conditions.given
        if passes:
            conditions.require(THING)
        else:
            with pytest.raises(PreconditionFailed):
                conditions.require(THING)


def test_who_asks_without_a_condition_gets_all_and_may_change_all() -> None:
    free = Conditions(None, None)
    assert not free.given
    free.require(THING)
    assert free.answer(THING).status_code == 200
    # If-Match is a change's: a read with one gets the thing.
    assert Conditions(None, OTHER).answer(THING).status_code == 200


def test_a_thing_s_tag_is_another_after_each_change_and_the_same_before() -> None:
    changed = Conditions(TAG, TAG).changed({"name": "b"})
    assert (changed.status_code, changed.content) == (200, b'{"name":"b"}')
    assert changed.headers["ETag"] not in (TAG, "")
    assert Conditions(None, None).answer({"name": "b"}).headers == changed.headers
    assert len(TAG) == len(OTHER)


class Gone(NotFound):
    """It is gone."""

    type = "urn:eco2:gone"


class Taken(Conflict):
    """It is taken."""

    type = "urn:eco2:taken"


def test_problems_of_one_status_stand_together_each_with_its_example() -> None:
    found = problems(NotFound, Taken, Gone, BadInput)
    assert sorted(found) == [400, 404, 409]

    def examples(status: int) -> list[Any]:
        return [example.value for example in found[status].examples or []]

    kinds: list[type[Problem]] = [NotFound, Gone]
    assert [example["type"] for example in examples(404)] == [kind.type for kind in kinds]
    assert found[404].description == f"{(NotFound.__doc__ or '').strip()} It is gone."
    for status in found:
        assert found[status].data_container is ProblemDocument
        assert found[status].media_type == "application/problem+json"
        assert not found[status].generate_examples
        for example in examples(status):
            assert msgspec.convert(example, ProblemDocument).status == status
    assert [example["errors"] for example in examples(400)] == [[{"field": "name", "message": "is required"}]]
    assert "errors" not in examples(409)[0]


@pytest.mark.parametrize(("known", "names"), [(None, {"content-length", "content-type", "etag"}), (TAG, {"etag"})])
async def test_what_a_client_has_is_named_alone_without_a_length_that_would_be_another_one_s(
    known: str | None, names: set[str]
) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    answer = Conditions(known, None).answer(THING)
    await answer.to_asgi_response(None, None)({}, None, send)  # type: ignore[arg-type]  # it asks for neither
    assert (sent[0]["status"], {name.decode() for name, _ in sent[0]["headers"]}) == (304 if known else 200, names)
    assert sent[1]["body"] == (b"" if known else msgspec.json.encode(THING))
