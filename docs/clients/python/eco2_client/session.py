"""A person's tokens, sent with each request, and refreshed once for all requests that need it."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

import httpx
from eco2_client.client import AuthenticatedClient
from eco2_client.models import RefreshRequest, Tokens


class Session(httpx.Auth):
    """What the client of `connect` sends; threads and tasks may share it.

    Args:
        tokens: those that were kept, or None: then set `tokens` to what a log-in answers.
        on_tokens: hears of each change, so that they can be kept: of None when the session is over.
    """

    def __init__(
        self, tokens: Tokens | None = None, on_tokens: Callable[[Tokens | None], None] = lambda tokens: None
    ) -> None:
        self._tokens = tokens
        self._on_tokens = on_tokens
        self._lock = threading.Lock()
        self._async_lock = asyncio.Lock()

    @property
    def tokens(self) -> Tokens | None:
        return self._tokens

    @tokens.setter
    def tokens(self, tokens: Tokens | None) -> None:
        self._tokens = tokens
        self._on_tokens(tokens)

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        used = self._tokens
        answer = yield _with_token(request, used)
        if used is None or not _expired(answer):
            return
        with self._lock:  # the others wait here, and find the new tokens
            if self._tokens is used:
                answer = yield _refresh(request, used)
                answer.read()
                if not self._take(answer):
                    return
        yield _with_token(request, self._tokens or used)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        used = self._tokens
        answer = yield _with_token(request, used)
        if used is None or not _expired(answer):
            return
        async with self._async_lock:
            if self._tokens is used:
                answer = yield _refresh(request, used)
                await answer.aread()
                if not self._take(answer):
                    return
        yield _with_token(request, self._tokens or used)

    def _take(self, answer: httpx.Response) -> bool:
        """Whether the refresh is decided; an answer that decides nothing (429, 503) is the caller's."""
        if answer.is_success:
            self.tokens = Tokens.from_dict(answer.json())
        elif answer.status_code == 401:
            self.tokens = None  # the session is over: the request's own 401 says so
        return answer.is_success or answer.status_code == 401


def connect(base_url: str, session: Session, **options: Any) -> AuthenticatedClient:
    """A client for every operation of the API at `base_url` ("https://api.example.com"); `options` are httpx's."""
    client = AuthenticatedClient(base_url=base_url, token="")
    client.set_httpx_client(httpx.Client(base_url=base_url, auth=session, **options))
    client.set_async_httpx_client(httpx.AsyncClient(base_url=base_url, auth=session, **options))
    return client


def _with_token(request: httpx.Request, tokens: Tokens | None) -> httpx.Request:
    if tokens is not None:
        request.headers["Authorization"] = f"Bearer {tokens.access_token}"
    return request


def _expired(answer: httpx.Response) -> bool:
    """A wrong password is 401 too, and no new token mends it."""
    return answer.status_code == 401 and "invalid_token" in answer.headers.get("WWW-Authenticate", "")


def _refresh(request: httpx.Request, tokens: Tokens) -> httpx.Request:
    body = RefreshRequest(refresh_token=tokens.refresh_token).to_dict()
    return httpx.Request("POST", request.url.copy_with(raw_path=b"/api/v1/auth/refresh"), json=body)
