"""A signed request and a presigned address: right, and wrong in one place at a time"""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from emulator.servers.s3.errors import S3Error
from emulator.servers.s3.signature import (
    EMPTY,
    UNSIGNED,
    Keys,
    Moment,
    Request,
    Scope,
    canonical,
    parse_query,
    sign,
    signing_key,
)
from emulator.servers.s3.verify import verify

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STAMP = "20260102T030405Z"
KEYS, MOMENT = Keys({"key": "secret"}, "here"), Moment(NOW, NOW)
SCOPE = Scope("key", "20260102", "here", signing_key("secret", "20260102", "here"))
CREDENTIAL = f"key/{SCOPE.text}"
CREDENTIALS = [
    ("key/20260102/here/s3", None),
    ("key/20260102/here/s3/aws4_other", None),
    ("key/20260103/here/s3/aws4_request", None),
    ("key/20260102/here/ec2/aws4_request", None),
    ("key/20260102/there/s3/aws4_request", None),
    ("another/20260102/here/s3/aws4_request", "InvalidAccessKeyId"),
    ("a/nother/20260102/here/s3/aws4_request", "InvalidAccessKeyId"),
]


def signed(**changes: Any) -> Request:
    """A request with a signature in its header; `changes` are made after signing, None leaves out."""
    headers = {"host": "s3", "x-amz-date": STAMP, "x-amz-content-sha256": EMPTY}
    names = sorted(headers)
    signature = sign(SCOPE, STAMP, canonical(Request("GET", "/a", "", headers, b""), (), names, EMPTY))
    parts = {"Credential": CREDENTIAL, "SignedHeaders": ";".join(names), "Signature": signature}
    scheme = changes.pop("scheme", "AWS4-HMAC-SHA256")
    query = changes.pop("query", "")
    headers |= changes.pop("headers", {})
    for name, value in changes.items():
        parts[name] = value
    words = ", ".join(f"{name}={value}" for name, value in parts.items() if value is not None)
    given = {name: value for name, value in headers.items() if value is not None}
    return Request("GET", "/a", query, given | {"authorization": f"{scheme} {words}"}, b"")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"scheme": "AWS"}, "InvalidRequest"),
        *(({name: None}, "AuthorizationHeaderMalformed") for name in ("Credential", "SignedHeaders", "Signature")),
        *(({"Credential": wrong}, code or "AuthorizationHeaderMalformed") for wrong, code in CREDENTIALS),
        ({"Signature": "0" * 64}, "SignatureDoesNotMatch"),
        ({"query": "a=1"}, "SignatureDoesNotMatch"),
        ({"query": "X-Amz-Signature=1"}, "InvalidArgument"),
        ({"headers": {"x-amz-date": None}}, "AccessDenied"),
        ({"headers": {"x-amz-date": "yesterday"}}, "AccessDenied"),
        ({"headers": {"x-amz-content-sha256": None}}, "InvalidRequest"),
        ({"headers": {"x-amz-content-sha256": UNSIGNED}}, "SignatureDoesNotMatch"),
        ({"headers": {"x-amz-acl": "public-read"}}, "AccessDenied"),
    ],
    ids=str,
)
def test_a_signed_request_is_refused_for_one_thing_that_is_wrong(changes: dict[str, Any], code: str) -> None:
    assert verify(signed(), KEYS, MOMENT) == b""
    refused(code, lambda: verify(signed(**changes), KEYS, MOMENT))


def refused(code: str, act: Callable[[], Any]) -> dict[str, str]:
    """What is told beside the code and the message."""
    with pytest.raises(S3Error) as error:
        act()
    assert error.value.code == code
    return error.value.extra


def presigned(
    body: bytes = b"", more: str = "", headers: dict[str, str] | None = None, names: str = "host", **changes: str | None
) -> Request:
    """A request to a presigned address; `changes` are parameters of it that are signed with it."""
    fields = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": CREDENTIAL.replace("/", "%2F"),
        "X-Amz-Date": STAMP,
        "X-Amz-Expires": "60",
        "X-Amz-SignedHeaders": names.replace(";", "%3B"),
    }
    fields |= {name.replace("_", "-"): value for name, value in changes.items() if value is not None}
    left = [name.replace("_", "-") for name, value in changes.items() if value is None]
    query = "&".join(f"{name}={value}" for name, value in fields.items() if name not in left)
    given = {"host": "s3"} | (headers or {})
    payload = given.get("x-amz-content-sha256", UNSIGNED) if "x-amz-content-sha256" in names else UNSIGNED
    made = Request("PUT", "/a", query, given, body)
    signature = sign(SCOPE, STAMP, canonical(made, parse_query(query), names.split(";"), payload))
    if "X-Amz-Signature" not in left:
        query += f"&X-Amz-Signature={signature}"
    return Request("PUT", "/a", query + more, given, body)


QUERY = "AuthorizationQueryParametersError"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        *(
            ({name: None}, QUERY)
            for name in (
                "X_Amz_Algorithm",
                "X_Amz_Credential",
                "X_Amz_Date",
                "X_Amz_Expires",
                "X_Amz_SignedHeaders",
                "X_Amz_Signature",
            )
        ),
        ({"more": "&X-Amz-Date=20260102T030405Z"}, QUERY),
        ({"more": "&a=1"}, "SignatureDoesNotMatch"),
        ({"X_Amz_Algorithm": "AWS4-ECDSA"}, QUERY),
        ({"X_Amz_Date": "yesterday"}, QUERY),
        ({"X_Amz_Date": "20260102"}, QUERY),
        *(({"X_Amz_Credential": wrong}, code or QUERY) for wrong, code in CREDENTIALS),
        ({"X_Amz_Security_Token": "x"}, "InvalidToken"),
        ({"headers": {"x-amz-acl": "public-read"}}, "AccessDenied"),
    ],
    ids=str,
)
def test_a_presigned_address_is_refused_for_one_thing_that_is_wrong(changes: dict[str, Any], code: str) -> None:
    assert verify(presigned(b"any"), KEYS, MOMENT) == b"any"
    refused(code, lambda: verify(presigned(**changes), KEYS, MOMENT))


def test_a_presigned_address_binds_a_body_whose_hash_was_signed_and_no_other() -> None:
    hashed, names = {"x-amz-content-sha256": hashlib.sha256(b"this").hexdigest()}, "host;x-amz-content-sha256"
    assert verify(presigned(b"this", headers=hashed, names=names), KEYS, MOMENT) == b"this"
    assert verify(presigned(b"any", headers=hashed), KEYS, MOMENT) == b"any", "unsigned it binds nothing"
    unsigned = {"x-amz-content-sha256": UNSIGNED}
    assert verify(presigned(b"any", headers=unsigned, names=names), KEYS, MOMENT) == b"any"
    refused("XAmzContentSHA256Mismatch", lambda: verify(presigned(b"that", headers=hashed, names=names), KEYS, MOMENT))


def at(hours: int) -> Moment:
    return Moment(NOW + timedelta(hours=hours), NOW + timedelta(hours=hours))


def test_what_is_refused_names_what_was_sent_and_what_would_be_right() -> None:
    late, early = {"ServerTime": "2026-01-02T04:04:05Z"}, {"ServerTime": "2026-01-02T02:04:05Z"}
    assert refused("RequestTimeTooSkewed", lambda: verify(signed(), KEYS, at(1))) == late | {
        "RequestTime": STAMP,
        "MaxAllowedSkewMilliseconds": "900000",
    }
    assert refused("AccessDenied", lambda: verify(presigned(), KEYS, at(-1))) == early
    assert refused("AccessDenied", lambda: verify(presigned(), KEYS, at(1))) == late | {
        "X-Amz-Expires": "60",
        "Expires": "2026-01-02T03:05:05Z",
    }
    unsigned = signed(headers={"x-amz-acl": "private"})
    assert refused("AccessDenied", lambda: verify(unsigned, KEYS, MOMENT)) == {"HeadersNotSigned": "x-amz-acl"}
    for wrong, told in (("key/20260102/there", {"Region": "here"}), ("a/20260102/here", {"AWSAccessKeyId": "a"})):
        request = signed(Credential=f"{wrong}/s3/aws4_request")
        code = "InvalidAccessKeyId" if "AWSAccessKeyId" in told else "AuthorizationHeaderMalformed"
        assert refused(code, lambda request=request: verify(request, KEYS, MOMENT)) == told


def test_without_any_signature_nothing_is_given() -> None:
    refused("AccessDenied", lambda: verify(Request("GET", "/a", "a=1", {"host": "s3"}, b""), KEYS, MOMENT))
