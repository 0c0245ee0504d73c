"""A browser and an app that sign in with a provider, for the tests of each step."""

import secrets
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from functions.auth.pkce import challenge
from shared.ids import new_id
from tests import web

PREFIX = "/api/v1/auth"
RETURN_TO = "http://localhost:5173/signed-in"


class App:
    """One app in one browser. `auth` is the service, `subject` and `email` are the person's at the provider."""

    def __init__(self, auth: httpx.AsyncClient, provider: str = "kakao") -> None:
        self.auth = auth
        self.provider = provider
        self.verifier = secrets.token_urlsafe(48)
        self.subject = f"{provider}-{new_id().hex}"
        self.email = f"{self.subject}@example.com"

    @property
    def challenge(self) -> str:
        return challenge(self.verifier)

    async def start(self, **changed: str) -> httpx.Response:
        query = {"return_to": RETURN_TO, "code_challenge": self.challenge} | changed
        return await self.auth.get(f"{PREFIX}/oauth/{self.provider}/start", params=query)

    async def consent(self, url: str, outcome: str = "allow") -> str:
        """Read the provider's page and answer it; where the provider sends the browser then."""
        async with web.AsyncClient() as browser:
            page = await browser.get(url)
            assert page.status_code == 200, page.text
            form = dict(parse_qsl(urlsplit(url).query)) | {"subject": self.subject, "email": self.email}
            answer = await browser.post(url.partition("?")[0], data=form | {"outcome": outcome})
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    async def come_back(self, url: str) -> httpx.Response:
        """The callback, as the browser that the provider sent asks for it."""
        parts = urlsplit(url)
        return await self.auth.get(f"{parts.path}?{parts.query}")

    async def walk(self, outcome: str = "allow") -> dict[str, str]:
        """Everything up to the app: what is in its address in the end."""
        started = await self.start()
        assert started.status_code == 303, started.text
        back = await self.come_back(await self.consent(started.headers["location"], outcome))
        assert back.status_code == 303, back.text
        location = back.headers["location"]
        assert location.startswith(RETURN_TO)
        return dict(parse_qsl(urlsplit(location).query))

    async def exchange(self, code: str, **changed: str) -> httpx.Response:
        body = {"code": code, "code_verifier": self.verifier} | changed
        return await self.auth.post(f"{PREFIX}/oauth/exchange", json=body)

    async def sign_in(self) -> dict[str, Any]:
        """The tokens."""
        answer = await self.exchange((await self.walk())["code"])
        assert answer.status_code == 200, answer.text
        return dict(answer.json())
