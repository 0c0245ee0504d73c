"""Settings that change"""

from typing import Any

import httpx
import pytest

from tests.conftest import Person
from tests.userinfo.conftest import SETTINGS


async def test_settings_change_one_by_one(userinfo: httpx.AsyncClient, person: Person) -> None:
    await userinfo.patch(SETTINGS, json={"theme": "dark"}, headers=person.headers)
    answer = await userinfo.patch(SETTINGS, json={"language": "en"}, headers=person.headers)
    assert answer.json() == {"notification_enabled": True, "language": "en", "theme": "dark"}
    assert (await userinfo.get(SETTINGS, headers=person.headers)).json() == answer.json()


@pytest.mark.parametrize("wrong", [{"theme": "blue"}, {"language": "fr"}, {"notification_enabled": None}])
async def test_settings_take_only_what_there_is(
    userinfo: httpx.AsyncClient, person: Person, wrong: dict[str, Any]
) -> None:
    answer = await userinfo.patch(SETTINGS, json=wrong, headers=person.headers)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == list(wrong)
