"""What a function answers, on its shortest way: data encoded by msgspec and sent, without Litestar's own Response.

Whatever is more than data in JSON goes through Litestar's.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import MediaType, Response
from litestar.handlers import HTTPRouteHandler

from shared.answers import Whole

if TYPE_CHECKING:
    from litestar import Litestar, Request
    from litestar.types import ASGIApp, ExceptionHandlersMap

_encode = msgspec.json.Encoder().encode


class Answering(HTTPRouteHandler):
    """A handler that finds out once what is the same for all of its answers.

    Litestar (2.25) makes a Response of its own of each data, with the encoders of libraries that happen to be installed, and
    looks through all layers of an application for the handlers of errors at each request.
    """

    async def to_response(self, app: Litestar, data: Any, request: Request[Any, Any, Any]) -> ASGIApp:
        if isinstance(data, Response) or not self._is_data:
            return await super().to_response(app, data, request)
        return Whole(self.status_code, _encode(data) if data is not None else b"", more=self._headers)

    def resolve_exception_handlers(self) -> ExceptionHandlersMap:
        return self._errors

    @cached_property
    def _is_data(self) -> bool:
        """Whether nothing but data in JSON is answered."""
        more = self.background or self.after_request or self.resolve_response_cookies()
        return not more and self.status_code not in (204, 304) and self.media_type == MediaType.JSON

    @cached_property
    def _headers(self) -> dict[str, str]:
        return {h.name: h.value or "" for h in self.resolve_response_headers() if not h.documentation_only}

    @cached_property
    def _errors(self) -> ExceptionHandlersMap:
        return super().resolve_exception_handlers()
