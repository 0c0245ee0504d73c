"""What the dashboard's pages ask of the emulator, of the command line and of the gateway, and what they ask of no one"""

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import httpx
import pytest
from litestar.exceptions import HTTPException

from emulator.commands.fault import amount
from emulator.dashboard.pages import data, functions, system, tasks, top
from emulator.dashboard.pages.functions import Call
from emulator.dashboard.spans import Collector
from runtime.services import load_services

ID = UUID("01a224d7-905a-76fc-afed-6df0dec6e7a8")


class Site:
    """Keeps what is asked, and answers as told."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.services = load_services()
        self.collector = Collector()
        self.done = {"ok": True, "said": "[]"}
        self.answer = httpx.Response(200, text="x" * 200_001, headers={"x-request-id": "r"})
        self.client = SimpleNamespace(request=self.request)

    async def eco2(self, *words: str) -> dict[str, Any]:
        self.asked.append(words)
        return self.done

    async def ask(self, do: str, **more: Any) -> dict[str, Any]:
        self.asked.append((do, more))
        return {}

    async def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        self.asked.append((method, path, more))
        if self.answer.status_code == 599:
            raise httpx.ConnectError("no one")
        return self.answer

    async def environment(self) -> dict[str, str]:
        return {}


@pytest.fixture
def site() -> Any:
    return Site()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def now(seconds: float) -> None:
        pass

    monkeypatch.setattr(functions.asyncio, "sleep", now)  # type: ignore[attr-defined] # the module's own name for it


async def refused(asked: Any) -> int:
    with pytest.raises(HTTPException) as told:
        await asked
    return told.value.status_code


# Functions


async def test_a_call_goes_to_functions_alone_with_a_trace_of_its_own(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(functions, "_token", lambda site, person: f"token of {person}")
    for path in ("/_emulator/api/clock", "/", "/apis", "http://elsewhere/api/", "/openapi.json"):
        assert await refused(functions.call.fn(site, Call("GET", path))) == 400
    assert site.asked == []
    found = await functions.call.fn(site, Call("GET", "/api/v1/x", query={"q": "1"}))
    ((method, path, more),) = site.asked
    assert (method, path, more["params"], more["content"]) == ("GET", "/api/v1/x", {"q": "1"}, None)
    assert more["headers"]["traceparent"].split("-")[1] == found["trace"]
    assert more["headers"].keys() == {"traceparent"}
    assert (found["status"], len(found["body"]), found["request_id"], found["timeline"].rows) == (200, 200_000, "r", [])
    site.asked.clear()
    own = {"Content-Type": "text/plain"}
    await functions.call.fn(site, Call("PUT", "/api/v1/x", body={"a": 1}, headers=own, person="mina"))
    await functions.call.fn(site, Call("PUT", "/api/v1/x", body=[]))
    (_, _, first), (_, _, second) = site.asked
    assert (first["content"], first["headers"]["Content-Type"]) == (b'{"a":1}', "text/plain")
    assert first["headers"]["Authorization"] == "Bearer token of mina"
    assert (second["content"], second["headers"]["Content-Type"]) == (b"[]", "application/json")
    assert "Authorization" not in second["headers"]
    assert first["headers"]["traceparent"] != second["headers"]["traceparent"]
    site.answer = httpx.Response(599)
    assert await refused(functions.call.fn(site, Call("GET", "/api/v1/x"))) == 502


# Tasks


async def test_what_is_tried_again_is_named_by_all_that_was_chosen(site: Any) -> None:
    chosen = {"service": "storage", "function": "process_photo", "q": "cat"}
    await tasks.retry_all.fn(site, tasks.Failures(**chosen))
    await tasks.retry_all.fn(site, tasks.Failures())
    await tasks.task_action.fn(site, ID, "release")
    await tasks.sync.fn(site, "ai")
    assert site.asked == [
        ("tasks", "retry", "--failed", "--worker", "storage", "--function", "process_photo", "--search=cat"),
        ("tasks", "retry", "--failed"),
        ("tasks", "release", str(ID)),
        ("sync", "ai", "--once"),
    ]
    site.asked.clear()
    assert await refused(tasks.task_action.fn(site, ID, "delete")) == 404
    for no_worker in ("waste", "nothing", "--help"):
        assert await refused(tasks.sync.fn(site, no_worker)) == 404
    assert site.asked == []


async def test_a_message_is_no_option_and_a_no_is_said_without_the_command_s_name(site: Any) -> None:
    site.done = {"ok": True, "said": '[{"task": "t"}]'}
    sent = await tasks.send_message.fn(site, tasks.Sending("ai/look", {"a": 1}, owner="waste"))
    await tasks.send_message.fn(site, tasks.Sending("--help", None))
    assert sent == {"task": "t"}
    assert site.asked == [
        ("tasks", "send", "--json", "--owner=waste", "--", "ai/look", '{"a":1}'),
        ("tasks", "send", "--json", "--", "--help", "null"),
    ]
    site.done = {"ok": False, "said": "eco2 tasks: there is no function look"}
    for asked in (
        tasks.send_message.fn(site, tasks.Sending("ai/look", {})),
        tasks.message_form.fn(site, "ai", "look"),
    ):
        with pytest.raises(HTTPException, match=r"^409: there is no function look$"):
            await asked
    assert site.asked[-1] == ("tasks", "form", "--", "ai/look")


# System


async def test_a_part_is_acted_on_by_its_name_and_a_fault_is_as_it_was_asked_for(site: Any) -> None:
    await system.act.fn(site, "worker-ai.2", "pause")
    await system.add_fault.fn(site, system.Fault("redis-broker", "latency", "20ms", 3.0, "waste"))
    await system.clear_faults.fn(site, "f1")
    await system.clear_faults.fn(site)
    fault = {"target": "redis-broker", "kind": "latency", "source": "waste"} | amount("latency", "20ms")
    assert site.asked == [
        ("pause", {"part": "worker-ai/2"}),
        ("fault-add", {"fault": fault, "seconds": 3.0}),
        ("fault-clear", {"id": "f1"}),
        ("fault-clear", {"id": None}),
    ]
    site.asked.clear()
    for action in ("stop", "snapshot-restore", "environment"):
        assert await refused(system.act.fn(site, "worker-ai", action)) == 404
    assert site.asked == []


# Data


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("image/jpeg", "image/jpeg"),
        ("image/png", "image/png"),
        ("image/webp", "image/webp"),
        ("text/html", "application/octet-stream"),
        ("image/svg+xml", "application/octet-stream"),
    ],
)
async def test_what_a_person_has_uploaded_is_a_picture_or_nothing_that_runs(
    site: Any, monkeypatch: pytest.MonkeyPatch, kind: str, shown: str
) -> None:
    monkeypatch.setattr(data, "content", lambda environment, key: (b"<script>", kind))
    answer = await data.data_object.fn(site, "images/a")
    assert (answer.media_type, answer.content) == (shown, b"<script>")
    assert answer.headers == {"X-Content-Type-Options": "nosniff"}


async def test_only_what_a_service_has_executed_is_explained(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top, "plan", lambda dsn, statement: pytest.fail("no one has executed this"))
    assert await refused(top.explain.fn(site, top.Statement("api-waste", "DROP TABLE analyses"))) == 404
