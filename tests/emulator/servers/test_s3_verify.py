"""Signature V4 against the examples of the S3 API Reference."""

from datetime import UTC, datetime

import pytest

from emulator.servers.s3.errors import S3Error
from emulator.servers.s3.signature import Keys, Moment, Request, sign_headers
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
    late = datetime(2013, 5, 25, 0, 0, 1, tzinfo=UTC)
    with pytest.raises(S3Error, match="expired"):
        verify(request, KEYS, Moment(late, late))


def test_what_the_gateway_signs_is_accepted() -> None:
    secret = KEYS.secrets["AKIAIOSFODNN7EXAMPLE"]
    headers = sign_headers(
        "GET", "localhost:1", "/eco2/images/a%20b", "AKIAIOSFODNN7EXAMPLE", secret, "us-east-1", THEN
    )
    assert verify(Request("GET", "/eco2/images/a%20b", "", headers, b""), KEYS, MOMENT) == b""
