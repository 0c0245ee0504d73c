"""moto's S3 with nothing of moto around it: one request in, one answer out.

moto is made to stand in for boto3 inside a test, and for all of AWS as a server. To import it brings boto3, the libraries that
intercept requests, Flask with its templates, and AWS' 1,400 policies: 25 MB of which an S3 uses nothing. `load` puts placeholders
in their places, then takes S3 alone.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from types import ModuleType
from typing import Any

from werkzeug.test import Client
from werkzeug.wrappers import Request, Response

from emulator.servers.s3.plain import Plain


class _Session:
    """What moto asks botocore's session: which services there are."""

    def get_available_services(self) -> list[str]:
        return ["s3"]


_ACCOUNT = "123456789012"  # moto's own
# Modules as far as they are used here. A version of moto that uses more fails at its first import, and says what it misses.
_PLACEHOLDERS: Mapping[str, Mapping[str, Any]] = {
    "boto3": {"Session": None},
    "botocore.session": {"Session": _Session},
    # In the module that has what moto changes of werkzeug's server.
    "flask": {"Flask": None, "Request": Request},
    "flask.testing": {"FlaskClient": object},
    "flask_cors": {"CORS": None},
    "moto.core.models": {
        "DEFAULT_ACCOUNT_ID": _ACCOUNT,
        **dict.fromkeys(("MockAWS", "ProxyModeMockAWS", "ServerModeMockAWS", "patch_client", "patch_resource")),
    },
    # Each request is noted in moto's IAM, which would read the policies first, and the certificates of servers.
    "moto.iam.aws_managed_policies": {"aws_managed_policies_data": "{}"},
    "cryptography.x509": {},
    "moto.cloudwatch.models": {"MetricDatum": None},
    "moto.core.versions": {"PYTHON_311": True},
}


class _Answer(Response):
    default_mimetype = "application/xml"


class Store:
    """moto's S3: a WSGI application for requests that are already checked, of one thread at a time."""

    def __init__(self) -> None:
        """Import moto's memory of buckets and objects. To be made once, before anything else of the process has imported moto."""
        for name, content in _PLACEHOLDERS.items():
            sys.modules[name] = module = ModuleType(name)
            vars(module).update(content)
        _without_init("requests")  # of which moto's S3 uses a dict
        sys.modules["charset_normalizer"] = None  # type: ignore[assignment]  # "can't be imported": requests does without it
        from moto.s3.models import s3_backends

        self.backend = s3_backends[_ACCOUNT]["aws"]
        self._plain = Plain(self.backend)

    @cached_property
    def _moto(self) -> tuple[Any, Any]:
        """What reads a request and what answers it, with AWS' description of S3: 8 MB, for requests that are not `plain`."""
        importlib.import_module("moto.iam.models")
        from moto.core.routing import get_service_router
        from moto.core.utils import get_service_model
        from moto.moto_server.werkzeug_app import BackendRequest
        from moto.s3.responses import S3Response

        get_service_router("s3")
        _forget_documentation(get_service_model("s3")._service_description)
        return BackendRequest, S3Response

    def plain(
        self, method: str, bucket: str, key: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> Response | None:
        """The same for a request that is one of `plain.py`."""
        found = self._plain.answer(method, bucket, key, query, headers, body)
        if found is None:
            return None
        status, said, content = found
        return _Answer([content], status, said)

    def answer(self, environ: dict[str, Any]) -> Response:
        """What S3 says to this request. Raises werkzeug's HTTPException for what it refuses before it looks."""
        read, s3 = self._moto
        request = read(environ)
        bucket, _, key = request.path.lstrip("/").partition("/")
        ask = s3.key_dispatch if key else s3.ambiguous_dispatch if bucket else s3.bucket_dispatch
        status, headers, content = ask(request, request.raw_url, dict(request.headers))
        # In a list: of a text by itself werkzeug tells the length, and a HEAD has that of what it does not send.
        return _Answer([content], status, headers)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        return self.answer(environ)(environ, start_response)

    def put(self, path: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Repeat a request of an earlier life."""
        Client(self).put(path, data=body, headers=headers)


def _forget_documentation(description: Any) -> None:
    """Drop what AWS tells people about each operation and field: four fifths of the description, 2 MB."""
    if isinstance(description, dict):
        if isinstance(description.get("documentation"), str):
            del description["documentation"]
        description = list(description.values())
    if isinstance(description, list):
        for part in description:
            _forget_documentation(part)


def _without_init(name: str) -> None:
    """Have a package whose modules can be imported one by one, without what the package itself imports."""
    found = importlib.util.find_spec(name)
    assert found is not None
    sys.modules[name] = package = ModuleType(name)
    package.__path__ = list(found.submodule_search_locations or ())
