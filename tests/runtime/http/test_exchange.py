"""What the edge reads of a request's head, and what it puts into the head of an answer: every header, there and not there"""

import time
from typing import Any

import pytest

from runtime.http.admission import Lane
from runtime.http.authentication import PLACE
from runtime.http.exchange import Exchange
from shared import trace

Headers = list[tuple[bytes, bytes]]

NOSNIFF = (b"x-content-type-options", b"nosniff")
NO_REFERRER = (b"referrer-policy", b"no-referrer")
NO_STORE = (b"cache-control", b"no-store")
HSTS = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
TRACE = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"


def exchange(*headers: tuple[bytes, bytes], method: str = "GET", query: bytes = b"") -> tuple[Exchange, list[Any]]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    return Exchange({"method": method, "headers": list(headers), "query_string": query}, send), sent


def start(*headers: tuple[bytes, bytes], status: int = 200) -> Any:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(content: bytes = b"", *, more: bool = False) -> Any:
    return {"type": "http.response.body", "body": content, "more_body": more}


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ([], {"has_body": False, "coded": False, "content_type": b"", "origin": None, "parent": ""}),
        ([(b"content-type", b"text/plain")], {"content_type": b"text/plain", "has_body": False}),
        ([(b"content-length", b"0")], {"has_body": False}),
        ([(b"content-length", b"1")], {"has_body": True}),
        ([(b"transfer-encoding", b"chunked")], {"has_body": True}),
        ([(b"content-encoding", b"gzip")], {"coded": True}),
        ([(b"content-encoding", b"Identity")], {"coded": False}),
        ([(b"origin", b"https://a.example")], {"origin": b"https://a.example"}),
        ([(b"traceparent", TRACE.encode())], {"parent": TRACE}),
        ([(b"x-request-id", b"0123456789abcdef")], {"request_id": "0123456789abcdef"}),
    ],
    ids=str,
)
def test_what_a_head_says_is_known(headers: Headers, says: dict[str, Any]) -> None:
    made, _ = exchange(*headers)
    assert {name: getattr(made, name) for name in says} == says


def test_a_request_goes_on_under_its_trace_and_its_id_and_else_under_new_ones() -> None:
    made, _ = exchange((b"traceparent", TRACE.encode()), (b"x-request-id", b"of-this-request"))
    assert (made.traceparent[3:35], trace.current(), trace.request_id()) == (
        TRACE[3:35],
        made.traceparent,
        "of-this-request",
    )
    assert made.traceparent != TRACE, "a span of its own"
    others = [exchange((b"x-request-id", b"not\nan id"))[0] for _ in range(2)]
    assert (
        len({one.request_id for one in (made, *others)}) == len({one.traceparent[3:35] for one in (made, *others)}) == 3
    )
    assert all(len(one.request_id) == 32 and trace.REQUEST_ID.fullmatch(one.request_id.encode()) for one in others)


@pytest.mark.parametrize(
    ("headers", "query", "more"),
    [
        ([], b"", []),
        ([(b"x-forwarded-proto", b"https")], b"", [HSTS]),
        ([(b"x-forwarded-proto", b"http")], b"", []),
        ([], b"a=1&ticket=2", [NO_REFERRER]),
        ([], b"tickets", []),
    ],
    ids=str,
)
async def test_every_answer_carries_its_id_and_what_a_browser_must_heed(
    headers: Headers, query: bytes, more: Headers
) -> None:
    made, sent = exchange(*headers, query=query)
    assert made.status == 500, "until an answer begins"
    await made.sending(start((b"etag", b"1"), status=203))
    assert made.status == 203
    assert sent == [start((b"etag", b"1"), (b"x-request-id", made.request_id.encode()), NOSNIFF, *more, status=203)]


@pytest.mark.parametrize(
    ("method", "person", "given", "kept"),
    [
        ("GET", None, [], []),
        ("GET", "alias", [], [NO_STORE]),
        ("POST", None, [], [NO_STORE]),
        ("HEAD", None, [], []),
        ("HEAD", "alias", [], [NO_STORE]),
        ("GET", "alias", [(b"cache-control", b"private")], [(b"cache-control", b"private")]),
    ],
)
async def test_nobody_keeps_what_is_a_person_s_or_a_change_s_answer_unless_it_says_so(
    method: str, person: str | None, given: Headers, kept: Headers
) -> None:
    made, sent = exchange(method=method)
    if person:
        made.scope["eco2_user"] = person
    await made.sending(start(*given))
    assert [header for header in sent[0]["headers"] if header[0] == b"cache-control"] == kept


async def test_a_head_is_a_get_whose_content_is_not_sent() -> None:
    made, sent = exchange(method="HEAD")
    assert made.scope["method"] == "GET"
    await made.sending(start())
    assert sent[1:] == [body()], "it ends at once, also where events would go on for hours"
    await made.sending(body(b"content", more=True))
    await made.sending(body(b"content"))
    assert len(sent) == 2
    got, sent = exchange()
    for message in (start(), body(b"content", more=True), body(b"rest")):
        await got.sending(message)
    assert sent[1:] == [body(b"content", more=True), body(b"rest")]


async def test_a_place_is_free_again_when_the_answer_begins() -> None:
    lane = Lane(1)
    made, _ = exchange()
    made.leave()  # it has none yet
    made.scope[PLACE] = lane.take()
    assert lane.take() is None
    await made.sending(start())
    assert lane.taken == 0
    again = lane.take()
    made.leave()
    assert again is not None
    assert lane.taken == 1, "it is given back once"


def test_how_long_a_request_took_counts_from_its_head() -> None:
    before = time.perf_counter()
    made, _ = exchange()
    assert before <= made.started <= time.perf_counter()
