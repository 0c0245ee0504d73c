"""GET /jwks.json"""

import httpx

from functions.auth.keys import TAKEOVER_SECONDS


async def test_the_public_keys_are_served_to_anybody(auth: httpx.AsyncClient) -> None:
    answer = await auth.get("/api/v1/auth/jwks.json")
    assert answer.status_code == 200
    # A new key signs when no cache can hold the set without it: the rest of the time is the Secret's way to the pods.
    public, _, seconds = answer.headers["cache-control"].partition(", max-age=")
    assert public == "public"
    assert 0 < int(seconds) <= TAKEOVER_SECONDS / 2
    for key in answer.json()["keys"]:
        assert set(key) == {"kid", "x", "kty", "crv", "alg", "use"}
        assert (key["kty"], key["crv"], key["alg"]) == ("OKP", "Ed25519", "EdDSA")
    same = await auth.get("/api/v1/auth/jwks.json", headers={"If-None-Match": answer.headers["etag"]})
    assert same.status_code == 304
