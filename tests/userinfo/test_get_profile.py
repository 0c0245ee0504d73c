"""A person's own profile"""

import httpx

from tests.conftest import Person
from tests.userinfo.conftest import ME, SETTINGS


async def test_a_person_nobody_has_seen_has_defaults(userinfo: httpx.AsyncClient, person: Person) -> None:
    profile = (await userinfo.get(ME, headers=person.headers)).json()
    assert profile.pop("updated_at").endswith("Z")  # when the id was made
    assert profile == {
        "user_id": str(person.id),
        "nickname": None,
        "avatar_url": None,
        "bio": None,
        "avatar_status": "none",
        "avatar_error": None,
    }
    settings = await userinfo.get(SETTINGS, headers=person.headers)
    assert settings.json() == {"notification_enabled": True, "language": "ko", "theme": "light"}


async def test_nobody_has_a_profile_without_a_token(userinfo: httpx.AsyncClient) -> None:
    for path in (ME, SETTINGS):
        assert (await userinfo.get(path)).status_code == 401
