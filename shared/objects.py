"""The object store (S3): what the system keeps of photographs. boto3 is imported at first use, in the processes that use it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from msgspec import Struct

from shared import clock, spans
from shared.errors import Unavailable

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest
    from mypy_boto3_s3.client import S3Client
    from urllib3 import PoolManager

    from shared.settings import Settings

# S3 deletes at most so many keys in one request.
_DELETE_BATCH = 1000
_MISSING = {"404", "NoSuchKey", "NotFound"}
# Seconds to connect, and to wait for bytes.
_TIMEOUTS = (1, 10)


class ObjectMissing(Exception):
    """There is no object under this key."""


class ObjectTooLarge(Exception):
    """The object is larger than the reader allows."""


class _Stumbled(OSError):
    """No whole answer came; another one may."""


class PresignedPost(Struct, frozen=True):
    """An address and the form fields that a client posts there, with the file as the last field `file`."""

    url: str
    fields: dict[str, str]
    expires_at: datetime


class StoredObject(Struct, frozen=True):
    """A listed object: its key, its size in bytes, and when it was stored."""

    key: str
    size: int
    modified_at: datetime


class ObjectStore:
    """One bucket. All methods block: an event loop calls them through `asyncio.to_thread`.

    Raises (all methods): Unavailable when the store is away or refuses to answer.
    """

    def __init__(self, settings: Settings, *, waiting: bool = False) -> None:
        """`waiting`: somebody waits for the answer, who is better told within two seconds that the store is away."""
        self._settings = settings
        self._waiting = waiting
        self.bucket = settings.s3_bucket

    @cached_property
    def client(self) -> S3Client:
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self._settings.s3_endpoint_url or None,
            region_name=self._settings.aws_region,
            aws_access_key_id=self._settings.aws_access_key_id or None,
            aws_secret_access_key=self._settings.aws_secret_access_key or None,
            config=Config(
                signature_version="s3v4",
                connect_timeout=0.5 if self._waiting else _TIMEOUTS[0],
                read_timeout=1.3 if self._waiting else _TIMEOUTS[1],
                retries={"total_max_attempts": 1 if self._waiting else 2, "mode": "standard"},
                s3={"addressing_style": "path" if self._settings.s3_endpoint_url else "virtual"},
            ),
        )

    @cached_property
    def _http(self) -> PoolManager:
        """Kept connections for `get`, with the certificates and the proxies that boto3 uses."""
        from botocore.httpsession import get_cert_path
        from botocore.utils import get_environ_proxies
        from urllib3 import PoolManager, ProxyManager, Timeout

        address = self.client.meta.endpoint_url
        proxy = get_environ_proxies(address).get(address.partition(":")[0])
        given: Any = {"timeout": Timeout(*_TIMEOUTS), "retries": False, "ca_certs": get_cert_path(verify=True)}
        return ProxyManager(proxy, **given) if proxy else PoolManager(**given)

    @cached_property
    def _base(self) -> str:
        """What stands before the keys in the addresses of objects, by boto3's word."""
        example: Any = {"Bucket": self.bucket, "Key": "x"}
        return self.client.generate_presigned_url("get_object", example).partition("?")[0].removesuffix("x")

    def _signed(self, key: str) -> AWSPreparedRequest:
        """A GET of an object with its signature."""
        import boto3
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials
        from botocore.exceptions import NoCredentialsError

        request = AWSRequest("GET", self._base + quote(key, safe="/~"))
        if self._settings.aws_access_key_id:
            found: Any = Credentials(self._settings.aws_access_key_id, self._settings.aws_secret_access_key)
        else:
            # The session that `client` was made by: a role's credentials are renewed there.
            found = boto3.DEFAULT_SESSION and boto3.DEFAULT_SESSION.get_credentials()
        if not found:
            raise NoCredentialsError
        S3SigV4Auth(found.get_frozen_credentials(), "s3", self._settings.aws_region).add_auth(request)
        return request.prepare()

    @contextmanager
    def _guard(self, key: str = "") -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            with spans.span(f"object {key}" if key else "objects", "s3"):
                yield
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _MISSING:
                raise ObjectMissing(key) from None
            raise Unavailable("object store") from error
        except (BotoCoreError, OSError) as error:
            raise Unavailable("object store") from error

    def presign_post(self, key: str, *, content_type: str, max_bytes: int, seconds: int) -> PresignedPost:
        """A form that lets anyone who has it put one object of that type, 1 to `max_bytes` bytes, under `key`.

        The signature is made here, without the store; it ends after `seconds`.
        """
        expires_at = clock.now() + timedelta(seconds=seconds)
        with self._guard(key):
            form = self.client.generate_presigned_post(
                self.bucket,
                key,
                Fields={"Content-Type": content_type},
                Conditions=[{"Content-Type": content_type}, ["content-length-range", 1, max_bytes]],
                # boto3 counts from the machine's clock; the expiry is to be that of the system's.
                ExpiresIn=seconds + round(clock.offset()),
            )
        return PresignedPost(url=form["url"], fields=form["fields"], expires_at=expires_at)

    def size(self, key: str) -> int:
        """The object's size in bytes.

        Raises:
            ObjectMissing: when there is none.
        """
        with self._guard(key):
            return self.client.head_object(Bucket=self.bucket, Key=key)["ContentLength"]

    def get(self, key: str, max_bytes: int) -> bytes:
        """The object's content.

        Raises:
            ObjectMissing: when there is none.
            ObjectTooLarge: when it has more than `max_bytes`; nothing more than that is read.
        """
        with self._guard(key):
            try:
                return self._fetch(key, max_bytes)
            except _Stumbled:
                # As boto3 does: the store may have closed a connection that was kept, or be busy for a moment.
                return self._fetch(key, max_bytes)

    def _fetch(self, key: str, max_bytes: int) -> bytes:
        """One GET.

        boto3's `get_object` takes 2.2 ms of a core, most of it in hooks that have nothing to do here. The same bytes by its
        own signature take a third of that.
        """
        from urllib3.exceptions import HTTPError

        request = self._signed(key)
        try:
            answer = self._http.urlopen(
                "GET", request.url, headers=dict(request.headers), redirect=False, preload_content=False
            )
            # A body of another length than announced is an HTTPError too: half a photo would be taken for a damaged one.
            if answer.status == 200 and int(answer.headers.get("Content-Length", max_bytes + 1)) > max_bytes:
                answer.close()
                raise ObjectTooLarge(key)
            content: bytes = answer.data
        except HTTPError as error:
            raise _Stumbled(type(error).__name__) from error
        if answer.status == 404 and b"<Code>NoSuchKey<" in content:
            raise ObjectMissing(key)
        if answer.status != 200:
            raise _Stumbled(f"the store answers {answer.status}")
        return content

    def put(self, key: str, content: bytes, *, content_type: str, cache_control: str = "") -> None:
        """Store an object, replacing one of the same key."""
        extra: Any = {"CacheControl": cache_control} if cache_control else {}
        with self._guard(key):
            self.client.put_object(Bucket=self.bucket, Key=key, Body=content, ContentType=content_type, **extra)

    def delete(self, *keys: str) -> None:
        """Delete objects; keys that are not there are no error."""
        for start in range(0, len(keys), _DELETE_BATCH):
            batch: Any = [{"Key": key} for key in keys[start : start + _DELETE_BATCH]]
            with self._guard():
                answer = self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": batch, "Quiet": True})
            if answer.get("Errors"):
                raise Unavailable("object store")

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Everything below a prefix, in the order of the keys."""
        with self._guard(prefix):
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
                for found in page.get("Contents", ()):
                    yield StoredObject(found["Key"], found["Size"], found["LastModified"])

    def ready(self) -> bool:
        """Whether the bucket answers now."""
        try:
            with self._guard():
                self.client.head_bucket(Bucket=self.bucket)
        except (Unavailable, ObjectMissing):
            return False
        return True

    def close(self) -> None:
        """Close the connections, if any were opened."""
        if "_http" in self.__dict__:
            self._http.clear()
        if "client" in self.__dict__:
            self.client.close()

    def public_url(self, key: str) -> str:
        """Where anybody can fetch a public copy: CloudFront, or the emulator's gateway."""
        return f"{self._settings.cdn_base_url.rstrip('/')}/{key}"
