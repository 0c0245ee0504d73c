"""The body of a signed request: its hash, its chunks and trailers, the digests that a client may send with it."""

import base64
import hashlib
import io
import zlib
from collections.abc import Callable, Mapping

from emulator.servers.s3.errors import S3Error
from emulator.servers.s3.signature import ALGORITHM, EMPTY, UNSIGNED, Request, Scope, compare, hmac_of


def plain_body(request: Request, payload: str, scope: Scope | None, stamp: str, seed: str = "") -> bytes:
    body, trailers = request.body, dict[str, str]()
    if payload.startswith("STREAMING-"):
        body, trailers = _unchunk(request, payload, scope, stamp, seed)
    elif payload != UNSIGNED and payload != hashlib.sha256(body).hexdigest():
        raise other_content()
    _check_digests({**request.headers, **trailers}, body)
    return body


def other_content() -> S3Error:
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
            previous = hmac_of(scope.key, text).hex()
            compare(previous, extension.partition(b"=")[2].decode("latin-1"))
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
        compare(hmac_of(scope.key, text).hex(), signature)
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
