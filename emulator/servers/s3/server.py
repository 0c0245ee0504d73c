"""The object store: moto's S3 behind a check of every signature, objects on disk (`python -m emulator.servers.s3.server`).

moto keeps objects in memory and lets everybody in. Here each request is first checked as S3 would
(verify.py, post_policy.py), then given to moto, and what it changed is on disk (fsync, then rename) before the answer leaves.
Settings come from the environment: HOST, PORT, S3_DATA (a folder), S3_BUCKET (made at start), AWS_REGION,
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY.
"""

import io
import os
import sys
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

import msgspec
from werkzeug.exceptions import HTTPException
from werkzeug.http import parse_options_header
from werkzeug.wrappers import Response

from emulator.recording.store_tap import StoreTap
from emulator.servers.s3.disk import Disk
from emulator.servers.s3.errors import S3Error
from emulator.servers.s3.post_policy import verify_post
from emulator.servers.s3.signature import Keys, Moment, Request
from emulator.servers.s3.store import Store
from emulator.servers.s3.verify import verify
from emulator.servers.s3.wire import MAX_BODY, OWN_NAMES, is_form, serve
from runtime import memory
from shared import clock

_CHANGES = {"PUT", "POST", "DELETE"}
# Parts of a form that are read.
_PARTS = 200


class Checked:
    """Answers requests: the check, moto, the disk, in this order."""

    def __init__(self, store: Store, disk: Disk, keys: Keys) -> None:
        self.store = store
        self.disk = disk
        self.keys = keys
        # moto's store is not made for threads: a read may meet a key that a write is disposing of. Bodies are read
        # outside.
        self.lock = threading.Lock()
        self.tap = StoreTap()

    def __call__(self, environ: dict[str, Any]) -> Response:
        try:
            if environ["REQUEST_METHOD"] == "OPTIONS":
                response = _preflight(environ)
            elif environ["PATH_INFO"] == "/_ready" and environ["REQUEST_METHOD"] == "GET":
                response = Response("ready\n")
            else:
                response = self._answer(environ)
        except S3Error as error:
            response = _error(error, environ)
        except HTTPException as error:
            response = _error(S3Error(error.code or 400, "InvalidRequest", error.description or error.name), environ)
        response.headers["Server"] = "AmazonS3"
        # Signatures guard the store, not origins: any page may ask, as with a bucket that allows all origins.
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Access-Control-Expose-Headers"] = "ETag, Location, x-amz-request-id"
        return response

    def _answer(self, environ: dict[str, Any]) -> Response:
        raw_path, _, raw_query = environ["REQUEST_URI"].partition("?")
        bucket, _, key = unquote(raw_path).lstrip("/").partition("/")
        if int(environ["CONTENT_LENGTH"]) > MAX_BODY:
            raise S3Error(
                400,
                "EntityTooLarge",
                "Your proposed upload exceeds the maximum allowed size",
                MaxSizeAllowed=str(MAX_BODY),
            )
        body = environ["wsgi.input"].read()
        moment = Moment(clock.now(), datetime.now(UTC))
        if is_form(environ):
            if not bucket or key:
                raise S3Error(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
            return self._posted(bucket, body, environ, moment)
        headers = _headers(environ)
        body = verify(Request(environ["REQUEST_METHOD"], raw_path, raw_query, headers, body), self.keys, moment)
        with self.lock:
            method = environ["REQUEST_METHOD"]
            quick = self.store.plain(method, bucket, key, raw_query, headers, body)
            response = quick if quick is not None else self._ask_moto(environ, body)
            if method in _CHANGES and response.status_code < 400:
                self.disk.keep(method, bucket, key, raw_query, headers, body, response.get_data())
        return response

    def _ask_moto(self, environ: dict[str, Any], body: bytes) -> Response:
        plain = environ | {
            "wsgi.input": io.BytesIO(body),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_X_AMZ_CONTENT_SHA256": "UNSIGNED-PAYLOAD",
        }
        encoding = [
            part
            for part in environ.get("HTTP_CONTENT_ENCODING", "").split(",")
            if part.strip() not in ("", "aws-chunked")
        ]
        plain.pop("HTTP_CONTENT_ENCODING", None)
        if encoding:
            plain["HTTP_CONTENT_ENCODING"] = ",".join(encoding)
        return self.store.answer(plain)

    def _posted(self, bucket: str, body: bytes, environ: dict[str, Any], moment: Moment) -> Response:
        """Answer a browser's upload; a recording hears of it, whatever the answer."""
        started = time.perf_counter()
        try:
            response = self._post(bucket, body, environ, moment)
        except S3Error as error:
            response = _error(error, environ)
        answer = response.status_code, list(response.headers.items()), response.get_data()
        self.tap.posted(environ["REQUEST_URI"], _headers(environ), body, answer, time.perf_counter() - started)
        return response

    def _post(self, bucket: str, body: bytes, environ: dict[str, Any], moment: Moment) -> Response:
        """A browser's upload by form. Answered here: moto would take the file's own type for the form's."""
        fields, files = _form(environ, body)
        if len(files) != 1:
            raise S3Error(
                400, "InvalidArgument", "POST requires exactly one file upload per request.", ArgumentName="file"
            )
        name, content = files[0]
        if not fields.get("key"):
            raise S3Error(400, "InvalidArgument", "Bucket POST must contain a field named 'key'.", ArgumentName="key")
        verify_post(fields, bucket, len(content), self.keys, moment)
        key = fields["key"].replace("${filename}", name)
        with self.lock:
            etag = self.disk.put(bucket, key, content, fields)
        location = f"{environ['wsgi.url_scheme']}://{environ['HTTP_HOST']}/{bucket}/{quote(key)}"
        headers = {"ETag": etag, "Location": location}
        if fields.get("success_action_redirect"):
            target = fields["success_action_redirect"]
            headers["Location"] = (
                f"{target}{'&' if '?' in target else '?'}bucket={quote(bucket)}&key={quote(key)}&etag={quote(etag)}"
            )
            return Response("", 303, headers)
        status = {"200": 200, "201": 201}.get(fields.get("success_action_status", ""), 204)
        text = ""
        if status == 201:
            inner = {"Location": location, "Bucket": bucket, "Key": key, "ETag": etag}
            text = _xml("PostResponse", inner)
        return Response(text, status, headers, content_type="application/xml" if text else None)


def _form(environ: dict[str, Any], body: bytes) -> tuple[dict[str, str], list[tuple[str, bytes]]]:
    """The fields before the file (names in lower case) and the files. What follows the file is ignored, as S3 does."""
    boundary = parse_options_header(environ.get("CONTENT_TYPE"))[1].get("boundary", "")
    # The whole body is here: a parser of streams would compile two expressions for each form, and copy the file three times.
    _, *parts = (b"\r\n" + body).split(b"\r\n--" + boundary.encode("latin-1", "replace"), _PARTS)
    fields: dict[str, str] = {}
    files: list[tuple[str, bytes]] = []
    for part in parts:
        if part.startswith(b"--"):
            return fields, files
        head, blank, content = part.partition(b"\r\n\r\n")
        name, filename = _names(head)
        if not (boundary and blank and name and head.lstrip(b" \t").startswith(b"\r\n")):
            break
        if name == "file":
            files.append((filename, content))
        elif not files:
            if name in fields:
                raise S3Error(400, "InvalidArgument", f"POST requires exactly one field named '{name}'.")
            try:
                fields[name] = content.decode()
            except UnicodeDecodeError:
                break
    message = "The body of your POST request is not well-formed multipart/form-data."
    raise S3Error(400, "MalformedPOSTRequest", message)


def _names(head: bytes) -> tuple[str, str]:
    """A part's name in lower case, and its file's; empty where it has none."""
    for line in head.decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition":
            kind, said = parse_options_header(value)
            return (said.get("name", "").lower(), said.get("filename", "")) if kind == "form-data" else ("", "")
    return "", ""


def _headers(environ: dict[str, Any]) -> dict[str, str]:
    own = environ[OWN_NAMES]
    names = (name for name in environ if name.startswith("HTTP_"))
    headers = {own.get(name, name[5:].replace("_", "-").lower()): environ[name] for name in names}
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = environ[name]
    return headers


def _preflight(environ: dict[str, Any]) -> Response:
    if "HTTP_ORIGIN" not in environ or "HTTP_ACCESS_CONTROL_REQUEST_METHOD" not in environ:
        raise S3Error(400, "BadRequest", "Insufficient information. Origin request header needed.")
    allowed = {
        "Access-Control-Allow-Methods": "GET, HEAD, PUT, POST, DELETE",
        "Access-Control-Allow-Headers": environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "*"),
        "Access-Control-Max-Age": "600",
    }
    return Response("", 200, allowed)


def _error(error: S3Error, environ: dict[str, Any]) -> Response:
    request_id = uuid.uuid4().hex[:16].upper()
    body = _xml("Error", {"Code": error.code, "Message": error.message, **error.extra, "RequestId": request_id})
    headers = {"x-amz-request-id": request_id}
    return Response(
        "" if environ["REQUEST_METHOD"] == "HEAD" else body, error.status, headers, content_type="application/xml"
    )


def _xml(root: str, inner: dict[str, str]) -> str:
    elements = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in inner.items())
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}>{elements}</{root}>'


class Settings(msgspec.Struct):
    """From the environment; a missing one stops the start with one line."""

    port: int
    s3_data: str
    aws_access_key_id: str
    aws_secret_access_key: str
    host: str = "127.0.0.1"
    s3_bucket: str = "eco2"
    aws_region: str = "ap-northeast-2"


def application(folder: Path, bucket: str, keys: Keys) -> Checked:
    """moto's S3 with the objects of `folder`, behind the check."""
    # Nothing here may ask AWS: moto looks at these when its modules load.
    os.environ |= {"MOTO_DISABLE_GLOBAL_CORS": "true", "MOTO_S3_DEFAULT_KEY_BUFFER_SIZE": str(MAX_BODY)}
    store = Store()
    disk = Disk(folder, store, keys.region)
    disk.load()
    disk.make_bucket(bucket)
    return Checked(store, disk, keys)


def main() -> None:
    try:
        settings = msgspec.convert({k.lower(): v for k, v in os.environ.items()}, Settings, strict=False)
    except msgspec.ValidationError as error:
        sys.exit(f"s3: {error}")
    keys = Keys({settings.aws_access_key_id: settings.aws_secret_access_key}, settings.aws_region)
    app = application(Path(settings.s3_data), settings.s3_bucket, keys)
    memory.give_back()
    print(f"s3 listens on http://{settings.host}:{settings.port}, bucket {settings.s3_bucket}", flush=True)
    serve(app, settings.host, settings.port)


if __name__ == "__main__":
    main()
