"""HTTP between services: the only way to another service's data. The addresses come from the settings."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from shared import trace
from shared.errors import Unavailable

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
# Seconds for the whole of one call: the caller answers somebody too.
PATIENCE = 2.0


class Missing(Unavailable):
    """What was asked for is not there: asking again will not help."""


class Calls:
    """The services that this one may call (`calls` of its service.toml). Imports httpx at first use."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = dict(urls)

    @cached_property
    def _async_client(self) -> httpx.AsyncClient:
        import httpx

        return httpx.AsyncClient(timeout=PATIENCE, trust_env=False)

    @cached_property
    def _client(self) -> httpx.Client:
        import httpx

        return httpx.Client(timeout=PATIENCE, trust_env=False)

    def _request(self, service: str, path: str, token: str | None) -> tuple[str, dict[str, str]]:
        base = self._urls.get(service)
        if base is None:
            raise LookupError(f"no address for {service}: name it in `calls` of service.toml and in SERVICE_URLS")
        headers = {"traceparent": trace.current()} if trace.current() else {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return base + path, headers

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
        import httpx

        url, headers = self._request(service, path, token)
        try:
            response = await self._async_client.get(url, params=params, headers=headers)
        except httpx.HTTPError as error:
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
        import httpx

        url, headers = self._request(service, path, token)
        try:
            response = self._client.get(url, params=params, headers=headers)
        except httpx.HTTPError as error:
            raise Unavailable(service) from error
        return _decode(service, response, answer)

    async def close(self) -> None:
        if "_async_client" in self.__dict__:
            await self._async_client.aclose()
        if "_client" in self.__dict__:
            self._client.close()


def _decode(service: str, response: httpx.Response, answer: type[T]) -> T:
    if response.status_code != 200:
        raise (Missing if response.status_code == 404 else Unavailable)(service)
    try:
        return msgspec.json.decode(response.content, type=answer)
    except msgspec.MsgspecError as error:
        raise Unavailable(service) from error
