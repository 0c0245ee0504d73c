"""What Litestar makes of a handler's data: encoded by msgspec and sent, without Litestar's own Response.

Whatever is more than data in JSON goes through Litestar's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from litestar import Response

from shared.answers import Whole

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode
_EMPTY = (None, 204, 304)


class DataResponse(Response[T]):
    """What Litestar makes of a handler's data (`response_class`)."""

    def __init__(self, content: T, **options: Any) -> None:
        # Type encoders are those of libraries that happen to be installed (pydantic, attrs): our answers are msgspec's.
        status = options.get("status_code")
        self._quick = status not in _EMPTY and options.get("media_type") == "application/json"
        if self._quick:
            self.content = content
            self.status_code = status
        else:
            super().__init__(content, **options)

    def to_asgi_response(
        self, app: Any, request: Any, *, cookies: Iterable[Any] | None = None, headers: Any = None, **options: Any
    ) -> Any:
        if self._quick and not cookies:
            body = _encode(self.content) if self.content is not None else b""
            return Whole(self.status_code or 200, body, more=headers)
        return super().to_asgi_response(app, request, cookies=cookies, headers=headers, **options)
