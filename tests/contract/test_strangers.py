"""Two people never see each other's things: generated over every path of the running system that takes an id."""

import re
from typing import Any
from uuid import uuid4

import httpx

from tests.contract.conftest import Somebody, somebody

# What everybody may read by its id (API.md says "public"), and no more than read.
PUBLIC = {
    "GET /api/v1/users/{user_id}",
    "GET /api/v1/locations/centers/{center_id}",
    "GET /api/v1/recycle/items/{item_id}",
}
# A body that would be good if the thing were one's own.
BODIES: dict[str, Any] = {
    "PATCH /api/v1/locations/me/{place_id}": {"name": "mine now"},
    "PATCH /api/v1/waste/analyses/{analysis_id}": {"waste_type": "glass"},
    "PATCH /api/v1/chat/conversations/{conversation_id}": {"title": "mine now"},
    "POST /api/v1/chat/conversations/{conversation_id}/messages": {"content": "mine now"},
}
MARK = "only-kim-knows"


async def made_by(kim: Somebody) -> dict[str, str]:
    """One thing of each kind that has an id: parameter name to id."""
    sessions = (await kim.ask("GET", "/api/v1/auth/sessions")).json()["items"]
    place = await kim.ask("POST", "/api/v1/locations/me", json={"name": MARK, "address": MARK})
    talk = await kim.ask("POST", "/api/v1/chat/conversations", json={"title": MARK})
    messages = f"/api/v1/chat/conversations/{talk.json()['id']}/messages"
    asked = await kim.ask("POST", messages, json={"content": f"{MARK} 페트병"})
    analysis = await kim.ask("POST", "/api/v1/waste/analyses", json={"image_key": await kim.upload()})
    await kim.ask("GET", f"/api/v1/waste/analyses/{analysis.json()['id']}/events")
    await kim.ask("GET", f"{messages}/{asked.json()['reply']['id']}/events")
    return {
        "session_id": sessions[0]["id"],
        "place_id": place.json()["id"],
        "conversation_id": talk.json()["id"],
        "message_id": asked.json()["reply"]["id"],
        "analysis_id": analysis.json()["id"],
        "user_id": kim.user["id"],
    }


def without_instance(answer: httpx.Response) -> tuple[int, Any, dict[str, str]]:
    body = answer.json() if answer.content else None
    if isinstance(body, dict):
        body.pop("instance", None)
    headers = {k: v for k, v in answer.headers.items() if k not in ("x-request-id", "date", "etag")}
    return answer.status_code, body, headers


async def test_another_s_thing_can_not_be_told_from_one_that_does_not_exist(gateway: httpx.AsyncClient) -> None:
    kim, lee = await somebody(gateway), await somebody(gateway, "lee")
    ids = await made_by(kim)
    document = (await gateway.get("/openapi.json")).json()
    tried = 0
    for path, operations in document["paths"].items():
        names = re.findall(r"\{(\w+)\}", path)
        for method, operation in operations.items():
            row = f"{method.upper()} {path}"
            if not names or row in PUBLIC or names == ["provider"]:
                continue  # kakao and google are no one's own
            # A stream is also opened by a ticket.
            assert operation["security"] in ([{"bearer": []}], [{"bearer": []}, {"ticket": []}]), row
            assert set(names) <= set(ids), f"{row} takes an id that this test knows nothing of"
            assert "requestBody" not in operation or row in BODIES, f"{row} takes a body: name one in BODIES"
            more: dict[str, Any] = {"json": BODIES[row]} if "requestBody" in operation else {}
            there, nowhere = path.format(**ids), path.format(**{name: uuid4() for name in names})
            theirs, nothing = (
                await lee.ask(method.upper(), there, **more),
                await lee.ask(method.upper(), nowhere, **more),
            )
            if path.endswith("/ticket"):
                # It says nothing of what is there, and opens nothing that is not one's own.
                assert (theirs.status_code, nothing.status_code) == (201, 201), row
                there, nowhere, method = there.removesuffix("/ticket"), nowhere.removesuffix("/ticket"), "get"
                theirs = await gateway.get(there, params=theirs.json())
                nothing = await gateway.get(nowhere, params=nothing.json())
            assert theirs.status_code == 404, f"{row}: {theirs.status_code} {theirs.text}"
            assert without_instance(theirs) == without_instance(nothing), row
            assert MARK not in theirs.text
            for condition in ({"If-Match": "*"}, {"If-None-Match": "*"}, {"If-Match": '"x"'}):
                again = await lee.ask(method.upper(), there, headers=condition, **more)
                assert again.status_code == 404, f"{row} with {condition}"
            tried += 1
    assert tried == 17
    # All of it is still there, and still kim's as it was.
    for path, operations in document["paths"].items():
        names = re.findall(r"\{(\w+)\}", path)
        if "get" in operations and names not in ([], ["provider"]) and f"GET {path}" not in PUBLIC:
            assert (await kim.ask("GET", path.format(**ids))).status_code == 200, path
    assert (await kim.ask("GET", f"/api/v1/chat/conversations/{ids['conversation_id']}")).json()["title"] == MARK


async def test_lists_and_totals_hold_only_one_s_own(gateway: httpx.AsyncClient) -> None:
    kim, lee = await somebody(gateway), await somebody(gateway, "lee")
    ids = await made_by(kim)
    await kim.ask("GET", f"/api/v1/recycle/search?q={MARK}")
    await kim.ask("PATCH", "/api/v1/users/me", json={"nickname": "kim", "bio": MARK})
    document = (await gateway.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        if "get" in operations and "{" not in path and operations["get"].get("security") == [{"bearer": []}]:
            answer = await lee.ask("GET", path)
            assert answer.status_code == 200, path
            assert MARK not in answer.text, path
            for id_ in ids.values():
                assert id_ not in answer.text, path


async def test_another_s_upload_can_not_be_used(gateway: httpx.AsyncClient) -> None:
    kim, lee = await somebody(gateway), await somebody(gateway, "lee")
    for where, use in (
        ("/api/v1/waste/uploads", ("POST", "/api/v1/waste/analyses")),
        ("/api/v1/users/me/avatar/uploads", ("PUT", "/api/v1/users/me/avatar")),
    ):
        key = await kim.upload(where=where)
        assert (await lee.ask(*use, json={"image_key": key})).status_code == 404
        assert (await kim.ask(*use, json={"image_key": key})).status_code == 202


async def test_an_idempotency_key_is_each_person_s_own(gateway: httpx.AsyncClient) -> None:
    kim, lee = await somebody(gateway), await somebody(gateway, "lee")
    key = {"Idempotency-Key": uuid4().hex}
    body = {"name": MARK, "address": MARK}
    first = await kim.ask("POST", "/api/v1/locations/me", json=body, headers=key)
    again = await kim.ask("POST", "/api/v1/locations/me", json=body, headers=key)
    other = await lee.ask("POST", "/api/v1/locations/me", json=body, headers=key)
    assert first.json() == again.json()
    assert other.status_code == 201
    assert other.json()["id"] != first.json()["id"]


async def test_a_public_profile_shows_no_more_than_it_should(gateway: httpx.AsyncClient) -> None:
    kim, lee = await somebody(gateway), await somebody(gateway, "lee")
    await kim.ask("PATCH", "/api/v1/users/me", json={"nickname": "kim", "bio": "hello"})
    seen = (await lee.ask("GET", f"/api/v1/users/{kim.user['id']}")).json()
    assert set(seen) == {"user_id", "nickname", "avatar_url", "bio"}
    assert kim.user["email"] not in str(seen)


async def test_no_header_or_query_names_somebody_else(gateway: httpx.AsyncClient) -> None:
    kim, lee = await somebody(gateway), await somebody(gateway, "lee")
    query = f"?user={kim.user['id']}&user_id={kim.user['id']}&maybe_user={kim.user['id']}"
    for path in ("/api/v1/auth/me", "/api/v1/users/me"):
        for header in ("X-User-Id", "X-User", "X-Forwarded-User", "Remote-User"):
            answer = await lee.ask("GET", path + query, headers={header: kim.user["id"]})
            assert kim.user["id"] not in answer.text
