"""Objects, forms, lists and deletions, by boto3's signature without its client."""

import base64
import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
import msgspec
import pytest
from botocore.config import Config

from shared.errors import Unavailable
from shared.objects import ObjectMissing, ObjectStore, ObjectTooLarge
from shared.s3_xml import StoredObject
from shared.settings import Settings
from tests import web
from tests.support import S3


@contextmanager
def made(s3: S3, **changed: str) -> Iterator[ObjectStore]:
    given: dict[str, Any] = {
        "s3_endpoint_url": s3.url,
        "s3_bucket": s3.bucket,
        "aws_access_key_id": s3.access_key,
        "aws_secret_access_key": s3.secret_key,
    }
    store = ObjectStore(Settings(**(given | changed)))
    yield store
    store.close()


@contextmanager
def answering(*answers: bytes) -> Iterator[str]:
    """A server that gives each connection the next answer, whatever is asked, and closes it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for answer in answers:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    with suppress(ConnectionError):  # who has read enough goes away
                        connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def client_of(s3: S3) -> Any:
    """boto3's own client, to compare with."""
    return boto3.client(
        "s3",
        endpoint_url=s3.url,
        region_name=Settings().aws_region,
        aws_access_key_id=s3.access_key,
        aws_secret_access_key=s3.secret_key,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )


def said(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nphoto"


@pytest.mark.parametrize("key", ["images/1/a-web.jpg", "uploads/é ü+%/사진 1.jpg"])
@pytest.mark.parametrize("content", [b"", b"x" * 70_000])
def test_what_was_put_is_got_again(s3: S3, key: str, content: bytes) -> None:
    with made(s3) as store:
        store.put(key, content, content_type="image/jpeg")
        assert store.get(key, 70_000) == content


def test_without_keys_in_the_settings_the_machines_own_credentials_sign(
    s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret_key)
    with made(s3, aws_access_key_id="", aws_secret_access_key="") as store, pytest.raises(ObjectMissing):
        store.get("images/none.jpg", 10)


def test_without_any_credentials_the_store_can_not_answer(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with made(s3, aws_access_key_id="", aws_secret_access_key="") as store, pytest.raises(Unavailable):
        store.get("images/none.jpg", 10)


def test_an_object_that_is_not_there_is_missing(s3: S3) -> None:
    with made(s3) as store, pytest.raises(ObjectMissing):
        store.get("images/none.jpg", 10)


def test_a_form_is_the_one_that_boto3_makes(s3: S3) -> None:
    for settings, config in (
        ({"s3_endpoint_url": s3.url}, {"addressing_style": "path"}),
        ({"s3_endpoint_url": ""}, {"addressing_style": "virtual"}),
    ):
        with made(s3, **settings) as store:
            ours = store.presign_post("uploads/1", content_type="image/png", max_bytes=9, seconds=60)
        client = boto3.client(
            "s3",
            endpoint_url=settings["s3_endpoint_url"] or None,
            region_name=Settings().aws_region,
            aws_access_key_id=s3.access_key,
            aws_secret_access_key=s3.secret_key,
            config=Config(signature_version="s3v4", s3=config),
        )
        theirs = client.generate_presigned_post(
            s3.bucket,
            "uploads/1",
            Fields={"Content-Type": "image/png"},
            Conditions=[{"Content-Type": "image/png"}, ["content-length-range", 1, 9]],
            ExpiresIn=60,
        )
        assert ours.url == theirs["url"]
        assert set(ours.fields) == set(theirs["fields"])
        policies = [json.loads(base64.b64decode(fields["policy"])) for fields in (ours.fields, theirs["fields"])]
        for policy in policies:
            policy["conditions"] = [c for c in policy["conditions"] if "x-amz-date" not in c]
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", policy.pop("expiration"))
        assert policies[0] == policies[1]


def test_a_size_is_told_and_the_bucket_answers(s3: S3) -> None:
    with made(s3) as store:
        store.put("images/five", b"12345", content_type="image/jpeg", cache_control="max-age=5")
        assert store.size("images/five") == 5
        found = client_of(s3).head_object(Bucket=s3.bucket, Key="images/five")
        assert (found["ContentType"], found["CacheControl"]) == ("image/jpeg", "max-age=5")
        with pytest.raises(ObjectMissing):
            store.size("images/none")
        assert store.ready()
    with made(s3, s3_bucket="another-bucket") as store:
        assert not store.ready()
        with pytest.raises(Unavailable):
            store.put("images/1", b"x", content_type="image/jpeg")


def test_what_one_process_needs_is_no_client(s3: S3) -> None:
    code = """
import contextlib, sys
from shared.errors import Unavailable
from shared.objects import ObjectStore
from shared.settings import Settings
keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
store = ObjectStore(Settings(s3_endpoint_url=sys.argv[1], s3_bucket=sys.argv[2], **keys))
store.presign_post("uploads/1", content_type="image/png", max_bytes=9, seconds=60)
store.ready()
for ask in (lambda: list(store.list("images/")), lambda: store.delete("images/none")):
    with contextlib.suppress(Unavailable):
        ask()
sys.exit(int("boto3" in sys.modules or "botocore.client" in sys.modules))
"""
    assert subprocess.run([sys.executable, "-c", code, s3.url, s3.bucket]).returncode == 0


def test_more_than_is_allowed_is_not_read(s3: S3) -> None:
    with made(s3) as store:
        store.put("images/large", b"12345", content_type="image/jpeg")
        with pytest.raises(ObjectTooLarge):
            store.get("images/large", 4)
        assert store.get("images/large", 5) == b"12345", "and the next one finds the store as it was"


@pytest.mark.parametrize(
    "wrong",
    [
        {"s3_bucket": "another-bucket"},
        {"aws_secret_access_key": "wrong"},
        {"s3_endpoint_url": "http://127.0.0.1:9"},
    ],
    ids=["bucket", "key", "address"],
)
def test_a_store_that_can_not_answer_is_no_missing_photo(s3: S3, wrong: dict[str, str]) -> None:
    with made(s3, **wrong) as store, pytest.raises(Unavailable):
        store.get("images/none.jpg", 10)


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nph",
    ],
    ids=["closed", "busy", "cut"],
)
def test_a_store_that_stumbles_is_asked_once_more(s3: S3, first: bytes) -> None:
    with answering(first, WHOLE) as url, made(s3, s3_endpoint_url=url) as store:
        assert store.get("images/1", 10) == b"photo"
    with (
        answering(first, first, WHOLE) as url,
        made(s3, s3_endpoint_url=url) as store,
        pytest.raises(Unavailable),
    ):
        store.get("images/1", 10)


def test_a_store_that_sends_elsewhere_is_not_followed_with_what_is_signed_for_it(s3: S3) -> None:
    with answering(WHOLE) as elsewhere:
        moved = (
            f"HTTP/1.1 307 Moved\r\nLocation: {elsewhere}/x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        with (
            answering(moved, moved) as url,
            made(s3, s3_endpoint_url=url) as store,
            pytest.raises(Unavailable),
        ):
            store.get("images/1", 10)


def test_a_store_behind_a_proxy_is_asked_through_it(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with answering(WHOLE) as proxy, made(s3, s3_endpoint_url="http://store.invalid") as store:
        monkeypatch.setenv("http_proxy", proxy)
        assert store.get("images/1", 10) == b"photo"


@pytest.mark.parametrize("size", [5, 4_000_000])
def test_an_object_of_unknown_length_is_not_read_whatever_comes(size: int) -> None:
    settings = Settings(s3_bucket="b", aws_access_key_id="a", aws_secret_access_key="s")
    with answering(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * size) as address:
        store = ObjectStore(msgspec.structs.replace(settings, s3_endpoint_url=address))
        with pytest.raises(ObjectTooLarge):
            store.get("images/large", 1_000_000)
        store.close()


def test_what_is_too_large_is_let_go_at_once(s3: S3) -> None:
    """And not when nobody holds what was raised any more: its connection would be one of the few, and half of a photo in it."""
    let_go = threading.Event()

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nx")
            connection.settimeout(20)
            with suppress(TimeoutError):
                connection.recv(1)
                let_go.set()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=serve, daemon=True)
        server.start()
        with made(s3, s3_endpoint_url=f"http://127.0.0.1:{listening.getsockname()[1]}") as store:
            with pytest.raises(ObjectTooLarge) as raised:
                store.get("images/large", 4)
            server.join(60)
            assert let_go.is_set(), raised


@pytest.mark.parametrize("size", [0, 1, 10, 11])
def test_a_form_takes_as_much_as_it_says_and_not_a_byte_more(s3: S3, size: int) -> None:
    with made(s3) as store:
        form = store.presign_post(f"uploads/u/{size}", content_type="image/png", max_bytes=10, seconds=60)
        answer = web.post(form.url, data=form.fields, files={"file": b"x" * size})
        assert answer.is_success is (1 <= size <= 10)


ODD = ["below/&<>'\"", "below/a b+c%20", "below/é/사진 1.jpg"]


def test_a_list_says_what_boto3s_client_says(s3: S3) -> None:
    with made(s3) as store:
        for size, key in enumerate([*ODD, "beside/1"]):
            store.put(key, b"x" * size, content_type="image/jpeg")
        theirs = client_of(s3).list_objects_v2(Bucket=s3.bucket, Prefix="below/")["Contents"]
        assert list(store.list("below/")) == [
            StoredObject(one["Key"], one["Size"], one["LastModified"]) for one in theirs
        ]
        assert [found.key for found in store.list("below/")] == sorted(ODD)
        assert [found.key for found in store.page("below/", sorted(ODD)[0], 1)] == sorted(ODD)[1:2]
        assert list(store.list("nothing/")) == []


def test_many_are_deleted_and_what_is_not_there_is_no_error(s3: S3) -> None:
    with made(s3) as store:
        for key in ODD:
            store.put(key, b"x", content_type="image/jpeg")
        # The last of a thousand, and the first of the next.
        store.delete("below/none", *(f"none/{number}" for number in range(998)), *ODD[:2])
        assert [found.key for found in store.list("below/")] == ODD[2:]
        store.delete(*ODD)
        store.delete()
        for key in ODD[:2]:
            store.put(key, b"x", content_type="image/jpeg")
        store.delete(ODD[0])
        store.delete("below/none")
        assert [found.key for found in store.list("below/")] == ODD[1:2]
        store.delete(ODD[1])
        assert not list(store.list("below/"))


PAGE = (
    b"<ListBucketResult><IsTruncated>%b</IsTruncated><Contents><Key>%b</Key><Size>1</Size>"
    b"<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents></ListBucketResult>"
)


def test_a_list_goes_on_where_the_store_breaks_it_off() -> None:
    answers = [said(PAGE % (b"true", b"a+%2B")), said(PAGE % (b"true", b"b")), said(PAGE % (b"false", b"c"))]
    settings = Settings(s3_bucket="b", aws_access_key_id="a", aws_secret_access_key="s")
    with answering(*answers) as address:
        store = ObjectStore(msgspec.structs.replace(settings, s3_endpoint_url=address))
        assert [found.key for found in store.list("")] == ["a +", "b", "c"]
        store.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"<DeleteResult><Error><Key>a</Key><Code>AccessDenied</Code></Error></DeleteResult>",
        b"<DeleteResult><Err",
        b"",
    ],
    ids=["refused", "cut", "empty"],
)
def test_a_deletion_that_was_not_carried_out_is_to_be_tried_again(answer: bytes) -> None:
    settings = Settings(s3_bucket="b", aws_access_key_id="a", aws_secret_access_key="s")
    with answering(said(answer), said(answer)) as address:
        store = ObjectStore(msgspec.structs.replace(settings, s3_endpoint_url=address))
        with pytest.raises(Unavailable):
            store.delete("a", "b")
        with pytest.raises(Unavailable):
            list(store.list(""))
        store.close()


def test_a_deletion_of_one_is_believed_where_s3_says_that_it_is_gone() -> None:
    settings = Settings(s3_bucket="b", aws_access_key_id="a", aws_secret_access_key="s")
    gone, other = b"HTTP/1.1 204 No Content\r\n\r\n", said(b"")
    with answering(gone, other) as address:
        store = ObjectStore(msgspec.structs.replace(settings, s3_endpoint_url=address))
        store.delete("a")
        with pytest.raises(Unavailable):
            store.delete("a")
        store.close()


@pytest.mark.parametrize(
    "wrong", [{"s3_bucket": "another-bucket"}, {"aws_secret_access_key": "wrong"}], ids=["bucket", "key"]
)
def test_a_store_that_refuses_a_list_or_a_deletion_is_not_an_empty_one(s3: S3, wrong: dict[str, str]) -> None:
    with made(s3, **wrong) as store:
        with pytest.raises(Unavailable):
            list(store.list("images/"))
        with pytest.raises(Unavailable):
            store.delete("images/1")


def test_a_process_without_credentials_starts_all_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    store = ObjectStore(Settings(s3_bucket="photos"))
    store.warm()
    with pytest.raises(Unavailable):
        store.presign_post("a", content_type="text/plain", max_bytes=1, seconds=1)
    store.close()
