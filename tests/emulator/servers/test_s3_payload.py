"""Each thing that S3 looks at in a body, its chunks and trailers, and in an upload form: right, and wrong in one place"""

import base64
import hashlib
import json
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from emulator.servers.s3.errors import S3Error
from emulator.servers.s3.payload import plain_body
from emulator.servers.s3.post_policy import verify_post
from emulator.servers.s3.signature import UNSIGNED, Keys, Moment, Request, Scope, hmac_of, signing_key

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STAMP = "20260102T030405Z"
SCOPE = Scope("key", "20260102", "here", signing_key("secret", "20260102", "here"))
KEYS = Keys({"key": "secret"}, "here")
CONTENT = b"hello"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def body(content: bytes, payload: str, **headers: str) -> bytes:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return plain_body(Request("PUT", "/a", "", given, content), payload, SCOPE, STAMP, "seed")


def refused(code: str, act: Callable[[], Any]) -> S3Error:
    with pytest.raises(S3Error) as error:
        act()
    assert error.value.code == code
    return error.value


def test_a_body_is_what_its_hash_says_or_unsigned() -> None:
    assert body(CONTENT, hashlib.sha256(CONTENT).hexdigest()) == CONTENT
    assert body(CONTENT, UNSIGNED) == CONTENT
    refused("XAmzContentSHA256Mismatch", lambda: body(b"other", hashlib.sha256(CONTENT).hexdigest()))
    refused("InvalidArgument", lambda: body(CONTENT, "STREAMING-SOMETHING"))


DIGESTS = {
    "content-md5": hashlib.md5(CONTENT, usedforsecurity=False).digest(),
    "x-amz-checksum-crc32": zlib.crc32(CONTENT).to_bytes(4, "big"),
    "x-amz-checksum-sha1": hashlib.sha1(CONTENT, usedforsecurity=False).digest(),
    "x-amz-checksum-sha256": hashlib.sha256(CONTENT).digest(),
}


@pytest.mark.parametrize("name", DIGESTS)
def test_a_digest_that_comes_with_a_body_is_that_of_the_body(name: str) -> None:
    value = base64.b64encode(DIGESTS[name]).decode()
    assert body(CONTENT, UNSIGNED, **{name: value}) == CONTENT
    refused("BadDigest", lambda: body(b"other", UNSIGNED, **{name: value}))
    refused("BadDigest", lambda: body(CONTENT, UNSIGNED, **{name: value[::-1]}))


def in_chunks(*pieces: bytes, trailer: bytes = b"") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n" + trailer


def test_unsigned_chunks_are_put_together_and_their_trailers_are_looked_at() -> None:
    sha = base64.b64encode(hashlib.sha256(CONTENT).digest())
    trailer = b"x-amz-checksum-sha256:" + sha + b"\r\n\r\n"
    promised = {"x_amz_decoded_content_length": "5", "x_amz_trailer": "x-amz-checksum-sha256"}
    assert body(in_chunks(b"he", b"llo", trailer=trailer), UNSIGNED_TRAILER, **promised) == CONTENT
    for pieces, end, code in (
        ((b"he", b"LLO"), trailer, "BadDigest"),
        ((b"he", b"llo"), b"", "MalformedTrailerError"),
        ((b"he", b"ll"), trailer, "IncompleteBody"),
    ):
        refused(code, partial(body, in_chunks(*pieces, trailer=end), UNSIGNED_TRAILER, **promised))


@pytest.mark.parametrize(
    "content", [b"", b"x\r\nhello\r\n0\r\n", b"9\r\nhello\r\n0\r\n", b"5\r\nhelloX\r\n0\r\n", b"5\r\nhello\r\n"]
)
def test_chunks_that_end_anywhere_else_than_they_say_are_incomplete(content: bytes) -> None:
    refused("IncompleteBody", lambda: body(content, UNSIGNED_TRAILER, x_amz_decoded_content_length="5"))


@pytest.mark.parametrize("length", ["4", "6", "", "05"])
def test_the_length_of_the_content_is_the_one_announced(length: str) -> None:
    refused("IncompleteBody", lambda: body(in_chunks(CONTENT), UNSIGNED_TRAILER, x_amz_decoded_content_length=length))


def signed_chunks(*pieces: bytes) -> tuple[bytes, str]:
    """Chunks in a chain, and the last one's signature."""
    previous, made = "seed", b""
    for piece in (*pieces, b""):
        words = ("AWS4-HMAC-SHA256-PAYLOAD", STAMP, SCOPE.text, previous, hashlib.sha256(b"").hexdigest())
        previous = hmac_of(SCOPE.key, "\n".join((*words, hashlib.sha256(piece).hexdigest()))).hex()
        made += b"%x;chunk-signature=%s\r\n%b" % (len(piece), previous.encode(), piece and piece + b"\r\n")
    return made, previous


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ((b"", b""), None),
        ((b"checksum-crc32:", b"checksum-crc32:A"), "SignatureDoesNotMatch"),
        ((b"trailer-signature:", b"trailer-signature:0"), "SignatureDoesNotMatch"),
        ((b"x-amz-trailer-signature", b"x-amz-other"), "SignatureDoesNotMatch"),
    ],
)
def test_signed_trailers_belong_to_the_chunks_before_them(change: tuple[bytes, bytes], code: str | None) -> None:
    made, last = signed_chunks(b"he", b"llo")
    crc = base64.b64encode(zlib.crc32(CONTENT).to_bytes(4, "big"))
    trailer = b"x-amz-checksum-crc32:" + crc
    hashed = hashlib.sha256(trailer + b"\n").hexdigest()
    signature = hmac_of(SCOPE.key, "\n".join(("AWS4-HMAC-SHA256-TRAILER", STAMP, SCOPE.text, last, hashed))).hex()
    end = trailer + b"\r\nx-amz-trailer-signature:" + signature.encode() + b"\r\n\r\n"
    headers = {"x_amz_decoded_content_length": "5", "x_amz_trailer": "x-amz-checksum-crc32"}

    def act() -> bytes:
        return body(made + end.replace(*change), "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", **headers)

    if code is None:
        assert act() == CONTENT
    else:
        refused(code, act)


CONDITIONS: list[Any] = [
    {"bucket": "ours"},
    ["eq", "$key", "raw/a"],
    ["starts-with", "$Content-Type", "image/"],
    ["content-length-range", 5, 10],
    {"x-amz-algorithm": "AWS4-HMAC-SHA256"},
    {"x-amz-credential": "key/20260102/here/s3/aws4_request"},
    {"x-amz-date": STAMP},
]
FIELDS = {
    "key": "raw/a",
    "content-type": "image/jpeg",
    "x-amz-algorithm": "AWS4-HMAC-SHA256",
    "x-amz-credential": "key/20260102/here/s3/aws4_request",
    "x-amz-date": STAMP,
}


def posted(
    document: Any = None,
    *,
    size: int = 5,
    bucket: str = "ours",
    at: datetime = NOW,
    signed_with: bytes = SCOPE.key,
    **changes: Any,
) -> None:
    """Post a form whose fields are right but for the changes; None leaves a field out."""
    document = document or {"expiration": "2026-01-02T03:04:05Z", "conditions": CONDITIONS}
    encoded = document if isinstance(document, str) else base64.b64encode(json.dumps(document).encode()).decode()
    fields = FIELDS | {"policy": encoded, "x-amz-signature": hmac_of(signed_with, encoded).hex()}
    fields |= {name.replace("_", "-"): value for name, value in changes.items()}
    left = {name: value for name, value in fields.items() if value is not None}
    verify_post(left, bucket, size, KEYS, Moment(at, at))


def test_a_form_is_taken_to_its_last_second_and_with_the_smallest_and_the_largest_file() -> None:
    posted()
    posted(size=10, x_ignore_me="anything")
    refused("AccessDenied", lambda: posted(at=NOW + timedelta(seconds=1)))
    too_small, too_large = (
        refused("EntityTooSmall", lambda: posted(size=4)),
        refused("EntityTooLarge", lambda: posted(size=11)),
    )
    assert too_small.status == too_large.status == 400
    assert too_small.extra == {"ProposedSize": "4", "MinSizeAllowed": "5"}
    assert too_large.extra == {"ProposedSize": "11", "MaxSizeAllowed": "10"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        *(
            ({name: None}, "InvalidArgument")
            for name in ("x_amz_algorithm", "x_amz_credential", "x_amz_date", "x_amz_signature")
        ),
        ({"policy": None}, "AccessDenied"),
        ({"x_amz_algorithm": "AWS4-ECDSA"}, "InvalidArgument"),
        ({"x_amz_credential": "key/20260103/here/s3/aws4_request"}, "InvalidArgument"),
        ({"x_amz_credential": "key/20260102/there/s3/aws4_request"}, "InvalidArgument"),
        ({"x_amz_credential": "another/20260102/here/s3/aws4_request"}, "InvalidAccessKeyId"),
        ({"signed_with": b"another"}, "SignatureDoesNotMatch"),
        ({"bucket": "another"}, "AccessDenied"),
        ({"key": "raw/ab"}, "AccessDenied"),
        ({"key": None}, "AccessDenied"),
        ({"content_type": "text/image/"}, "AccessDenied"),
        ({"acl": "public-read"}, "AccessDenied"),
    ],
    ids=str,
)
def test_a_form_that_is_wrong_in_one_place_is_refused(changes: dict[str, Any], code: str) -> None:
    refused(code, lambda: posted(**changes))


@pytest.mark.parametrize(
    "policy",
    [
        "no base64",
        base64.b64encode(b"{").decode(),
        {"conditions": CONDITIONS},
        {"expiration": "2026-01-02T03:04:05Z"},
        {"expiration": "2026-01-02T03:04:05", "conditions": CONDITIONS},
        {"expiration": "soon", "conditions": CONDITIONS},
        {"expiration": "2026-01-02T03:04:05Z", "conditions": [["matches", "$key", "a"]]},
        {"expiration": "2026-01-02T03:04:05Z", "conditions": [["eq", "key", "a"]]},
        {"expiration": "2026-01-02T03:04:05Z", "conditions": [[1, "$key", "a"]]},
        {"expiration": "2026-01-02T03:04:05Z", "conditions": [["content-length-range", "a", "b"]]},
        {"expiration": "2026-01-02T03:04:05Z", "conditions": [{"key": "a", "acl": "b"}]},
    ],
    ids=str,
)
def test_a_policy_that_is_none_is_said(policy: Any) -> None:
    refused("InvalidPolicyDocument", lambda: posted(policy))
