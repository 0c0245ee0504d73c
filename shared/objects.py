"""The object store (S3): what the system keeps of photographs. Requests are signed and sent by shared.s3."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import Struct

from shared import clock, spans
from shared.errors import Unavailable
from shared.s3 import PATIENCE, Bucket, Stumbled, whole

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    from shared.s3_xml import StoredObject
    from shared.settings import Settings

# S3 lists and deletes at most so many keys in one request.
_BATCH = 1000


class ObjectMissing(Exception):
    """There is no object under this key."""


class ObjectTooLarge(Exception):
    """The object is larger than the reader allows."""


class PresignedPost(Struct, frozen=True):
    """An address and the form fields that a client posts there, with the file as the last field `file`."""

    url: str
    fields: dict[str, str]
    expires_at: datetime


class ObjectStore:
    """One bucket. All methods block: an event loop calls them through `asyncio.to_thread`.

    Raises (all methods): Unavailable when the store is away or refuses to answer.
    """

    def __init__(self, settings: Settings, *, waiting: bool = False) -> None:
        """`waiting`: somebody waits for the answer, who is better told within two seconds that the store is away."""
        self._settings = settings
        self._requests = Bucket(settings, waiting=waiting)
        self.bucket = settings.s3_bucket

    def heard_lately(self) -> bool:
        """Whether it has answered somebody a moment ago. Does not block."""
        return self._requests.heard_lately()

    @contextlib.contextmanager
    def _guard(self, key: str = "") -> Iterator[None]:
        from botocore.exceptions import BotoCoreError

        try:
            with spans.span(f"object {key}" if key else "objects", "s3"):
                yield
        except (BotoCoreError, OSError) as error:
            raise Unavailable("object store") from error

    def presign_post(self, key: str, *, content_type: str, max_bytes: int, seconds: int) -> PresignedPost:
        """A form that lets anyone who has it put one object of that type, 1 to `max_bytes` bytes, under `key`.

        The signature is made here, without the store; it ends after `seconds`.
        """
        expires_at = clock.now() + timedelta(seconds=seconds)
        with self._guard(key):
            fields = self._requests.form(
                key,
                {"Content-Type": content_type},
                [{"Content-Type": content_type}, ["content-length-range", 1, max_bytes]],
                # By the system's clock, which a test may move; the signature's own date is the machine's.
                f"{expires_at:%Y-%m-%dT%H:%M:%SZ}",
            )
        return PresignedPost(url=self._requests.address, fields=fields, expires_at=expires_at)

    def size(self, key: str) -> int:
        """The object's size in bytes.

        Raises:
            ObjectMissing: when there is none.
        """
        with self._guard(key):
            answer = self._ask("HEAD", key)
            if answer.status == 404:
                raise ObjectMissing(key)
            return int(answer.headers["Content-Length"])

    def get(self, key: str, max_bytes: int) -> bytes:
        """The object's content.

        Raises:
            ObjectMissing: when there is none.
            ObjectTooLarge: when it has more than `max_bytes`; nothing more than that is read.
        """
        with self._guard(key):
            answer = self._ask("GET", key, max_bytes=max_bytes)
            content: bytes = answer.data
            if answer.status == 200:
                return content
            if b"<Code>NoSuchKey<" in content:
                raise ObjectMissing(key)
            raise Stumbled("the store answers 404 of something else")

    def put(self, key: str, content: bytes, *, content_type: str, cache_control: str = "") -> None:
        """Store an object, replacing one of the same key."""
        headers = {"Content-Type": content_type} | ({"Cache-Control": cache_control} if cache_control else {})
        with self._guard(key):
            if self._ask("PUT", key, content, headers).status == 404:
                raise Stumbled("there is no such bucket")

    def _ask(
        self,
        method: str,
        key: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        *,
        query: dict[str, str] | None = None,
        max_bytes: int | None = None,
        patience: tuple[float, float] | None = None,
    ) -> BaseHTTPResponse:
        """The store's answer, read as a whole: 200, 204 or 404. Of any other, and of half of one, another is asked for."""
        for left in range(self._requests.attempts - 1, -1, -1):
            try:
                answer = self._requests.ask(method, key, body, headers, query, patience=patience)
                length = answer.headers.get("Content-Length", "")
                # One without a length too: how much of it there is would be seen at the end alone.
                if (
                    max_bytes is not None
                    and answer.status == 200
                    and not (length.isdigit() and int(length) <= max_bytes)
                ):
                    answer.close()
                    raise ObjectTooLarge(key)
                whole(answer)
                break
            except Stumbled:
                if not left:
                    raise
        return answer

    def delete(self, *keys: str) -> None:
        """Delete objects; keys that are not there are not an error."""
        if len(keys) == 1:
            # Half the work, here and there, of a list of one.
            with self._guard(keys[0]):
                if self._ask("DELETE", keys[0]).status != 204:
                    raise Stumbled("the object was not deleted")
            return
        from shared.s3_xml import deletion, undeleted

        for start in range(0, len(keys), _BATCH):
            body, headers = deletion(keys[start : start + _BATCH])
            with self._guard():
                if left := undeleted(self._ask_bucket("POST", {"delete": ""}, body, headers)):
                    raise Stumbled(f"{len(left)} objects were not deleted: {left[0]}")

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Everything below a prefix, in the order of the keys."""
        after, more = "", True
        while more:
            page, more = self._list(prefix, after, _BATCH)
            yield from page
            if not page:
                return
            after = page[-1].key

    def page(self, prefix: str, after: str, limit: int) -> Sequence[StoredObject]:
        """At most `limit` (1 to 1000) objects below a prefix whose keys come after `after`, in the order of the keys."""
        return self._list(prefix, after, limit)[0]

    def _list(self, prefix: str, after: str, limit: int) -> tuple[Sequence[StoredObject], bool]:
        from shared.s3_xml import listed

        query = {"list-type": "2", "encoding-type": "url", "max-keys": str(limit), "prefix": prefix}
        with self._guard(prefix):
            # No one waits for a list, in a host either, and a full page takes a busy store seconds.
            return listed(self._ask_bucket("GET", query | ({"start-after": after} if after else {}), patience=PATIENCE))

    def _ask_bucket(
        self,
        method: str,
        query: dict[str, str],
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        *,
        patience: tuple[float, float] | None = None,
    ) -> bytes:
        answer = self._ask(method, "", body, headers, query=query, patience=patience)
        if answer.status == 404:
            raise Stumbled("there is no such bucket")
        content: bytes = answer.data
        return content

    def ready(self) -> bool:
        """Whether the bucket answers now."""
        try:
            with self._guard():
                return self._ask("HEAD", "").status == 200
        except Unavailable:
            return False

    def warm(self) -> None:
        """Import what a signature takes (100 ms), so that the first request need not."""
        with contextlib.suppress(Unavailable):
            self.presign_post("warm", content_type="text/plain", max_bytes=1, seconds=1)

    def close(self) -> None:
        """Close the connections, if any were opened."""
        self._requests.close()

    def public_url(self, key: str) -> str:
        """Where anybody can fetch a public copy: CloudFront, or the emulator's gateway."""
        return f"{self._settings.cdn_base_url.rstrip('/')}/{key}"
