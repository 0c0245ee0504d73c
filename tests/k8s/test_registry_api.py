"""What a registry is asked word by word: with which rights, at which address, how often, and in whose words a refusal is told"""

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from k8s.programs import registry_api
from k8s.programs.registry_api import MANIFESTS, Name, Registry, RegistryError, _credentials

Answers = Callable[[httpx.Request], httpx.Response]
BEARER = {"WWW-Authenticate": 'Bearer realm="https://tokens.test/token",service="far"'}


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path / "config.json"


def registry(answers: Answers, name: str = "far.test/eco2/api") -> tuple[Registry, list[httpx.Request]]:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return answers(request)

    # Its own client, but for what reads all authorities of the machine.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx, "Client", partial(httpx.Client, transport=httpx.MockTransport(answer)))
        return Registry(name), asked


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("docker.io/library/postgres", "https://registry-1.docker.io/v2/library/postgres"),
        ("far.test/a/b", "https://far.test/v2/a/b"),
        ("far.test:5000/a", "https://far.test:5000/v2/a"),
        ("localhost:5000/a", "http://localhost:5000/v2/a"),
        ("127.0.0.1:5000/a", "http://127.0.0.1:5000/v2/a"),
    ],
)
def test_a_registry_is_asked_at_its_own_address_and_in_clear_on_this_machine_alone(name: str, address: str) -> None:
    assert Name.parse(name).address == address


@pytest.mark.parametrize("name", ["postgres", "library/postgres", "far.test", "far.test/", ""])
def test_a_name_without_its_registry_is_refused(name: str) -> None:
    with pytest.raises(RegistryError, match="should begin with its registry's host"):
        Name.parse(name)


def test_who_is_let_in_without_a_login_sends_none() -> None:
    made, asked = registry(lambda request: httpx.Response(200, content=b"manifest"))
    assert made.digest("1") == f"sha256:{hashlib.sha256(b'manifest').hexdigest()}"
    (request,) = asked
    assert str(request.url) == "https://far.test/v2/eco2/api/manifests/1"
    assert request.headers["Accept"] == ", ".join(MANIFESTS)
    assert "Authorization" not in request.headers


@pytest.mark.parametrize("login", ["", "bmFtZTpwYXNz"])
@pytest.mark.parametrize("word", ["token", "access_token"])
def test_a_token_is_asked_for_once_for_this_repository_and_sent_from_then_on(
    config: Path, login: str, word: str
) -> None:
    if login:
        config.write_text(json.dumps({"auths": {"far.test": {"auth": login}}}))

    def answers(request: httpx.Request) -> httpx.Response:
        if request.url.host == "tokens.test":
            return httpx.Response(200, json={word: "secret"})
        right = request.headers.get("Authorization") == "Bearer secret"
        return httpx.Response(200, json={"tags": ["1"]}) if right else httpx.Response(401, headers=BEARER)

    made, asked = registry(answers)
    assert made.tags() == made.tags() == ["1"]
    assert [request.url.host for request in asked] == ["far.test", "tokens.test", "far.test", "far.test"]
    assert dict(asked[1].url.params) == {"service": "far", "scope": "repository:eco2/api:pull"}
    assert asked[1].headers.get("Authorization", "") == (f"Basic {login}" if login else "")


def test_a_registry_without_tokens_gets_the_login_itself(config: Path) -> None:
    config.write_text(json.dumps({"auths": {"far.test": {"auth": "bmFtZTpwYXNz"}}}))

    def answers(request: httpx.Request) -> httpx.Response:
        right = request.headers.get("Authorization") == "Basic bmFtZTpwYXNz"
        return httpx.Response(200 if right else 401, headers={"WWW-Authenticate": 'Basic realm="far"'})

    made, asked = registry(answers)
    made.digest("1")
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (httpx.Response(404, json={"errors": [{"code": "X", "message": "no such"}]}), "404 X: no such"),
        (httpx.Response(404, json={"errors": [{"code": "X"}]}), "404 X: "),
        *(
            (httpx.Response(503, **body), "503 Service Unavailable")  # type: ignore[arg-type] # mypy takes `body` for one type
            for body in ({"content": b"<html>"}, {"json": {}}, {"json": {"errors": []}}, {"json": []}, {"json": {"errors": [1]}})
        ),
    ],
)  # fmt: skip
def test_a_refusal_is_told_in_the_registry_s_words_or_its_status(answer: httpx.Response, says: str) -> None:
    made, _ = registry(lambda request: answer)
    with pytest.raises(RegistryError) as told:
        made.digest("1")
    assert str(told.value) == f"far.test/eco2/api: {says}"


def test_who_is_refused_with_a_token_is_not_asked_for_ever() -> None:
    made, asked = registry(
        lambda request: (
            httpx.Response(200, json={"token": "x"})
            if request.url.host == "tokens.test"
            else httpx.Response(401, headers=BEARER)
        )
    )
    for rounds in (3, 4):
        with pytest.raises(RegistryError, match="401"):
            made.digest("1")
        assert len(asked) == rounds
    closed, _ = registry(
        lambda request: httpx.Response(403 if request.url.host == "tokens.test" else 401, headers=BEARER)
    )
    with pytest.raises(RegistryError, match=r"no token from https://tokens.test/token: 403 Forbidden$"):
        closed.digest("1")


def test_a_registry_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    def slow(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("")

    for answers, says in ((away, "refused"), (slow, "ReadTimeout")):
        with pytest.raises(RegistryError, match=rf"^far.test/eco2/api: {says}$"):
            registry(answers)[0].digest("1")


def test_pages_lead_on_until_the_last_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_api, "MOST_PAGES", 3)

    def pages(of: int) -> Answers:
        def answer(request: httpx.Request) -> httpx.Response:
            number = int(request.url.params.get("last", "1"))
            link = {"Link": f'</v2/eco2/api/tags/list?last={number + 1}>; rel="next"'} if number < of else {}
            return httpx.Response(200, json={"tags": [str(number)] if number != 2 else None}, headers=link)

        return answer

    made, asked = registry(pages(3))
    assert made.tags() == ["1", "3"]
    assert asked[0].url.params["n"] == "1000"
    with pytest.raises(RegistryError, match="has more than 3 pages"):
        registry(pages(4))[0].tags()


@pytest.mark.parametrize(
    ("host", "text", "found"),
    [
        *(("far.test", None, ""), ("far.test", "no json", ""), ("far.test", "{}", "")),
        *(("far.test", {"far.test": {"auth": "x"}}, "x"), ("far.test", {"https://far.test": {"auth": "x"}}, "x")),
        *(("far.test", {"other.test": {"auth": "x"}}, ""), ("far.test", {"far.test": {}}, "")),
        ("far.test", {"https://index.docker.io/v1/": {"auth": "x"}}, ""),
        ("docker.io", {"https://index.docker.io/v1/": {"auth": "x"}}, "x"),
    ],
)
def test_a_login_is_that_which_docker_keeps_for_this_registry(config: Path, host: str, text: Any, found: str) -> None:
    if text is not None:
        config.write_text(text if isinstance(text, str) else json.dumps({"auths": text}))
    assert _credentials(host) == found
