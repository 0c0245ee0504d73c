"""Bodies as the dashboard shows them: bounded, and without what opens something."""

import pytest

from emulator.network.bodies import KEPT, SHOWN, Kept, masked

SECRET = "do-not-show"


@pytest.mark.parametrize(
    "body",
    [
        f'{{"username": "mina", "password": "{SECRET}"}}',
        f'{{"access_token": "{SECRET}", "expires_in": 900}}',
        f'{{"fields": {{"policy": "{SECRET}", "x-amz-signature": "{SECRET}", "key": "{SECRET}"}}}}',
        f'{{"tokens": ["{SECRET}", {{"a": "{SECRET}"}}]}}',
        f'{{"p\\u0061ssword": "{SECRET}"}}',
        f'{{"code": "{SECRET}"}}',
        f'{{"url": "http://x/?X-Amz-Signature={SECRET}&b=1"}}',
        '{"note": "eyJhbGciOi.do-not-show.do-not-show"}',
    ],
)
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "cut"])
def test_what_opens_something_is_masked(body: str, whole: bool) -> None:
    assert SECRET not in masked(body.encode() if whole else body.encode()[:-1], whole=whole)


def test_a_secret_whose_end_is_cut_off_is_masked_too() -> None:
    assert masked(b'{"a": 1, "password": "do-not-', whole=False) == '{"a": 1, "password": "\N{HORIZONTAL ELLIPSIS}"'


def test_what_is_no_secret_is_shown() -> None:
    body = b'{"username":"mina","error_code":"internal","status":202,"items":[{"name":"can"}]}'
    assert masked(body) == body.decode()


def test_a_long_body_is_shown_in_part_with_its_size() -> None:
    kept = Kept()
    for _ in range(100):
        kept.add(b'{"a": "' + b"x" * 1000 + b'"}\n')
    shown = kept.shown("application/json; charset=utf-8")
    assert shown is not None
    assert len(shown) < SHOWN + 50
    assert f"({kept.size} bytes)" in shown
    assert kept.size > KEPT


def test_no_body_is_none_and_bytes_are_only_counted() -> None:
    kept = Kept()
    assert kept.shown("application/json") is None
    kept.add(b"\xff\xd8\xff")
    assert kept.shown("image/jpeg") == "(3 bytes of image/jpeg)"


def test_of_a_whole_body_all_is_shown_but_what_opens_something() -> None:
    kept = Kept()
    for piece in (b'{"session": {"id": 1,', b' "by": null}, "kind": 2}'):
        kept.add(piece)
    assert kept.shown("application/json") == '{"session":{"id":"…","by":null},"kind":2}'
