"""What moto's S3 holds, on disk: one file an object, written whole before the answer; its content is there alone.

    <folder>/<bucket>/objects/a/abcdef…       a line of JSON (key, type, metadata, times), then the content
    <folder>/<bucket>/uploads/<id>/           a multipart upload under way: `upload`, and one file a part
    <folder>/<bucket>/settings/<name>         a bucket's setting (cors, lifecycle, ...) as the request that made it

An object's file name is the SHA-256 of its key: a key may hold anything, a file name may not. Sixteen folders hold them: each new
one is a flush more for the object that it is made for.
"""

import contextlib
import hashlib
import os
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from emulator.servers.s3.content import leave
from emulator.servers.s3.errors import S3Error
from emulator.servers.s3.signature import parse_query
from emulator.servers.s3.store import Store
from shared import clock

# Parts of a bucket's address that are not a setting.
_NO_SETTING = {"delete", "uploads", "x-id", "list-type"}


class Meta(Struct, omit_defaults=True):
    """The first line of an object's file."""

    key: str
    modified_at: datetime
    etag: str
    metadata: dict[str, str]
    storage: str | None = None
    checksum_algorithm: str | None = None
    checksum_value: str | None = None
    checksum_type: str | None = None
    tags: dict[str, str] = {}


class Setting(Struct):
    """A request that set something of a bucket; sent to moto again at start."""

    query: str
    headers: dict[str, str]
    body: bytes


class Disk:
    """The folder, and the moto backend it mirrors. All calls come under one lock."""

    def __init__(self, folder: Path, store: Store, region: str) -> None:
        self.folder = folder
        self.store = store
        self.region = region
        self.backend = store.backend

    # Start

    def load(self) -> None:
        """Give moto everything that is on disk. Half-written files of a killed process are removed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for bucket in sorted(path for path in self.folder.iterdir() if path.is_dir()):
            self.backend.create_bucket(bucket.name, self.region)
            for stray in bucket.rglob(".new-*"):
                stray.unlink()
            for path in sorted((bucket / "settings").glob("*")):
                self._replay(bucket.name, msgspec.json.decode(path.read_bytes(), type=Setting))
            for path in list((bucket / "objects").glob("*/*")):
                line, _, content = path.read_bytes().partition(b"\n")
                meta = msgspec.json.decode(line, type=Meta)
                if path != (place := self._path(bucket.name, meta.key)):
                    self._move(path, place)  # from a version that spread them over more folders
                self._put_into_moto(bucket.name, meta, content, place)
            for path in (bucket / "uploads").glob("*"):
                self._load_upload(bucket.name, path)

    def make_bucket(self, name: str) -> None:
        if name not in self.backend.buckets:
            self.backend.create_bucket(name, self.region)
            self._keep_bucket(name)

    def _replay(self, bucket: str, setting: Setting) -> None:
        self.store.put(f"/{bucket}?{setting.query}", setting.body, setting.headers)

    def _put_into_moto(self, bucket: str, meta: Meta, content: bytes, place: Path | None = None) -> None:
        """What lies at a `place` is left there."""
        key = self.backend.put_object(
            bucket, meta.key, content, storage=meta.storage, etag=meta.etag, disable_notification=True
        )
        key.set_metadata(dict(meta.metadata), replace=True)
        key.last_modified = meta.modified_at.astimezone(UTC).replace(tzinfo=None)
        key.checksum_algorithm = meta.checksum_algorithm
        key.checksum_value = meta.checksum_value
        key.checksum_type = meta.checksum_type
        if meta.tags:
            self.backend.put_object_tagging(key, dict(meta.tags))
        if place is not None:
            leave(key, place)

    # Changes

    def put(self, bucket: str, key: str, content: bytes, fields: Mapping[str, str]) -> str:
        """Store an object posted by form; return its ETag."""
        if bucket not in self.backend.buckets:
            raise S3Error(404, "NoSuchBucket", "The specified bucket does not exist", BucketName=bucket)
        names = {
            "content-type": "Content-Type",
            "cache-control": "Cache-Control",
            "content-disposition": "Content-Disposition",
        }
        metadata = {names[name]: value for name, value in fields.items() if name in names}
        metadata |= {name: value for name, value in fields.items() if name.startswith("x-amz-meta-")}
        metadata.setdefault("Content-Type", "binary/octet-stream")
        etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
        self._put_into_moto(bucket, Meta(key, clock.now(), etag, metadata), content)
        self._sync_object(bucket, key)
        return f'"{etag}"'

    def keep(
        self, method: str, bucket: str, key: str, query: str, headers: Mapping[str, str], body: bytes, answer: bytes
    ) -> None:
        """Make durable what moto has just done. Raises S3Error (and takes it back) when the disk refuses."""
        names = dict(parse_query(query))
        if not bucket:
            return
        if not key:
            self._keep_bucket_change(method, bucket, query, names, headers, body)
        elif "uploadId" in names or "uploads" in names:
            self._keep_upload(method, bucket, key, names, answer)
        else:
            self._touch(bucket, key, method)
            self._sync_object(bucket, key)

    def _keep_bucket_change(
        self, method: str, bucket: str, query: str, names: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> None:
        setting = next((name for name in names if name not in _NO_SETTING), None)
        if method == "POST":
            for element in ElementTree.fromstring(body).iter():  # noqa: S314 - signed by our own key
                if element.tag.rpartition("}")[2] == "Key" and element.text:
                    self._sync_object(bucket, element.text)
        elif setting is not None:
            path = self.folder / bucket / "settings" / setting
            if method == "PUT":
                kept = {name: value for name, value in headers.items() if name in ("content-type", "content-md5")}
                self._write(path, msgspec.json.encode(Setting(query, kept, body)))
            else:
                self._remove(path)
        elif bucket in self.backend.buckets:
            self._keep_bucket(bucket)
        else:
            shutil.rmtree(self.folder / bucket, ignore_errors=True)
            _flush(self.folder)

    def _keep_bucket(self, bucket: str) -> None:
        (self.folder / bucket / "objects").mkdir(parents=True, exist_ok=True)
        _flush(self.folder)

    def _touch(self, bucket: str, key: str, method: str) -> None:
        """moto dates by the machine's clock; the system's is ours to move."""
        found = self.backend.buckets[bucket].keys.get(key) if bucket in self.backend.buckets else None
        if found is not None and method == "PUT":
            found.last_modified = clock.now().replace(tzinfo=None)

    def _sync_object(self, bucket: str, name: str) -> None:
        """Make the disk say what moto says of one key."""
        path = self._path(bucket, name)
        key = self.backend.buckets[bucket].keys.get(name)
        if key is None:
            self._remove(path)
            return
        if self.backend.buckets[bucket].is_versioned:
            self.backend.buckets[bucket].keys.pop(name)
            raise S3Error(
                501, "NotImplemented", "This store keeps one version of an object; suspend the bucket's versioning."
            )
        meta = Meta(
            key=name,
            modified_at=key.last_modified.replace(tzinfo=UTC),
            etag=key.etag.strip('"'),
            metadata=dict(key.metadata),
            storage=key.storage_class,
            checksum_algorithm=key.checksum_algorithm,
            checksum_value=_text(key.checksum_value),
            checksum_type=key.checksum_type,
            tags=self.backend.tagger.get_tag_dict_for_resource(key.arn),
        )
        try:
            self._write(path, msgspec.json.encode(meta) + b"\n", key.value)
        except S3Error:
            self.backend.buckets[bucket].keys.pop(name)
            if path.exists():  # the object it was to replace is as it was
                line, _, content = path.read_bytes().partition(b"\n")
                self._put_into_moto(bucket, msgspec.json.decode(line, type=Meta), content, path)
            raise
        leave(key, path)

    # Multipart uploads

    def _keep_upload(self, method: str, bucket: str, key: str, names: Mapping[str, str], answer: bytes) -> None:
        if "uploads" in names:
            found = ElementTree.fromstring(answer).find("{*}UploadId")  # noqa: S314 - moto's own words
            assert found is not None
            assert found.text is not None
            upload = self.backend.buckets[bucket].multiparts[found.text]
            kept = {"key": key, "metadata": dict(upload.metadata), "storage": upload.storage, "tags": upload.tags}
            self._write(self._upload(bucket, found.text) / "upload", msgspec.json.encode(kept))
        elif method == "PUT":
            number = int(names["partNumber"])
            part = self.backend.buckets[bucket].multiparts[names["uploadId"]].parts[number]
            self._write(self._upload(bucket, names["uploadId"]) / str(number), part.value)
        else:  # completed or given up
            if method == "POST":
                self._touch(bucket, key, "PUT")
                self._sync_object(bucket, key)
            shutil.rmtree(self._upload(bucket, names["uploadId"]), ignore_errors=True)

    def _load_upload(self, bucket: str, folder: Path) -> None:
        if not (folder / "upload").exists():
            return
        from moto.s3.utils import CaseInsensitiveDict

        kept = msgspec.json.decode((folder / "upload").read_bytes())
        upload = self.backend.create_multipart_upload(
            bucket, kept["key"], CaseInsensitiveDict(kept["metadata"]), kept["storage"], kept["tags"], None, None, None
        )
        multiparts = self.backend.buckets[bucket].multiparts
        dict.pop(multiparts, upload.id)
        upload.id = folder.name
        multiparts[upload.id] = upload
        for part in sorted((path for path in folder.iterdir() if path.name.isdigit()), key=lambda path: int(path.name)):
            upload.set_part(int(part.name), part.read_bytes())

    # Files

    def _path(self, bucket: str, key: str) -> Path:
        name = hashlib.sha256(key.encode()).hexdigest()
        return self.folder / bucket / "objects" / name[:1] / name

    def _upload(self, bucket: str, upload_id: str) -> Path:
        # moto makes the id of letters and digits; a client's own must not become a path.
        if not upload_id.isalnum():
            raise S3Error(404, "NoSuchUpload", "The specified upload does not exist.")
        return self.folder / bucket / "uploads" / upload_id

    def _write(self, path: Path, *parts: bytes) -> None:
        fresh = path.with_name(f".new-{path.name}")
        try:
            _make(path.parent)
            with fresh.open("wb") as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
            _flush(path.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise S3Error(500, "InternalError", f"The object could not be stored: {error.strerror}") from None

    def _move(self, path: Path, place: Path) -> None:
        _make(place.parent)
        path.replace(place)
        _flush(place.parent)

    def _remove(self, path: Path) -> None:
        if path.exists():
            path.unlink()
            _flush(path.parent)


def _text(value: Any) -> str | None:
    return value.decode() if isinstance(value, bytes) else value


def _make(folder: Path) -> None:
    """Have this folder, and the one that holds it."""
    if not folder.exists():
        for wanted in [one for one in (folder.parent, folder) if not one.exists()]:
            wanted.mkdir(parents=True, exist_ok=True)
            _flush(wanted.parent)


def _flush(folder: Path) -> None:
    """A rename or removal is on disk when its folder is."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
