"""HTTP/1.1 as uvicorn speaks it, but for requests that are none: they too get a problem document."""

import os

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from runtime.http import problems
from shared.errors import BadInput


class ProblemProtocol(HttpToolsProtocol):
    """Answers what can't be parsed (a method of nobody's, a bare line feed, two lengths) as every other error."""

    def send_400_response(self, msg: str) -> None:
        """Answer and hang up: nobody knows where the next request would begin."""
        request_id = os.urandom(16).hex()
        _, _, body = problems.answer(BadInput("request", "is no valid HTTP"), request_id)
        head = (
            f"HTTP/1.1 400 Bad Request\r\ncontent-type: {problems.MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
            f"x-request-id: {request_id}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
