"""The typed client that `make client` writes does a person's day on the running system."""

import importlib
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from types import ModuleType
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.contract import client as generator
from tests.contract.conftest import PASSWORD, System
from tests.support import photo


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The generated package, imported."""
    folder = tmp_path_factory.mktemp("client")
    generator.generate(folder)
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module(generator.PACKAGE)
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.partition(".")[0] == generator.PACKAGE]:
            del sys.modules[name]


def call(package: ModuleType, operation: str, **arguments: Any) -> Any:
    """One operation: the parsed answer of its module."""
    tag = {"chat": "chat_llm", "recycle": "recycle_info"}.get(operation.partition("_")[0], operation.partition("_")[0])
    module = importlib.import_module(f"{package.__name__}.api.{tag}.{operation}")
    return module.sync_detailed(**arguments)


def test_the_document_is_what_the_gateway_serves(system: System) -> None:
    served = httpx.get(f"{system.url}/openapi.json", trust_env=False, timeout=30).json()
    assert generator.document()["paths"] == served["paths"]


def test_a_person_s_day_with_the_generated_client(package: ModuleType, system: System) -> None:
    models = importlib.import_module(f"{package.__name__}.models")
    plain = {"trust_env": False}
    kept = ExitStack()
    stranger = kept.enter_context(
        package.Client(base_url=system.url, httpx_args=plain, raise_on_unexpected_status=True)
    )
    name = f"client-{uuid4().hex}"
    person = call(
        package,
        "auth_register",
        client=stranger,
        body=models.RegisterRequest(username=name, email=f"{name}@example.com", password=PASSWORD),
    )
    assert (person.status_code, person.parsed.username) == (201, name)
    taken = call(
        package,
        "auth_register",
        client=stranger,
        body=models.RegisterRequest(username=name, email=f"{name}@example.com", password=PASSWORD),
    )
    assert (taken.status_code, taken.parsed.type_) == (409, "urn:eco2:auth:username-taken")
    tokens = call(
        package, "auth_login", client=stranger, body=models.LoginRequest(username=name, password=PASSWORD)
    ).parsed
    client = kept.enter_context(
        package.AuthenticatedClient(
            base_url=system.url, token=tokens.access_token, httpx_args=plain, raise_on_unexpected_status=True
        )
    )
    assert call(package, "auth_me", client=client).parsed == person.parsed
    assert [s.current for s in call(package, "auth_list_sessions", client=client).parsed.items] == [True]

    place = call(
        package,
        "location_create_place",
        client=client,
        body=models.NewPlace(name="집", address="서울", is_default=True),
    )
    assert place.parsed.is_default
    page = call(package, "location_list_places", client=client, limit=1).parsed
    assert [one.id for one in page.items] == [place.parsed.id]
    found = call(package, "recycle_info_search", client=client, q="페트병").parsed
    assert found.items[0].score > 0
    settings = call(
        package, "userinfo_update_settings", client=client, body=models.SettingsChanges(language="en")
    ).parsed
    assert settings.language == "en"

    content = photo()
    upload = call(
        package,
        "waste_create_upload",
        client=client,
        body=models.UploadRequest(content_type="image/jpeg", size_bytes=len(content)),
    ).parsed
    with httpx.Client(trust_env=False) as store:
        stored = store.post(upload.url, data=upload.fields.to_dict(), files={"file": content})
        assert stored.is_success
    accepted = call(
        package, "waste_create_analysis", client=client, body=models.AnalysisRequest(image_key=upload.image_key)
    ).parsed
    end = time.monotonic() + 30
    while (analysis := call(package, "waste_get_analysis", analysis_id=accepted.id, client=client).parsed).status == (
        "pending"
    ):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert analysis.status == "success"
    assert analysis.analysis_result.candidates
    assert analysis.images
    missing = call(package, "waste_get_analysis", analysis_id=uuid4(), client=client)
    assert (missing.status_code, missing.parsed.status) == (404, 404)

    talk = call(
        package, "chat_llm_create_conversation", client=client, body=models.ConversationRequest(title="t")
    ).parsed
    asked = call(
        package,
        "chat_llm_create_message",
        conversation_id=talk.id,
        client=client,
        body=models.MessageRequest(content="우유팩은 어떻게 버려요?"),
    ).parsed
    assert asked.reply.status == "pending"
    gone = call(package, "auth_delete_me", client=client, body=models.EraseRequest(password=PASSWORD))
    assert gone.status_code == 202
    kept.close()
