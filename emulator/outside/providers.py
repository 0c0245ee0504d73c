"""The names of the identity providers, and where auth finds them."""

CLIENT_ID, CLIENT_SECRET = "eco2-local", "local-secret-of-no-value"
PROVIDERS = {"kakao": "카카오", "google": "Google", "naver": "네이버"}


def providers_file(base_url: str) -> str:
    """What auth finds in OAUTH_PROVIDERS_FILE, so that all its providers are these."""
    blocks = []
    for name in PROVIDERS:
        base = f"{base_url}/{name}"
        lines = [f"[{name}]", f'client_id = "{CLIENT_ID}"', f'client_secret = "{CLIENT_SECRET}"']
        lines += [f'authorize_url = "{base}/authorize"', f'token_url = "{base}/token"']
        if name == "naver":
            lines += [f'userinfo_url = "{base}/userinfo"']
        else:
            lines += [f'issuer = "{base}"', f'jwks_url = "{base}/jwks.json"']
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)
