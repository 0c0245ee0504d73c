"""The form that a picture is uploaded with"""

import httpx
import pytest

from shared.objects import ObjectMissing, ObjectStore
from tests import web
from tests.conftest import Person, Serve
from tests.userinfo.conftest import ME


async def test_a_form_takes_no_more_than_was_announced(
    userinfo: httpx.AsyncClient, person: Person, objects: ObjectStore
) -> None:
    answer = await userinfo.post(
        f"{ME}/avatar/uploads", json={"content_type": "image/png", "size_bytes": 10}, headers=person.headers
    )
    form = answer.json()
    assert form["image_key"].startswith(f"uploads/{person.id}/")
    async with web.AsyncClient() as outside:
        stored = await outside.post(form["url"], data=form["fields"], files={"file": ("me.png", b"x" * 11)})
    assert stored.status_code in (400, 403)
    with pytest.raises(ObjectMissing):
        objects.size(form["image_key"])
    for wrong in (
        {"content_type": "image/gif", "size_bytes": 10},
        {"content_type": "image/png", "size_bytes": 1 << 24},
    ):
        refused = await userinfo.post(f"{ME}/avatar/uploads", json=wrong, headers=person.headers)
        assert refused.status_code == 400


async def test_pictures_of_one_person_are_as_many_a_minute_as_uploads_may_be(
    serve: Serve, person: Person, another_person: Person
) -> None:
    client = await serve("userinfo", QUOTA_UPLOADS="1")
    request = {"content_type": "image/png", "size_bytes": 10}
    statuses = [
        (await client.post(f"{ME}/avatar/uploads", json=request, headers=who.headers)).status_code
        for who in (person, person, another_person)
    ]
    assert statuses == [201, 429, 201]
