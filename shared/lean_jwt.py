"""PyJWT without what it brings along; whoever imports it imports this first."""

from shared.unneeded import without

# Certificates, SSH's keys and a client that fetches keys: ours lie in a file (shared.identity). 2 MB of each process.
with without("cryptography.x509", "cryptography.hazmat.primitives.serialization.ssh", "jwt.jwks_client"):
    import jwt

__all__ = ["jwt"]
