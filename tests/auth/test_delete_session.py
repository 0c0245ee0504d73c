"""A session that is ended from elsewhere"""

from collections.abc import Awaitable, Callable
from uuid import uuid4

from tests.auth.conftest import SESSIONS, Account, bearer, status


async def test_a_lost_telephone_is_logged_out_from_elsewhere(account: Account) -> None:
    lost, here = await account.login(), await account.login()
    sessions = (await account.client.get(SESSIONS, headers=bearer(here))).json()["items"]
    (other,) = [session for session in sessions if not session["current"]]
    assert (await account.client.delete(f"{SESSIONS}/{other['id']}", headers=bearer(here))).status_code == 204
    assert await status(account, lost) == 401
    assert await status(account, here) == 200
    again = await account.client.delete(f"{SESSIONS}/{other['id']}", headers=bearer(here))
    assert again.status_code == 404


async def test_a_token_whose_session_has_ended_neither_sees_nor_ends_the_others(account: Account) -> None:
    """Whether or not the revocation has been heard yet: no one follows Redis in this test."""
    thief, here = await account.login(), await account.login()
    sessions = (await account.client.get(SESSIONS, headers=bearer(here))).json()["items"]
    (mine,) = [session for session in sessions if session["current"]]
    (stolen,) = [session for session in sessions if not session["current"]]
    assert (await account.client.delete(f"{SESSIONS}/{stolen['id']}", headers=bearer(here))).status_code == 204
    assert (await account.client.get(SESSIONS, headers=bearer(thief))).status_code == 401
    assert (await account.client.delete(f"{SESSIONS}/{mine['id']}", headers=bearer(thief))).status_code == 401
    assert await status(account, here) == 200


async def test_another_person_s_session_does_not_exist(
    account: Account, new_account: Callable[[], Awaitable[Account]]
) -> None:
    mine, theirs = await account.login(), await (await new_account()).login()
    (session,) = (await account.client.get(SESSIONS, headers=bearer(theirs))).json()["items"]
    answer = await account.client.delete(f"{SESSIONS}/{session['id']}", headers=bearer(mine))
    absent = await account.client.delete(f"{SESSIONS}/{uuid4()}", headers=bearer(mine))
    assert answer.status_code == absent.status_code == 404
    assert answer.json()["detail"] == absent.json()["detail"]
    assert await status(account, theirs) == 200


async def test_a_stale_if_match_ends_no_session(account: Account) -> None:
    tokens = await account.login()
    (session,) = (await account.client.get(SESSIONS, headers=bearer(tokens))).json()["items"]
    path = f"{SESSIONS}/{session['id']}"
    stale = await account.client.delete(path, headers={**bearer(tokens), "If-Match": '"stale"'})
    assert stale.status_code == 412
    assert (await account.client.delete(path, headers={**bearer(tokens), "If-Match": "*"})).status_code == 204
