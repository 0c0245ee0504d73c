"""POST /email/verification"""

from tests.auth.conftest import Account, bearer

PATH = "/api/v1/auth/email/verification"


async def test_a_letter_is_accepted_and_not_too_many(account: Account) -> None:
    headers = bearer(await account.login())
    statuses = [(await account.client.post(PATH, headers=headers)).status_code for _ in range(4)]
    assert statuses == [202, 202, 202, 429]


async def test_without_a_token_nobody_is_written_to(account: Account) -> None:
    assert (await account.client.post(PATH)).status_code == 401
