"""The OpenAPI document of recycle-info"""

import httpx
from openapi_spec_validator import validate

from tests.recycle_info.conftest import PREFIX


async def test_it_is_valid_and_declares_every_answer(client: httpx.AsyncClient) -> None:
    document = (await client.get(f"{PREFIX}/openapi.json")).json()
    validate(document)
    found = {
        (method, path.removeprefix(PREFIX)): set(operation["responses"])
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    assert found == {
        ("get", "/categories"): {"200", "503"},
        ("get", "/items"): {"200", "400", "503"},
        ("get", "/items/{item_id}"): {"200", "304", "400", "404", "503"},
        ("get", "/search"): {"200", "400", "401", "503"},
        ("get", "/queries"): {"200", "400", "401", "503"},
        ("delete", "/queries"): {"204", "400", "401", "412", "503"},
    }
