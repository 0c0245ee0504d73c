"""A request's signature as S3 checks it: in the Authorization header or in a presigned query.

moto checks none of this, so a client that works only against moto may be refused by S3; here it is refused first, with S3's
own codes and words.
"""

import hashlib
from datetime import timedelta

from emulator.servers.s3.errors import S3Error, denied
from emulator.servers.s3.payload import other_content, plain_body
from emulator.servers.s3.signature import (
    ALGORITHM,
    SKEW,
    UNSIGNED,
    WEEK,
    Keys,
    Moment,
    Request,
    canonical,
    compare,
    iso,
    parse_query,
    scope_of,
    sign,
    time_of,
)


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
        return plain_body(request, UNSIGNED, None, "")
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
    signed_at = time_of(stamp)
    if signed_at is None:
        raise denied("AWS authentication requires a valid Date or x-amz-date header")
    scope = scope_of(parts["Credential"], keys, stamp, malformed)
    if min(abs(signed_at - moment.machine), abs(signed_at - moment.system)) > SKEW:
        raise S3Error(
            403,
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
            RequestTime=stamp,
            ServerTime=iso(moment.system),
            MaxAllowedSkewMilliseconds="900000",
        )
    payload = request.headers.get("x-amz-content-sha256")
    if payload is None:
        raise S3Error(400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    signed = _signed_headers(request, parts["SignedHeaders"])
    compare(sign(scope, stamp, canonical(request, query, signed, payload)), parts["Signature"])
    return plain_body(request, payload, scope, stamp, parts["Signature"])


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
    signed_at = time_of(fields["X-Amz-Date"])
    if signed_at is None:
        raise S3Error(400, error, "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
    scope = scope_of(
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
        raise denied("Request is not valid yet", ServerTime=iso(moment.system))
    if signed_at + timedelta(seconds=seconds) < moment.system:
        ends = iso(signed_at + timedelta(seconds=seconds))
        raise denied(
            "Request has expired", **{"X-Amz-Expires": str(seconds), "Expires": ends, "ServerTime": iso(moment.system)}
        )
    signed = _signed_headers(request, fields["X-Amz-SignedHeaders"])
    rest = [(name, value) for name, value in query if name != "X-Amz-Signature"]
    payload = request.headers.get("x-amz-content-sha256", UNSIGNED) if "x-amz-content-sha256" in signed else UNSIGNED
    compare(sign(scope, fields["X-Amz-Date"], canonical(request, rest, signed, payload)), fields["X-Amz-Signature"])
    if payload != UNSIGNED and payload != hashlib.sha256(request.body).hexdigest():
        raise other_content()


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
