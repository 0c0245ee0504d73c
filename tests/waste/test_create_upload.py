"""The form that a photo is uploaded with"""

from typing import Any

import httpx
import pytest

from tests.conftest import Person
from tests.waste.conftest import BASE


@pytest.mark.parametrize(
    "request_body",
    [
        {"content_type": "image/gif", "size_bytes": 10},
        {"content_type": "image/png", "size_bytes": 0},
        {"content_type": "image/png", "size_bytes": 10 * 1024 * 1024 + 1},
        {"content_type": "image/png"},
    ],
)
async def test_an_upload_of_the_wrong_kind_is_refused(
    client: httpx.AsyncClient, person: Person, request_body: dict[str, Any]
) -> None:
    answer = await client.post(f"{BASE}/uploads", json=request_body, headers=person.headers)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] in ("content_type", "size_bytes")
