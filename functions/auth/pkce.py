"""Proof Key for Code Exchange (RFC 7636)."""

import base64
import hashlib


def challenge(verifier: str) -> str:
    """The S256 challenge of a verifier (§4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
