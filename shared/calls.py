"""HTTP between services: the only way to another service's data. The addresses come from the settings."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

import msgspec

from shared import trace
from shared.errors import Unavailable

if TYPE_CHECKING:
    import httpcore

T = TypeVar("T")
# Seconds for each step of a call (a connection, the request, each piece of the answer): the caller answers somebody too.
PATIENCE = 2.0
# Connections at once, those that are kept, and for how many seconds: less than a host keeps them.
POOL: dict[str, Any] = {"max_connections": 100, "max_keepalive_connections": 20, "keepalive_expiry": 5.0}


class Missing(Unavailable):
    """What was asked for is not there: asking again will not help."""


class Calls:
    """The services that this one may call (`calls` of its service.toml). Imports httpcore at first use.

    Not httpx: what it puts around each request of httpcore's costs as much as the request, and its import twice the memory.
    """

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = dict(urls)

    @cached_property
    def _async_pool(self) -> httpcore.AsyncConnectionPool:
        import httpcore

        return httpcore.AsyncConnectionPool(**POOL)

    @cached_property
    def _pool(self) -> httpcore.ConnectionPool:
        import httpcore

        return httpcore.ConnectionPool(**POOL)

    def _request(self, service: str, path: str, params: Mapping[str, Any] | None, token: str | None) -> dict[str, Any]:
        base = self._urls.get(service)
        if base is None:
            raise LookupError(f"no address for {service}: name it in `calls` of service.toml and in SERVICE_URLS")
        headers = {"traceparent": trace.current()} if trace.current() else {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        url = f"{base}{path}?{urlencode(params)}" if params else base + path
        timeout = dict.fromkeys(("connect", "read", "write", "pool"), PATIENCE)
        return {"method": "GET", "url": url, "headers": headers, "extensions": {"timeout": timeout}}

    async def get(
        self,
        service: str,
        path: str,
        answer: type[T],
        params: Mapping[str, Any] | None = None,
        token: str | None = None,
    ) -> T:
        """GET a path of another service and decode its answer.

        Raises:
            Missing: it answers 404.
            Unavailable: it is away, slow, or answers anything else but 200 of that shape.
        """
        request = self._request(service, path, params, token)
        try:
            response = await self._async_pool.request(**request)
        except _failures() as error:
            raise Unavailable(service) from error
        return _decode(service, response, answer)

    def get_blocking(
        self,
        service: str,
        path: str,
        answer: type[T],
        params: Mapping[str, Any] | None = None,
        token: str | None = None,
    ) -> T:
        """The same for a worker's threads."""
        request = self._request(service, path, params, token)
        try:
            response = self._pool.request(**request)
        except _failures() as error:
            raise Unavailable(service) from error
        return _decode(service, response, answer)

    async def close(self) -> None:
        if "_async_pool" in self.__dict__:
            await self._async_pool.aclose()
        if "_pool" in self.__dict__:
            self._pool.close()


def _failures() -> tuple[type[Exception], ...]:
    import httpcore

    return httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol


def _decode(service: str, response: httpcore.Response, answer: type[T]) -> T:
    if response.status != 200:
        raise (Missing if response.status == 404 else Unavailable)(service)
    try:
        return msgspec.json.decode(response.content, type=answer)
    except msgspec.MsgspecError as error:
        raise Unavailable(service) from error
