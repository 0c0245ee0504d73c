"""An object's content is on disk alone: the store reads it there, whatever way it came."""

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import web
from tests.emulator.servers.test_s3 import BUCKET, Store, form, post

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

BODY = b"0123456789"


def read(s3: "S3Client", key: str, part: str = "bytes=0-") -> bytes:
    """Some of an object, as no client compares it with a checksum."""
    address = s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": key})
    return web.get(address, headers={"Range": part}).content


def follows_its_file(store: Store, s3: "S3Client", key: str) -> None:
    assert (read(s3, key), read(s3, key), read(s3, key, "bytes=3-5")) == (BODY, BODY, b"345")
    assert s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == BODY
    name = sha256(key.encode()).hexdigest()
    path = store.folder / "objects" / BUCKET / "objects" / name[:1] / name
    path.write_bytes(path.read_bytes().replace(BODY, b"abcdefghij"))
    assert (read(s3, key), read(s3, key, "bytes=3-5")) == (b"abcdefghij", b"def"), "memory holds a second one"


@pytest.mark.parametrize("way", ["put", "posted", "copied", "put over another", "tagged later"])
def test_content_is_read_where_it_lies(store: Store, way: str) -> None:
    s3, key = store.client(), way.replace(" ", "-")
    if way == "posted":
        assert post(form(s3, key), BODY).status_code == 204
    elif way == "copied":
        s3.put_object(Bucket=BUCKET, Key="first", Body=BODY)
        s3.copy_object(Bucket=BUCKET, Key=key, CopySource=f"{BUCKET}/first")
    else:
        if way == "put over another":
            s3.put_object(Bucket=BUCKET, Key=key, Body=b"a longer one was there")
        s3.put_object(Bucket=BUCKET, Key=key, Body=BODY)
        if way == "tagged later":
            s3.put_object_tagging(Bucket=BUCKET, Key=key, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    follows_its_file(store, s3, key)


def test_content_of_an_earlier_life_is_read_where_it_lies(tmp_path: Path) -> None:
    store = Store(tmp_path).start()
    try:
        store.client().put_object(Bucket=BUCKET, Key="kept", Body=BODY)
        store.kill()
        follows_its_file(store.start(), store.client(), "kept")
    finally:
        store.kill()
