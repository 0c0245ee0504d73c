"""GET /jwks.json"""

import httpx


async def test_the_public_keys_are_served_to_anybody(auth: httpx.AsyncClient) -> None:
    answer = await auth.get("/api/v1/auth/jwks.json")
    assert answer.status_code == 200
    assert "max-age" in answer.headers["cache-control"]
    for key in answer.json()["keys"]:
        assert set(key) == {"kid", "x", "kty", "crv", "alg", "use"}
        assert (key["kty"], key["crv"], key["alg"]) == ("OKP", "Ed25519", "EdDSA")
    same = await auth.get("/api/v1/auth/jwks.json", headers={"If-None-Match": answer.headers["etag"]})
    assert same.status_code == 304
