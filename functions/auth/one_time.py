"""Secrets that are good once: what a mail or an address carries. The database keeps their SHA-256 alone."""

import secrets

from functions.auth import tokens


def new() -> tuple[str, str]:
    """A secret of 256 bits, and what is kept of it."""
    secret = secrets.token_urlsafe(32)
    return secret, tokens.hash_of(secret)
