"""Requests to an S3 bucket by boto3's own signature, without boto3's client.

The client knows a hundred operations from four megabytes of JSON: 20 MiB of memory and 170 ms of start in each process, and
2 ms of a core for each request. Forms, objects, lists and deletions need the signature alone.
"""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from urllib3 import BaseHTTPResponse, PoolManager

    from shared.settings import Settings

# Seconds to connect, and to wait for bytes; shorter where somebody waits, who is better told within two seconds.
PATIENCE = (1, 10)
PATIENCE_WITH_SOMEBODY_WAITING = (0.5, 1.3)
# A store that answers others meanwhile is not away but busy: it is asked again for so many seconds.
BUSY = 6.0
# Seconds in which an answer to somebody else says that it is there.
LATELY = 0.5
# Connections that are kept between requests: as many as threads ask at once, or each would open one for itself.
KEPT = 32


class Stumbled(OSError):
    """No whole answer came; another one may."""


class _Keys(Struct, frozen=True):
    """Credentials as botocore's signature reads them; botocore's own come with all the places where they may be found."""

    access_key: str
    secret_key: str
    token: None = None


class Bucket:
    """One bucket, through kept connections. Its methods block; threads may share it."""

    def __init__(self, settings: Settings, *, waiting: bool) -> None:
        self._settings = settings
        self.patience = PATIENCE_WITH_SOMEBODY_WAITING if waiting else PATIENCE
        # A store that stumbles is asked once more, as boto3 does: it may have closed a kept connection, or be busy.
        self.attempts = 1 if waiting else 2
        self._heard = 0.0  # the moment of its last answer

    @cached_property
    def address(self) -> str:
        """Of the bucket, where forms are posted."""
        given = self._settings
        if given.s3_endpoint_url:
            return f"{given.s3_endpoint_url.rstrip('/')}/{given.s3_bucket}"
        return f"https://{given.s3_bucket}.s3.{given.aws_region}.amazonaws.com/"

    @cached_property
    def _http(self) -> PoolManager:
        """With the certificates and the proxies that boto3 uses."""
        from botocore.httpsession import get_cert_path
        from botocore.utils import get_environ_proxies
        from urllib3 import PoolManager, ProxyManager

        proxy = get_environ_proxies(self.address).get(self.address.partition(":")[0])
        given: Any = {"retries": False, "maxsize": KEPT}
        given["ca_certs"] = get_cert_path(verify=True)
        return ProxyManager(proxy, **given) if proxy else PoolManager(**given)

    @cached_property
    def _machines(self) -> Any:
        """The machine's or the pod's own credentials, renewed when they end; None when there are none."""
        from botocore.session import Session

        return Session().get_credentials()

    def _credentials(self) -> Any:
        from botocore.exceptions import NoCredentialsError

        given = self._settings
        if given.aws_access_key_id:
            return _Keys(given.aws_access_key_id, given.aws_secret_access_key)
        if self._machines is None:
            raise NoCredentialsError
        return self._machines.get_frozen_credentials()

    def ask(
        self,
        method: str,
        key: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        *,
        patience: tuple[float, float] | None = None,
    ) -> BaseHTTPResponse:
        """Send one request for an object (the bucket itself: key ""). The answer's body is not read yet.

        Args:
            patience: seconds to connect and to wait for bytes, where they are not the bucket's own.

        Raises:
            Stumbled: the store does not answer.
            BotoCoreError: there are no credentials.
        """
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest

        address = f"{self.address.rstrip('/')}/{quote(key, safe='/~')}"
        if query:
            address += f"?{urlencode(query, quote_via=quote, safe='-_.~')}"
        signed = AWSRequest(method, address, headers=dict(headers or {}), data=body)
        S3SigV4Auth(self._credentials(), "s3", self._settings.aws_region).add_auth(signed)
        return self._send(method, address, body, dict(signed.headers.items()), *(patience or self.patience))

    def _send(
        self, method: str, address: str, body: bytes, headers: dict[str, str], connect: float, read: float
    ) -> BaseHTTPResponse:
        from urllib3 import Timeout
        from urllib3.exceptions import HTTPError, TimeoutError  # noqa: A004 - urllib3's own

        begun, timeout = time.monotonic(), Timeout(connect=connect, read=read)
        while True:
            try:
                answer = self._http.urlopen(
                    method, address, body=body or None, headers=headers, timeout=timeout, preload_content=False
                )
            except TimeoutError as error:
                if self._heard < begun or time.monotonic() - begun > BUSY:
                    raise Stumbled(type(error).__name__) from error
            except HTTPError as error:
                raise Stumbled(type(error).__name__) from error
            else:
                if answer.status < 400 or answer.status == 404:
                    self._heard = time.monotonic()
                return answer

    def form(self, key: str, fields: dict[str, str], conditions: list[Any], expiration: str) -> dict[str, str]:
        """The fields of a form that puts an object (a signed POST policy); `expiration` is RFC 3339 in UTC."""
        from botocore.auth import S3SigV4PostAuth
        from botocore.awsrequest import AWSRequest

        request = AWSRequest("POST", self.address)
        conditions = [*conditions, {"bucket": self._settings.s3_bucket}, {"key": key}]
        request.context["s3-presign-post-fields"] = {**fields, "key": key}
        request.context["s3-presign-post-policy"] = {"expiration": expiration, "conditions": conditions}
        S3SigV4PostAuth(self._credentials(), "s3", self._settings.aws_region).add_auth(request)
        made: dict[str, str] = request.context["s3-presign-post-fields"]
        return made

    def heard_lately(self) -> bool:
        """Whether it has answered somebody within the last half a second."""
        return time.monotonic() - self._heard < LATELY

    def close(self) -> None:
        """Close the connections, if any were opened."""
        if "_http" in self.__dict__:
            self._http.clear()


def whole(answer: BaseHTTPResponse) -> None:
    """Read the answer to its end; only 200, 204 and 404 are answers.

    Raises:
        Stumbled: half of it came (half a photo would be taken for a damaged one), or it is neither.
    """
    from urllib3.exceptions import HTTPError

    try:
        answer.data  # noqa: B018 - reads, and keeps what it read
    except HTTPError as error:
        raise Stumbled(type(error).__name__) from error
    if answer.status not in (200, 204, 404):
        raise Stumbled(f"the store answers {answer.status}")
