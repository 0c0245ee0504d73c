"""Who the token is"""

from tests.auth.conftest import ME, Account, bearer


async def test_me_says_who_the_token_is_with_an_etag(account: Account) -> None:
    tokens = await account.login()
    answer = await account.client.get(ME, headers=bearer(tokens))
    assert set(answer.json()) == {"id", "username", "email", "created_at", "email_verified", "has_password"}
    assert answer.json()["email"] == account.email
    assert answer.json()["created_at"].endswith("Z")
    same = await account.client.get(ME, headers={**bearer(tokens), "If-None-Match": answer.headers["etag"]})
    assert same.status_code == 304
