"""What others see of a person"""

import httpx

from shared.ids import new_id
from tests.conftest import Person
from tests.userinfo.conftest import ME, USERS


async def test_others_see_the_public_part_alone(
    userinfo: httpx.AsyncClient, person: Person, another_person: Person
) -> None:
    await userinfo.patch(ME, json={"nickname": "초록이"}, headers=person.headers)
    for headers in (another_person.headers, {}):
        answer = await userinfo.get(f"{USERS}/{person.id}", headers=headers)
        assert answer.json() == {"user_id": str(person.id), "nickname": "초록이", "avatar_url": None, "bio": None}
    assert (await userinfo.get(f"{USERS}/{new_id()}")).status_code == 404
    assert (await userinfo.get(f"{USERS}/nobody")).status_code == 404


async def test_who_has_written_nothing_yet_sees_their_own_public_profile(
    userinfo: httpx.AsyncClient, person: Person, another_person: Person
) -> None:
    answer = await userinfo.get(f"{USERS}/{person.id}", headers=person.headers)
    assert answer.json() == {"user_id": str(person.id), "nickname": None, "avatar_url": None, "bio": None}
    for headers in (another_person.headers, {}):
        assert (await userinfo.get(f"{USERS}/{person.id}", headers=headers)).status_code == 404
