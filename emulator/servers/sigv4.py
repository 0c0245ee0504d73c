"""AWS Signature Version 4 as S3 checks it: in the Authorization header, in a presigned query, in a POST policy, in
chunks.

Source: "Authenticating Requests (AWS Signature Version 4)" in the Amazon S3 API Reference. moto checks none of this,
so a client that works only against moto may be refused by S3; here it is refused first, with S3's own codes and
words.
"""

import base64
import binascii
import hashlib
import hmac
import io
import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote

ALGORITHM = "AWS4-HMAC-SHA256"
SKEW = timedelta(minutes=15)
WEEK = 604_800
EMPTY = hashlib.sha256(b"").hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"
_STAMP = "%Y%m%dT%H%M%SZ"


class S3Error(Exception):
    """An answer of S3: code, message, HTTP status, and further elements of its XML."""

    def __init__(self, status: int, code: str, message: str, **extra: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.extra = status, code, message, extra


def denied(message: str = "Access Denied", **extra: str) -> S3Error:
    return S3Error(403, "AccessDenied", message, **extra)


@dataclass(frozen=True)
class Keys:
    """The access keys that are valid, and the region they are valid in."""

    secrets: Mapping[str, str]
    region: str
    service: str = "s3"


@dataclass(frozen=True)
class Scope:
    """A credential: who signed, for which day and region, with the signing key that follows."""

    access_key: str
    date: str
    region: str
    key: bytes = field(repr=False)

    @property
    def text(self) -> str:
        return f"{self.date}/{self.region}/s3/aws4_request"


@dataclass(frozen=True)
class Request:
    """What was sent, before anything was decoded. Header names are lower case."""

    method: str
    path: str  # raw, as in the request line
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Moment:
    """The system's time decides what has expired. A signed request's own date is the machine's (SDKs know no other
    clock), so it may agree with either."""

    system: datetime
    machine: datetime


def verify(request: Request, keys: Keys, moment: Moment) -> bytes:
    """Check a request's signature and payload; return its body as plain bytes (chunks and trailers taken apart).

    Raises:
        S3Error: as S3 would answer.
    """
    query = parse_query(request.query)
    names = [name for name, _ in query]
    if "authorization" in request.headers:
        if any(name.lower() == "x-amz-signature" for name in names):
            raise S3Error(400, "InvalidArgument", "Only one auth mechanism allowed")
        return _verify_header(request, query, keys, moment)
    if "X-Amz-Algorithm" in names or "X-Amz-Signature" in names:
        _verify_presigned(request, query, keys, moment)
        return _payload(request, UNSIGNED, None, "")
    raise denied()


def _verify_header(request: Request, query: list[tuple[str, str]], keys: Keys, moment: Moment) -> bytes:
    scheme, _, rest = request.headers["authorization"].partition(" ")
    if scheme != ALGORITHM:
        raise S3Error(
            400,
            "InvalidRequest",
            f"The authorization mechanism you have provided is not supported. Please use {ALGORITHM}.",
        )
    parts = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    malformed = S3Error(400, "AuthorizationHeaderMalformed", "The authorization header is malformed.")
    if not {"Credential", "SignedHeaders", "Signature"} <= parts.keys():
        raise malformed
    stamp = request.headers.get("x-amz-date", "")
    signed_at = _time(stamp)
    if signed_at is None:
        raise denied("AWS authentication requires a valid Date or x-amz-date header")
    scope = _scope(parts["Credential"], keys, stamp, malformed)
    if min(abs(signed_at - moment.machine), abs(signed_at - moment.system)) > SKEW:
        raise S3Error(
            403,
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
            RequestTime=stamp,
            ServerTime=_iso(moment.system),
            MaxAllowedSkewMilliseconds="900000",
        )
    payload = request.headers.get("x-amz-content-sha256")
    if payload is None:
        raise S3Error(400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    signed = _signed_headers(request, parts["SignedHeaders"])
    _compare(_sign(scope, stamp, _canonical(request, query, signed, payload)), parts["Signature"])
    return _payload(request, payload, scope, stamp, parts["Signature"])


def _verify_presigned(request: Request, query: list[tuple[str, str]], keys: Keys, moment: Moment) -> None:
    fields = dict(query)
    needed = (
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Signature",
        "X-Amz-Date",
        "X-Amz-SignedHeaders",
        "X-Amz-Expires",
    )
    error = "AuthorizationQueryParametersError"
    if any(name not in fields for name in needed) or len(fields) != len(query):
        raise S3Error(400, error, f"Query-string authentication version 4 requires the {', '.join(needed)} parameters.")
    if fields["X-Amz-Algorithm"] != ALGORITHM:
        raise S3Error(400, error, f'X-Amz-Algorithm only supports "{ALGORITHM}"')
    try:
        seconds = int(fields["X-Amz-Expires"])
    except ValueError:
        raise S3Error(400, error, "X-Amz-Expires should be a number") from None
    if seconds < 1:
        raise S3Error(
            400,
            error,
            "X-Amz-Expires must be greater than zero" if seconds == 0 else "X-Amz-Expires must be non-negative",
        )
    if seconds > WEEK:
        message = f"X-Amz-Expires must be less than a week (in seconds); that is, less than {WEEK} seconds"
        raise S3Error(400, error, message)
    signed_at = _time(fields["X-Amz-Date"])
    if signed_at is None:
        raise S3Error(400, error, "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
    scope = _scope(
        fields["X-Amz-Credential"],
        keys,
        fields["X-Amz-Date"],
        S3Error(
            400,
            error,
            'Error parsing the X-Amz-Credential parameter; expecting "<key>/<day>/<region>/s3/aws4_request".',
        ),
    )
    if "X-Amz-Security-Token" in fields:
        raise S3Error(400, "InvalidToken", "The provided token is malformed or otherwise invalid.")
    if signed_at - SKEW > max(moment.machine, moment.system):
        raise denied("Request is not valid yet", ServerTime=_iso(moment.system))
    if signed_at + timedelta(seconds=seconds) < moment.system:
        ends = _iso(signed_at + timedelta(seconds=seconds))
        raise denied(
            "Request has expired", **{"X-Amz-Expires": str(seconds), "Expires": ends, "ServerTime": _iso(moment.system)}
        )
    signed = _signed_headers(request, fields["X-Amz-SignedHeaders"])
    rest = [(name, value) for name, value in query if name != "X-Amz-Signature"]
    payload = request.headers.get("x-amz-content-sha256", UNSIGNED) if "x-amz-content-sha256" in signed else UNSIGNED
    _compare(_sign(scope, fields["X-Amz-Date"], _canonical(request, rest, signed, payload)), fields["X-Amz-Signature"])
    if payload != UNSIGNED and payload != hashlib.sha256(request.body).hexdigest():
        raise _other_content()


def _signed_headers(request: Request, names: str) -> list[str]:
    """The signed headers' names. Host must be among them, and every x-amz- header that came."""
    signed = [name for name in names.lower().split(";") if name]
    unsigned = [name for name in request.headers if name.startswith("x-amz-") and name not in signed]
    # S3 takes the payload's hash unsigned in a presigned request, where it binds nothing.
    unsigned = [name for name in unsigned if name != "x-amz-content-sha256"]
    if "host" not in signed:
        unsigned.append("host")
    if unsigned:
        raise denied(
            "There were headers present in the request which were not signed",
            HeadersNotSigned=", ".join(sorted(unsigned)),
        )
    return signed


def _scope(credential: str, keys: Keys, stamp: str, malformed: S3Error) -> Scope:
    parts = credential.rsplit("/", 4)
    if len(parts) != 5 or parts[4] != "aws4_request" or parts[1] != stamp[:8]:
        raise malformed
    access_key, date, region, service, _ = parts
    if service != keys.service:
        raise S3Error(
            malformed.status,
            malformed.code,
            f'incorrect service "{service}". This endpoint belongs to "{keys.service}".',
        )
    if region != keys.region:
        message = f"the region '{region}' is wrong; expecting '{keys.region}'"
        raise S3Error(400, malformed.code, message, Region=keys.region)
    if access_key not in keys.secrets:
        message = "The AWS Access Key Id you provided does not exist in our records."
        raise S3Error(403, "InvalidAccessKeyId", message, AWSAccessKeyId=access_key)
    return Scope(access_key, date, region, signing_key(keys.secrets[access_key], date, region))


def signing_key(secret: str, date: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, "s3", "aws4_request"):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def _canonical(request: Request, query: Iterable[tuple[str, str]], signed: Sequence[str], payload: str) -> str:
    pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in query)
    headers = "".join(f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in signed)
    return "\n".join(
        (
            request.method,
            quote(unquote(request.path), safe="/-_.~"),
            "&".join(f"{name}={value}" for name, value in pairs),
            headers,
            ";".join(signed),
            payload,
        )
    )


def _sign(scope: Scope, stamp: str, canonical: str) -> str:
    text = "\n".join((ALGORITHM, stamp, scope.text, hashlib.sha256(canonical.encode()).hexdigest()))
    return _hmac(scope.key, text).hex()


def _compare(ours: str, theirs: str) -> None:
    if not hmac.compare_digest(ours.encode(), theirs.encode()):
        raise S3Error(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
        )


def parse_query(text: str) -> list[tuple[str, str]]:
    """Name and value pairs, percent-decoded; `+` stays, as S3 takes it."""
    pairs = (part.partition("=") for part in text.split("&") if part)
    return [(unquote(name), unquote(value)) for name, _, value in pairs]


def sign_headers(
    method: str, host: str, path: str, access_key: str, secret: str, region: str, now: datetime
) -> dict[str, str]:
    """The headers that sign a request without query and body (the gateway reads public copies with it)."""
    stamp = now.strftime(_STAMP)
    headers = {"host": host, "x-amz-content-sha256": EMPTY, "x-amz-date": stamp}
    scope = Scope(access_key, stamp[:8], region, signing_key(secret, stamp[:8], region))
    signed = sorted(headers)
    signature = _sign(scope, stamp, _canonical(Request(method, path, "", headers, b""), (), signed, EMPTY))
    credential = f"Credential={access_key}/{scope.text}"
    headers["authorization"] = f"{ALGORITHM} {credential}, SignedHeaders={';'.join(signed)}, Signature={signature}"
    return headers


# Payloads


def _payload(request: Request, payload: str, scope: Scope | None, stamp: str, seed: str = "") -> bytes:
    body, trailers = request.body, dict[str, str]()
    if payload.startswith("STREAMING-"):
        body, trailers = _unchunk(request, payload, scope, stamp, seed)
    elif payload != UNSIGNED and payload != hashlib.sha256(body).hexdigest():
        raise _other_content()
    _check_digests({**request.headers, **trailers}, body)
    return body


def _other_content() -> S3Error:
    message = "The provided 'x-amz-content-sha256' header does not match what was computed."
    return S3Error(400, "XAmzContentSHA256Mismatch", message)


def _unchunk(
    request: Request, payload: str, scope: Scope | None, stamp: str, seed: str
) -> tuple[bytes, dict[str, str]]:
    """Take apart an aws-chunked body, its chunks signed in a chain or unsigned, with or without trailing headers."""
    kinds = {
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER": (False, True),
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD": (True, False),
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": (True, True),
    }
    if payload not in kinds or scope is None:
        raise S3Error(
            400,
            "InvalidArgument",
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a STREAMING form or a valid sha256 value.",
        )
    is_signed, has_trailer = kinds[payload]
    incomplete = S3Error(400, "IncompleteBody", "The request body terminated unexpectedly")
    raw, content, previous = io.BytesIO(request.body), bytearray(), seed
    while True:
        size_text, _, extension = raw.readline().strip().partition(b";")
        try:
            size = int(size_text, 16)
        except ValueError:
            raise incomplete from None
        chunk = raw.read(size)
        if len(chunk) != size:
            raise incomplete
        if is_signed:
            text = "\n".join(
                (f"{ALGORITHM}-PAYLOAD", stamp, scope.text, previous, EMPTY, hashlib.sha256(chunk).hexdigest())
            )
            previous = _hmac(scope.key, text).hex()
            _compare(previous, extension.partition(b"=")[2].decode("latin-1"))
        content += chunk
        if size == 0:
            break
        if raw.readline().strip():
            raise incomplete
    trailers = _trailers(raw, scope, stamp, previous if is_signed else None) if has_trailer else {}
    promised = request.headers.get("x-amz-trailer", "").lower().split(",") if has_trailer else []
    if any(name.strip() and name.strip() not in trailers for name in promised):
        raise S3Error(400, "MalformedTrailerError", "The request contained trailing data that was not well-formed.")
    if str(len(content)) != request.headers.get("x-amz-decoded-content-length", ""):
        raise incomplete
    return bytes(content), trailers


def _trailers(raw: io.BytesIO, scope: Scope, stamp: str, previous: str | None) -> dict[str, str]:
    trailers: dict[str, str] = {}
    canonical, signature = "", ""
    for line in raw:
        name, separator, value = line.decode("latin-1").strip().partition(":")
        if not separator:
            continue
        if name.lower() == "x-amz-trailer-signature":
            signature = value.strip()
        else:
            trailers[name.lower()] = value.strip()
            canonical += f"{name.lower()}:{value.strip()}\n"
    if previous is not None:
        text = "\n".join(
            (f"{ALGORITHM}-TRAILER", stamp, scope.text, previous, hashlib.sha256(canonical.encode()).hexdigest())
        )
        _compare(_hmac(scope.key, text).hex(), signature)
    return trailers


def _check_digests(headers: Mapping[str, str], body: bytes) -> None:
    """The digests a client may send with the content. CRC32C and CRC64NVME are passed on unread: Python has neither."""
    computed: dict[str, Callable[[], bytes]] = {
        "content-md5": lambda: hashlib.md5(body, usedforsecurity=False).digest(),
        "x-amz-checksum-crc32": lambda: zlib.crc32(body).to_bytes(4, "big"),
        "x-amz-checksum-sha1": lambda: hashlib.sha1(body, usedforsecurity=False).digest(),
        "x-amz-checksum-sha256": lambda: hashlib.sha256(body).digest(),
    }
    for name, compute in computed.items():
        if name in headers and headers[name] != base64.b64encode(compute()).decode():
            if name == "content-md5":
                raise S3Error(400, "BadDigest", "The Content-MD5 you specified did not match what we received.")
            kind = name.rpartition("-")[2].upper()
            raise S3Error(400, "BadDigest", f"The {kind} you specified did not match the calculated checksum.")


# POST forms


def verify_post(fields: Mapping[str, str], bucket: str, size: int, keys: Keys, moment: Moment) -> None:
    """Check a browser's upload form: its signature, its policy's end, and every condition and field against each other.

    Args:
        fields: the form's fields before the file, names in lower case.
        bucket: the bucket of the address posted to.
        size: the file's size in bytes.
    """
    if "policy" not in fields:
        raise denied()
    for name in ("x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"):
        if name not in fields:
            raise S3Error(
                400,
                "InvalidArgument",
                f"Bucket POST must contain a field named '{name}'.",
                ArgumentName=name,
                ArgumentValue="",
            )
    if fields["x-amz-algorithm"] != ALGORITHM:
        raise S3Error(400, "InvalidArgument", f'X-Amz-Algorithm only supports "{ALGORITHM}"')
    malformed = S3Error(400, "InvalidArgument", "Error parsing the X-Amz-Credential parameter.")
    scope = _scope(fields["x-amz-credential"], keys, fields["x-amz-date"], malformed)
    _compare(_hmac(scope.key, fields["policy"]).hex(), fields["x-amz-signature"])

    expires, conditions = _policy(fields["policy"])
    if expires < moment.system:
        raise denied("Invalid according to Policy: Policy expired.")
    known = {**fields, "bucket": bucket}
    covered = {"policy", "x-amz-signature", "file"}
    for operator, name, value in conditions:
        if operator == "content-length-range":
            _check_size(size, name, value)
            continue
        covered.add(name)
        actual = known.get(name, "")
        if not (actual == value if operator == "eq" else actual.startswith(value)):
            shown = json.dumps([operator, f"${name}", value])
            raise denied(f"Invalid according to Policy: Policy Condition failed: {shown}")
    extra = [name for name in known if name not in covered and not name.startswith("x-ignore-")]
    if extra:
        raise denied(f"Invalid according to Policy: Extra input fields: {', '.join(sorted(extra))}")


def _policy(encoded: str) -> tuple[datetime, list[tuple[str, str, Any]]]:
    """The policy's end, and its conditions as (operator, field or lower bound, value or upper bound)."""
    try:
        policy = json.loads(base64.b64decode(encoded, validate=True))
        expires = datetime.fromisoformat(policy["expiration"])
        conditions = [_condition(condition) for condition in policy["conditions"]]
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        raise S3Error(400, "InvalidPolicyDocument", "Invalid Policy: Invalid JSON.") from None
    if expires.tzinfo is None:
        raise S3Error(400, "InvalidPolicyDocument", "Invalid Policy: Invalid 'expiration' value.")
    return expires, conditions


def _condition(condition: Any) -> tuple[str, Any, Any]:
    if isinstance(condition, dict):
        ((name, value),) = condition.items()
        return "eq", name.lower(), str(value)
    operator, name, value = condition
    operator = operator.lower()
    if operator == "content-length-range":
        return operator, int(name), int(value)
    if operator not in ("eq", "starts-with") or not name.startswith("$"):
        raise ValueError(operator)
    return operator, name[1:].lower(), str(value)


def _check_size(size: int, smallest: Any, largest: Any) -> None:
    if size < smallest:
        message = "Your proposed upload is smaller than the minimum allowed size"
        raise S3Error(400, "EntityTooSmall", message, ProposedSize=str(size), MinSizeAllowed=str(smallest))
    if size > largest:
        message = "Your proposed upload exceeds the maximum allowed size"
        raise S3Error(400, "EntityTooLarge", message, ProposedSize=str(size), MaxSizeAllowed=str(largest))


def _time(stamp: str) -> datetime | None:
    try:
        return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
