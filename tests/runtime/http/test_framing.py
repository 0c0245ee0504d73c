"""Where a request ends: the last byte inside of each bound, the first one outside, and all that two could read differently"""

import itertools
import string

import pytest

from runtime.http import framing
from runtime.http.framing import MAX_HEAD, MAX_LINE, Chunks, check, head_end, readable
from shared.errors import BadInput, HeadTooLarge, LineTooLong, NotImplementedHere, Problem, VersionNotSupported

LINE = b"GET / HTTP/1.1"
Headers = list[tuple[bytes, bytes]]
HOST: Headers = [(b"host", b"a")]


def line_of(size: int) -> bytes:
    return b"GET /".ljust(size - 9, b"a") + b" HTTP/1.1"


def head_of(size: int) -> bytes:
    return (LINE + b"\r\nA: ").ljust(size - 4, b"a") + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "end"),
    [
        *((LINE + b"\r\n\r\n", 18), (LINE + b"\r\n\r\nbody\n\r\n\r\n", 18), (LINE + b"\r\n\r\n" + b"x" * MAX_HEAD, 18)),
        (b"POST /a HTTP/1.0\r\nA: b\r\n\r\n", 26),
        # Not whole yet.
        *((b"", 0), (b"G", 0), (b"\r", 0), (LINE, 0), (LINE + b"\r", 0), (LINE + b"\r\n", 0), (LINE + b"\r\nA: b\r\n\r", 0)),
        # Up to its bounds.
        *((line_of(MAX_LINE) + b"\r\n\r\n", MAX_LINE + 4), (line_of(MAX_LINE)[:-1], 0), (b"G" * MAX_LINE, 0)),
        *((head_of(MAX_HEAD), MAX_HEAD), (head_of(MAX_HEAD + 4)[:MAX_HEAD], 0)),
    ],
)  # fmt: skip
def test_a_head_ends_at_its_empty_line(data: bytes, end: int) -> None:
    assert head_end(data) == end


@pytest.mark.parametrize(
    ("data", "problem", "says"),
    [
        *((line_of(MAX_LINE + 1) + b"\r\n\r\n", LineTooLong, ""), (b"G" * (MAX_LINE + 1), LineTooLong, "")),
        *((head_of(MAX_HEAD + 1), HeadTooLarge, ""), (head_of(MAX_HEAD + 9)[: MAX_HEAD + 1], HeadTooLarge, "")),
        *((LINE + b"\n", BadInput, "line feed alone"), (LINE + b"\r\nA: b\nC: d\r\n\r\n", BadInput, "line feed alone")),
        (b"\nGET", BadInput, "line feed alone"),
        *((b"\x16\x03", BadInput, "not https://"), (b"\0", BadInput, "a method"), (b"1GET", BadInput, "a method")),
        *((b"GET / HTTP/1.2\r\n", VersionNotSupported, ""), (b"GET / HTTP/1.1 \r\n", VersionNotSupported, "")),
        *((b"GET /\r\n", VersionNotSupported, ""), (b"GET / HTTP/11\r\n", VersionNotSupported, "")),
        *((b"GET / http/1.1\r\n", BadInput, "a method"), (b"hello\r\n", BadInput, "a method")),
    ],
)
def test_what_is_none_or_too_large_is_refused_as_soon_as_it_shows(
    data: bytes, problem: type[Problem], says: str
) -> None:
    with pytest.raises(problem) as raised:
        head_end(data)
    assert says in str(raised.value)


def test_of_an_address_what_is_not_ascii_is_encoded_and_nothing_else() -> None:
    rest = b"\r\nA: \xff\r\n\r\n"
    for line, read in (
        (LINE, LINE),
        ("GET /가?q=%25+&/:#[ HTTP/1.1".encode(), b"GET /%EA%B0%80?q=%25+&/:#[ HTTP/1.1"),
    ):
        assert readable(line + rest) == read + rest
    with pytest.raises(BadInput, match="not UTF-8"):
        readable(b"GET /\xff HTTP/1.1\r\n\r\n")


@pytest.mark.parametrize(
    ("version", "headers", "length"),
    [
        *(("1.1", HOST, 0), ("1.0", [], 0), ("1.1", [(b"host", b"")], 0)),
        *(("1.1", [*HOST, (b"content-length", b"0")], 0), ("1.1", [*HOST, (b"content-length", b"9" * 15)], 10**15 - 1)),
        *(("1.1", [*HOST, (b"transfer-encoding", one)], -1) for one in (b"chunked", b"Chunked")),
        ("1.1", [*HOST, (b"accept", b"a"), (b"accept", b"b")], 0),
        # What concerns the connection alone may be named, also where it is there, and so may what is not there.
        *(
            ("1.1", [*HOST, (name, b"x"), (b"connection", b"Close, " + name.upper())], 0)
            for name in (b"keep-alive", b"upgrade", b"te", b"http2-settings", b"proxy-connection")
        ),
        *(("1.1", [*HOST, (b"connection", one)], 0) for one in (b"close", b"keep-alive", b"", b"close,", b"x-absent")),
        ("1.1", [*HOST, (b"x-other", b"host")], 0),
    ],
)
def test_how_much_follows_a_head_is_said_in_one_way(version: str, headers: Headers, length: int) -> None:
    assert check(version, headers) == length


@pytest.mark.parametrize(
    ("version", "headers", "field"),
    [
        ("1.1", [], "host"),
        *(
            ("1.1", [*HOST, (name, b"1"), (name, b"1")][name == b"host" :], name.decode())
            for name in (b"host", b"content-type", b"content-length", b"transfer-encoding", b"authorization", b"content-encoding")
        ),
        *(("1.1", [*HOST, (b"content-length", one)], "content-length") for one in (b"9" * 16, b"", b"-1", b"1 ", b"1_0")),
        ("1.0", [(b"transfer-encoding", b"chunked")], "transfer-encoding"),
        ("1.1", [*HOST, (b"transfer-encoding", b"chunked"), (b"content-length", b"1")], "transfer-encoding"),
        *(
            ("1.1", [*HOST, (b"x-own", b"1"), (b"connection", one)], "connection")
            for one in (b"x-own", b"X-Own", b"close,x-own", b"close, \tX-OWN\t", b"x-own, close", b"host")
        ),
    ],
)  # fmt: skip
def test_a_head_that_two_could_read_differently_is_refused_by_its_field(
    version: str, headers: Headers, field: str
) -> None:
    with pytest.raises(BadInput) as refused:
        check(version, headers)
    assert [one.field for one in refused.value.errors] == [field]


@pytest.mark.parametrize("coding", [b"gzip", b"identity", b"gzip, chunked", b"chunked, chunked", b""])
def test_a_coding_beside_chunked_is_spoken_by_no_one(coding: bytes) -> None:
    with pytest.raises(NotImplementedHere):
        check("1.1", [*HOST, (b"transfer-encoding", coding)])


def test_a_host_is_made_of_the_characters_of_names_addresses_and_ports() -> None:
    allowed = string.ascii_letters + string.digits + "!$&'()*+,;=._~:@%[]-"
    taken = []
    for number in range(256):
        try:
            check("1.1", [(b"host", bytes([number]))])
        except BadInput:
            continue
        taken.append(number)
    assert taken == sorted(allowed.encode())


BODY = b"3\r\nabc\r\n0000000A\r\n0123456789\r\n1\r\n\n\r\n0\r\n\r\n"


def test_a_body_in_chunks_ends_where_its_last_one_does_however_it_is_cut() -> None:
    whole = BODY + b"GET / HTTP/1.1\r\n"
    for one, other in itertools.combinations_with_replacement(range(len(whole)), 2):
        chunks = Chunks()
        taken = [chunks.take(piece) for piece in (whole[:one], whole[one:other], whole[other:])]
        assert (sum(taken), chunks.done) == (len(BODY), True), (one, other)
    chunks = Chunks()
    assert [chunks.take(BODY[at : at + 1]) for at in range(len(BODY))] == [1] * len(BODY)
    assert chunks.take(b"more") == 0


@pytest.mark.parametrize(
    "body",
    [
        *(b"g\r\n", b"3;a\r\n", b"3 \r\n", b"+3\r\n", b"3\n", b"\r\n", b"000000003\r\n", b"0000000000000", b"3;aaaaaaaaaaaa"),
        *(b"0\r\nA: b\r\n", b"0\r\n0\r\n", b"0\r\n\n", b"1\r\nab\r\n", b"2\r\na\r\n\r\n"),
    ],
)  # fmt: skip
def test_a_chunk_with_anything_but_its_size_is_refused_however_it_is_cut(body: bytes) -> None:
    for cut in range(len(body)):
        chunks = Chunks()
        with pytest.raises(BadInput, match="a chunk with an extension"):
            for piece in (body[:cut], body[cut:], b"\r\n0\r\n\r\n"):
                chunks.take(piece)


def test_the_bounds_are_those_that_clients_are_told() -> None:
    assert (framing.MAX_LINE, framing.MAX_HEAD) == (8192, 32768)
