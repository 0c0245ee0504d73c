"""Signature V4 against the examples of the S3 API Reference."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from emulator.servers.s3.errors import S3Error
from emulator.servers.s3.signature import SKEW, Keys, Moment, Request, canonical, scope_of, sign, sign_headers
from emulator.servers.s3.verify import verify

KEYS = Keys({"AKIAIOSFODNN7EXAMPLE": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}, "us-east-1")
THEN = datetime(2013, 5, 24, tzinfo=UTC)
MOMENT = Moment(THEN, THEN)
SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
CHUNKS = (
    (65536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
    (1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
    (0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
)


def upload(body: bytes) -> Request:
    signed = "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;"
    credential = "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"
    headers = {
        "host": "s3.amazonaws.com",
        "x-amz-date": "20130524T000000Z",
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
        "authorization": f"AWS4-HMAC-SHA256 {credential},SignedHeaders={signed}x-amz-storage-class,Signature={SEED}",
        "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "content-encoding": "aws-chunked",
        "x-amz-decoded-content-length": "66560",
        "content-length": "66824",
    }
    return Request("PUT", "/examplebucket/chunkObject.txt", "", headers, body)


def chunks(letter: bytes = b"a") -> bytes:
    return b"".join(b"%x;chunk-signature=%s\r\n%s\r\n" % (n, s.encode(), letter * n) for n, s in CHUNKS)


def test_the_signed_chunks_of_the_reference_are_taken_apart() -> None:
    assert verify(upload(chunks()), KEYS, MOMENT) == b"a" * 66560


def test_a_changed_chunk_breaks_the_chain() -> None:
    with pytest.raises(S3Error) as error:
        verify(upload(chunks(b"b")), KEYS, MOMENT)
    assert error.value.code == "SignatureDoesNotMatch"


def test_a_dropped_last_chunk_is_incomplete() -> None:
    with pytest.raises(S3Error) as error:
        verify(upload(chunks()[:-90]), KEYS, MOMENT)
    assert error.value.code == "IncompleteBody"


def test_a_presigned_address_of_the_reference_holds_for_its_day() -> None:
    query = (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )
    request = Request("GET", "/test.txt", query, {"host": "examplebucket.s3.amazonaws.com"}, b"")
    assert verify(request, KEYS, MOMENT) == b""
    # Its end is the system's, whose clock may be moved.
    late = datetime(2013, 5, 25, 0, 0, 1, tzinfo=UTC)
    assert verify(request, KEYS, Moment(THEN, late)) == b""
    with pytest.raises(S3Error, match="expired"):
        verify(request, KEYS, Moment(late, THEN))
    # Its beginning may be either's.
    early = THEN - SKEW - timedelta(seconds=1)
    assert verify(request, KEYS, Moment(early, THEN)) == b""
    with pytest.raises(S3Error, match="not valid yet"):
        verify(request, KEYS, Moment(early, early))


def test_what_the_gateway_signs_is_accepted() -> None:
    secret = KEYS.secrets["AKIAIOSFODNN7EXAMPLE"]
    headers = sign_headers(
        "GET", "localhost:1", "/eco2/images/a%20b", "AKIAIOSFODNN7EXAMPLE", secret, "us-east-1", THEN
    )
    assert verify(Request("GET", "/eco2/images/a%20b", "", headers, b""), KEYS, MOMENT) == b""


def signing(*names: str) -> Request:
    """A request whose signature is right for these headers of its four."""
    key, secret = next(iter(KEYS.secrets.items()))
    headers = sign_headers("GET", "localhost:1", "/eco2/a", key, secret, "us-east-1", THEN) | {"x-amz-meta-a": "b"}
    request = Request("GET", "/eco2/a", "", headers, b"")
    stamp, payload = headers["x-amz-date"], headers["x-amz-content-sha256"]
    scope = scope_of(f"{key}/20130524/us-east-1/s3/aws4_request", KEYS, stamp, S3Error(400, "x", "x"))
    signature = sign(scope, stamp, canonical(request, (), names, payload))
    words = f"AWS4-HMAC-SHA256 Credential={key}/{scope.text}, SignedHeaders={';'.join(names)}, Signature={signature}"
    return replace(request, headers=headers | {"authorization": words})


ALL = ("host", "x-amz-content-sha256", "x-amz-date", "x-amz-meta-a")


@pytest.mark.parametrize("left_out", [name for name in ALL if name != "x-amz-content-sha256"])
def test_a_host_and_what_amazon_reads_must_be_signed(left_out: str) -> None:
    assert verify(signing(*ALL), KEYS, MOMENT) == b""
    with pytest.raises(S3Error, match="not signed") as error:
        verify(signing(*(name for name in ALL if name != left_out)), KEYS, MOMENT)
    assert (error.value.status, error.value.code) == (403, "AccessDenied")


def test_a_request_s_own_date_may_be_a_quarter_of_an_hour_from_either_clock() -> None:
    far, near = THEN + SKEW + timedelta(seconds=1), THEN + SKEW
    for moment in (Moment(near, far), Moment(far, near)):
        assert verify(signing(*ALL), KEYS, moment) == b""
    with pytest.raises(S3Error) as error:
        verify(signing(*ALL), KEYS, Moment(far, far))
    assert error.value.code == "RequestTimeTooSkewed"


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        ("1", "SignatureDoesNotMatch"),
        ("604800", "SignatureDoesNotMatch"),
        ("604801", "AuthorizationQueryParametersError"),
        ("0", "AuthorizationQueryParametersError"),
        ("-1", "AuthorizationQueryParametersError"),
        ("x", "AuthorizationQueryParametersError"),
    ],
)
def test_a_presigned_address_holds_for_a_second_to_a_week(seconds: str, code: str) -> None:
    """Within them it is the signature that is looked at, which is of another address."""
    query = (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        f"&X-Amz-Date=20130524T000000Z&X-Amz-Expires={seconds}&X-Amz-SignedHeaders=host&X-Amz-Signature={'a' * 64}"
    )
    with pytest.raises(S3Error) as error:
        verify(Request("GET", "/test.txt", query, {"host": "s3.amazonaws.com"}, b""), KEYS, MOMENT)
    assert error.value.code == code
