"""The typed client that `make client` writes does a person's day on the running system."""

import asyncio
import importlib
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import httpx
import pytest

from runtime.services import ROOT
from tests import web
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


def part(name: str) -> Any:
    """A module of the package."""
    return importlib.import_module(f"{generator.PACKAGE}.{name}")


def call(operation: str, **arguments: Any) -> Any:
    """What an operation answers."""
    tag = {"chat": "chat_llm", "recycle": "recycle_info"}.get(operation.partition("_")[0], operation.partition("_")[0])
    return part("answers").value(part(f"api.{tag}.{operation}").sync_detailed(**arguments))


@pytest.fixture
def models(package: ModuleType) -> Any:
    return part("models")


@pytest.fixture
def asked() -> list[httpx.Request]:
    """The requests that the client sends."""
    return []


@pytest.fixture
def client(package: ModuleType, system: System, models: Any, asked: list[httpx.Request]) -> Iterator[Any]:
    """A new person's client."""
    session = part("session").Session()
    made = part("session").connect(
        system.url, session, trust_env=False, timeout=30, event_hooks={"request": [asked.append], "response": []}
    )
    name = f"client-{uuid4().hex}"
    new = models.RegisterRequest(username=name, email=f"{name}@example.com", password=PASSWORD)
    person = call("auth_register", client=made, body=new)
    assert person.username == name
    session.tokens = call("auth_login", client=made, body=models.LoginRequest(username=name, password=PASSWORD))
    assert call("auth_me", client=made) == person
    with closing(made.get_httpx_client()):
        yield made


def analyse(client: Any, models: Any) -> Any:
    """A photo uploaded, and its analysis begun."""
    sent: list[float] = []
    key = part("upload").upload(client, photo(), "image/jpeg", on_progress=sent.append)
    assert sent == sorted(sent)
    assert sent[-1] == 1
    return call("waste_create_analysis", client=client, body=models.AnalysisRequest(image_key=key))


def test_the_document_is_what_the_gateway_serves(system: System) -> None:
    served = web.get(f"{system.url}/openapi.json", timeout=30).json()
    assert generator.document()["paths"] == served["paths"]


def test_our_modules_fit_the_generated_ones_strictly(package: ModuleType) -> None:
    folder = Path(str(package.__file__)).parent
    ours = [str(folder / file.name) for file in (generator.OURS / generator.PACKAGE).glob("*.py")]
    checked = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--follow-imports=silent",
            "--cache-dir",
            str(folder / ".mypy"),
            *ours,
        ],
        cwd=folder.parent,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert checked.returncode == 0, checked.stdout


def test_a_photo_is_uploaded_followed_to_the_end_and_asked_about(client: Any, models: Any) -> None:
    accepted = analyse(client, models)
    *progress, end = part("follow").follow_analysis(client, accepted.id)
    assert {event.event for event in progress} == {"progress"}
    assert (end.event, end.data.status) == ("done", "success")
    assert end.data.analysis_result.candidates
    assert end.data == call("waste_get_analysis", client=client, analysis_id=accepted.id)
    with pytest.raises(part("answers").ApiError) as missing:
        list(part("follow").follow_analysis(client, uuid4()))
    assert (missing.value.status, missing.value.type) == (404, "urn:eco2:not-found")

    talk = call("chat_llm_create_conversation", client=client, body=models.ConversationRequest(title="t"))
    asked = call(
        "chat_llm_create_message",
        client=client,
        conversation_id=talk.id,
        body=models.MessageRequest(content="이거 어떻게 버려요?", analysis_id=accepted.id),
    )
    words: list[str] = []
    for event in part("follow").follow_reply(client, talk.id, asked.reply.id):
        match event.event:
            case "token":
                words.append(event.data.text)
            case "restart":
                words.clear()
    assert (event.event, event.data.status) == ("done", "success")
    assert "".join(words).strip() == event.data.content.strip()


def test_a_stream_that_breaks_goes_on_behind_the_last_event(
    client: Any, models: Any, asked: list[httpx.Request]
) -> None:
    accepted = analyse(client, models)
    end = list(part("follow").follow_analysis(client, accepted.id))[-1]
    assert end.event == "done"
    http = client.get_httpx_client()
    http._transport = Breaking(http._transport)
    asked.clear()
    told = list(part("follow").follow_analysis(client, accepted.id))
    ids = [event.id for event in told[:-1]]
    assert len(asked) == 2
    assert asked[1].headers["Last-Event-ID"] == ids[0]
    assert len(ids) == len(set(ids)) > 1
    assert told[-1].data == end.data


class Breaking(httpx.BaseTransport):
    """A network that breaks the first answer after its first event."""

    def __init__(self, network: httpx.BaseTransport) -> None:
        self.network = network
        self.broken = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self.network.handle_request(request)
        if not self.broken:
            self.broken = True
            answer.stream = Torn(answer.stream)
        return answer

    def close(self) -> None:
        self.network.close()


class Torn(httpx.SyncByteStream):
    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __iter__(self) -> Iterator[bytes]:
        text = b""
        for piece in self.stream:
            text += piece
            first, end, _ = text.partition(b"\n\n")
            if end:
                yield first + end
                raise httpx.ReadError("the connection broke")

    def close(self) -> None:
        self.stream.close()


def test_parallel_requests_refresh_an_expired_token_once(
    client: Any, system: System, asked: list[httpx.Request]
) -> None:
    system.later(15 * 60 + 1)
    asked.clear()
    together = threading.Barrier(8)
    names = []

    def ask() -> None:
        together.wait()
        names.append(call("auth_me", client=client).username)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names) == 8
    assert [request.url.path for request in asked].count("/api/v1/auth/refresh") == 1


async def test_tasks_refresh_an_expired_token_once_too(
    client: Any, system: System, models: Any, asked: list[httpx.Request]
) -> None:
    system.later(15 * 60 + 1)
    session = client.get_httpx_client().auth
    kept = []
    session._on_tokens = kept.append
    other = part("session").connect(system.url, session, trust_env=False, timeout=30)
    async with other.get_async_httpx_client(), asyncio.TaskGroup() as group:
        me = part("api.auth.auth_me")
        answers = [group.create_task(me.asyncio_detailed(client=other)) for _ in range(8)]
    assert {answer.result().status_code for answer in answers} == {200}
    assert len(kept) == 1


def test_a_session_that_is_over_is_told_as_401(client: Any, models: Any) -> None:
    session = client.get_httpx_client().auth
    session.tokens = models.Tokens(access_token="expired", expires_in=1, refresh_token="x" * 43, token_type="Bearer")
    with pytest.raises(part("answers").ApiError) as refused:
        call("auth_me", client=client)
    assert (refused.value.status, refused.value.type) == (401, "urn:eco2:auth:invalid-token")
    assert session.tokens is None


def test_the_code_for_front_end_developers_does_the_main_job(
    client: Any, system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The Python block of docs/FRONTEND.md, with this system's address and this person's name."""
    text = (ROOT / "docs/FRONTEND.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    name = call("auth_me", client=client).username
    for told, meant in (("http://127.0.0.1:8000", system.url), ("kim.eco", name), ("Lantern-Orchid-71", PASSWORD)):
        assert code.count(told) == 1
        code = code.replace(told, meant)
    (tmp_path / "photo.jpg").write_bytes(photo())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    said: dict[str, Any] = {}
    exec(compile(code, "docs/FRONTEND.md", "exec"), said)
    said["client"].get_httpx_client().close()
    lines = capsys.readouterr().out.splitlines()
    assert "100%" in lines
    assert lines[-1].startswith("done Analysis(")


def test_a_person_s_other_things(client: Any, models: Any) -> None:
    me = call("auth_me", client=client)
    again = models.RegisterRequest(username=me.username, email=f"{me.username}@example.com", password=PASSWORD)
    with pytest.raises(part("answers").ApiError) as taken:
        call("auth_register", client=client, body=again)
    assert (taken.value.status, taken.value.type) == (409, "urn:eco2:auth:username-taken")
    assert [session.current for session in call("auth_list_sessions", client=client).items] == [True]
    new = models.NewPlace(name="집", address="서울", is_default=True)
    place = call("location_create_place", client=client, body=new)
    assert place.is_default
    assert [one.id for one in call("location_list_places", client=client, limit=1).items] == [place.id]
    assert call("recycle_info_search", client=client, q="페트병").items[0].score > 0
    settings = call("userinfo_update_settings", client=client, body=models.SettingsChanges(language="en"))
    assert settings.language == "en"
    call("auth_delete_me", client=client, body=models.EraseRequest(password=PASSWORD))
