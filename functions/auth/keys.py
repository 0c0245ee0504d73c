"""The Ed25519 keys that sign access tokens, and the command that makes and rotates them.

    python -m functions.auth.keys init DIR      make DIR/signing.json (private) and DIR/jwks.json (public), once
    python -m functions.auth.keys rotate DIR    add a key that takes over in ten minutes; drop those no token needs

AUTH_SIGNING_KEY_FILE names the first file (auth alone reads it), AUTH_JWKS_FILE the second (every service reads it).
Both are read again when they change. A new key is public at once and signs from its `sign_from` on: by then every
service has read it, so a rotation is one command, without downtime. Keys stand newest first.
"""

import argparse
import base64
import hashlib
import logging
import os
import sys
import tempfile
import time
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from shared import clock, identity
from shared.identity import KeySetError

log = logging.getLogger(__name__)

SIGNING_FILE = "signing.json"
JWKS_FILE = "jwks.json"
# A mounted Secret or ConfigMap reaches every pod within two minutes; services look at the file each second.
TAKEOVER_SECONDS = 600.0
# How long a key stays public after its successor began to sign: four lives of an access token.
KEPT_SECONDS = 4.0 * identity.ACCESS_SECONDS


class PublicKey(Struct, frozen=True):
    """A public key as a JWK (RFC 8037).

    Attributes:
        kid: its thumbprint (RFC 7638), which a token's head names.
        x: the key itself, base64url.
        kty, crv: an Edwards curve, Ed25519.
        alg, use: signatures.
    """

    kid: Annotated[str, Meta(examples=["cIDOBCVZw2A1vzmBwx-fhABdHxeGPIDwHNhghXO-qPs"])]
    x: Annotated[str, Meta(examples=["M7MIeIkRHKcjJRb9p2X9RnzbRqoCxl34zJi1hwwKBCQ"])]
    kty: Annotated[str, Meta(examples=["OKP"])] = "OKP"
    crv: Annotated[str, Meta(examples=["Ed25519"])] = "Ed25519"
    alg: Annotated[str, Meta(examples=["EdDSA"])] = "EdDSA"
    use: Annotated[str, Meta(examples=["sig"])] = "sig"


class KeySet(Struct, frozen=True):
    """A JWK set (RFC 7517 §5).

    Attributes:
        keys: the newest first.
    """

    keys: list[PublicKey]


class SigningKey(Struct, frozen=True):
    """A private key as a JWK, with the moment (epoch seconds) from which it signs."""

    kid: str
    x: str
    d: str
    kty: str = "OKP"
    crv: str = "Ed25519"
    alg: str = "EdDSA"
    use: str = "sig"
    sign_from: float = 0.0

    def public(self) -> PublicKey:
        return PublicKey(kid=self.kid, x=self.x)


class SigningKeys(Struct, frozen=True):
    """The private keys, newest first."""

    keys: list[SigningKey]

    def public(self) -> KeySet:
        return KeySet([key.public() for key in self.keys])


class Signer:
    """Signs access tokens with the newest key whose time has come; reads its file again when that has changed."""

    def __init__(self, file: Path) -> None:
        """Read the keys.

        Raises:
            KeySetError: when the file is missing or unusable.
        """
        self._file = file
        self._stamp = self._stat()
        self._keys = read_signing_keys(file)
        self._loaded: dict[str, Any] = {}
        self._next_look = time.monotonic() + identity.LOOK_EVERY

    def sign(self, claims: dict[str, Any]) -> str:
        """Return the claims as a signed JWT."""
        import jwt

        self._look()
        now = clock.time()
        # Before the very first key's time (a clock moved back) the oldest signs.
        key = next((key for key in self._keys.keys if key.sign_from <= now), self._keys.keys[-1])
        if key.kid not in self._loaded:
            self._loaded[key.kid] = jwt.PyJWK(msgspec.to_builtins(key)).key
        headers = {"kid": key.kid, "typ": identity.TOKEN_TYPE}
        return jwt.encode(claims, self._loaded[key.kid], algorithm="EdDSA", headers=headers)

    def public(self) -> KeySet:
        """The public halves, those of keys that do not sign yet included."""
        self._look()
        return self._keys.public()

    def _stat(self) -> tuple[int, int]:
        try:
            stat = self._file.stat()
        except OSError:
            return (0, 0)
        return (stat.st_mtime_ns, stat.st_ino)

    def _look(self) -> None:
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + identity.LOOK_EVERY
        stamp = self._stat()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys = read_signing_keys(self._file)
        except KeySetError as error:
            log.error("the signing keys stay as they were: %s", error)
            return
        self._loaded.clear()
        log.info("signing keys read again: %s", ", ".join(key.kid for key in self._keys.keys))


@lru_cache(maxsize=4)
def signer(file: str) -> Signer:
    """The process's signer for AUTH_SIGNING_KEY_FILE."""
    return Signer(Path(file))


def read_signing_keys(file: Path) -> SigningKeys:
    """Return the private keys of a file.

    Raises:
        KeySetError: when it can't be read or holds no keys; the message never shows any.
    """
    try:
        keys = msgspec.json.decode(file.read_bytes(), type=SigningKeys)
    except OSError as error:
        raise KeySetError(f"{file} can't be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise KeySetError(f"{file} is no private JWK set: {error}") from error
    if not keys.keys:
        raise KeySetError(f"{file} holds no key")
    return keys


def new_key(sign_from: float) -> SigningKey:
    """A fresh key; its `kid` is the JWK thumbprint (RFC 7638), the same wherever it is computed."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    x = _base64url(private.public_key().public_bytes_raw())
    thumbprint = hashlib.sha256(f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'.encode()).digest()
    return SigningKey(kid=_base64url(thumbprint), x=x, d=_base64url(private.private_bytes_raw()), sign_from=sign_from)


def init(folder: Path) -> SigningKeys:
    """Make the two files in `folder`, once: an existing private file is kept and the public one written from it.

    Raises:
        KeySetError: when the private file is there and can't be used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    signing = folder / SIGNING_FILE
    if not signing.exists():
        _write(folder, SigningKeys([new_key(0.0)]))
    keys = read_signing_keys(signing)
    public = folder / JWKS_FILE
    if not public.exists() or public.read_bytes() != _encode(keys.public()):
        _replace(public, keys.public())
    return keys


def rotate(folder: Path, *, after: float = TAKEOVER_SECONDS) -> SigningKeys:
    """Add a key that signs in `after` seconds, and drop those whose successor has signed for long enough."""
    now = clock.time()
    old = read_signing_keys(folder / SIGNING_FILE).keys
    # Each key is needed until its successor, the one before it in the list, has signed for a while.
    kept = [key for i, key in enumerate(old) if i == 0 or old[i - 1].sign_from > now - KEPT_SECONDS]
    keys = SigningKeys([new_key(now + after), *kept])
    _write(folder, keys)
    return keys


def _write(folder: Path, keys: SigningKeys) -> None:
    # The public set first: nothing is ever signed with a key that no one can look up.
    _replace(folder / JWKS_FILE, keys.public())
    _replace(folder / SIGNING_FILE, keys)


def _replace(file: Path, content: SigningKeys | KeySet) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(_encode(content))
            out.flush()
            os.fsync(out.fileno())
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _encode(content: SigningKeys | KeySet) -> bytes:
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def main(words: list[str] | None = None) -> int:
    """The command line; the exit code is 0, or 1 with one line that says why not."""
    parser = argparse.ArgumentParser(prog="python -m functions.auth.keys", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["init", "rotate"])
    parser.add_argument("folder", type=Path, help=f"where {SIGNING_FILE} and {JWKS_FILE} lie")
    parser.add_argument("--after", type=float, default=TAKEOVER_SECONDS, help="seconds until the new key signs")
    given = parser.parse_args(words)
    try:
        keys = init(given.folder) if given.what == "init" else rotate(given.folder, after=given.after)
    except (KeySetError, OSError) as error:
        sys.stderr.write(f"eco2 auth keys: {error}\n")
        return 1
    sys.stdout.write("".join(f"{key.kid}\n" for key in keys.keys))
    return 0


if __name__ == "__main__":
    sys.exit(main())
