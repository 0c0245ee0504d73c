"""AWS Signature Version 4: the canonical form of a request and what is signed of it.

Source: "Authenticating Requests (AWS Signature Version 4)" in the Amazon S3 API Reference.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote

from emulator.servers.s3.errors import S3Error

ALGORITHM = "AWS4-HMAC-SHA256"
SKEW = timedelta(minutes=15)
WEEK = 604_800
EMPTY = hashlib.sha256(b"").hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"
_STAMP = "%Y%m%dT%H%M%SZ"


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


def scope_of(credential: str, keys: Keys, stamp: str, malformed: S3Error) -> Scope:
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
        key = hmac_of(key, part)
    return key


def hmac_of(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def canonical(request: Request, query: Iterable[tuple[str, str]], signed: Sequence[str], payload: str) -> str:
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


def sign(scope: Scope, stamp: str, canonical: str) -> str:
    text = "\n".join((ALGORITHM, stamp, scope.text, hashlib.sha256(canonical.encode()).hexdigest()))
    return hmac_of(scope.key, text).hex()


def compare(ours: str, theirs: str) -> None:
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
    signature = sign(scope, stamp, canonical(Request(method, path, "", headers, b""), (), signed, EMPTY))
    credential = f"Credential={access_key}/{scope.text}"
    headers["authorization"] = f"{ALGORITHM} {credential}, SignedHeaders={';'.join(signed)}, Signature={signature}"
    return headers


def time_of(stamp: str) -> datetime | None:
    try:
        return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None


def iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
