"""The quick way to an object says what moto says, header by header, and leaves everything else to moto"""

import base64
import hashlib
import itertools
import re
from collections.abc import Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from shared.s3_xml import deletion
from tests.emulator.servers.test_s3 import BUCKET, REGION, Store

# Of each request its own.
IDS = {"x-amzn-requestid", "x-amz-request-id", "date", "last-modified"}
# What moto keeps of a request, and S3 does not.
KEPT_BY_MOTO = {"x-amz-content-sha256"}
Said = tuple[int, Mapping[str, str], bytes]


def ask(
    store: Store, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, **more: str
) -> Said:
    """As `shared/s3.py` asks; `more` are headers that the quick way does not know."""
    request = AWSRequest(method, f"{store.url}/{path}", headers=dict(headers or {}) | more, data=body)
    S3SigV4Auth(Credentials("key", "secret"), "s3", REGION).add_auth(request)
    connection = HTTPConnection("127.0.0.1", store.port)
    connection.request(method, f"/{path}", body or None, dict(request.headers.items()))
    answer = connection.getresponse()
    said = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    connection.close()
    return said


def without_ids(said: Said) -> Any:
    status, headers, body = said
    told = {name: value for name, value in headers.items() if name not in KEPT_BY_MOTO}
    return status, {name: "its own" if name in IDS else value for name, value in told.items()}, body


def was_quick(said: Said) -> bool:
    return len(said[1]["x-amzn-requestid"]) == 32  # moto's have 52 characters


# A header of no meaning, but one that the quick way does not know: the request is moto's.
SLOW = {"x-unknown": "1"}


@pytest.mark.parametrize("content", [b"", b"x" * 70_000], ids=["empty", "long"])
@pytest.mark.parametrize(
    "kept",
    [{}, {"Content-Type": "image/jpeg"}, {"Content-Type": "image/png", "Cache-Control": "private, max-age=9"}],
    ids=["nothing", "type", "both"],
)
def test_each_of_the_four_requests_says_what_moto_says(store: Store, content: bytes, kept: dict[str, str]) -> None:
    told: dict[str, list[Any]] = {"quick": [], "moto": []}
    for way, more in (("quick", {}), ("moto", SLOW)):
        path = f"{BUCKET}/images/1/a-web.jpg"
        for method in ("PUT", "HEAD", "GET", "PUT", "DELETE", "DELETE", "HEAD"):
            sent, given = (content, kept) if method == "PUT" else (b"", {})
            status, headers, body = without_ids(ask(store, method, path, sent, given | more))
            told[way].append((method, status, headers, body))
    assert told["quick"] == told["moto"]
    assert [status for _, status, *_ in told["quick"]] == [200, 200, 200, 200, 204, 204, 404]


def test_a_deletion_of_many_says_what_moto_says_and_does_it_also_after_a_kill(tmp_path: Path) -> None:
    store = Store(tmp_path / "s3").start()
    cases: list[tuple[str, list[str], int, bool]] = [
        ("one", ["1"], 200, True),
        ("many", ["1", "none", "2"], 200, True),
        ("strange", ["1", "with <&> in it"], 200, False),  # moto's to answer, both times
        ("none", [], 400, False),
    ]
    left = set()
    for case, names, status, quick in cases:
        told = []
        for way, more in (("quick", {}), ("moto", SLOW)):
            for name in ("1", "2", "3"):
                ask(store, "PUT", f"{BUCKET}/{case}/{way}/{name}", b"photo")
            body, given = deletion([f"{case}/{way}/{name}" for name in names])
            said = ask(store, "POST", f"{BUCKET}?delete=", body, given, **more)
            assert was_quick(said) is (quick and not more)
            content = re.sub(rb"<(RequestId|HostId)>[^<]*", b"", said[2]).replace(way.encode(), b"WAY")
            told.append((said[0], said[1].get("content-type"), content))
            left |= {f"{case}/{way}/{name}" for name in ("1", "2", "3") if name not in names}
        assert told[0] == told[1]
        assert told[0][0] == status
    store.kill()
    listed = ask(store.start(), "GET", f"{BUCKET}?list-type=2")[2].decode()
    assert set(re.findall("<Key>([^<]*)", listed)) == left
    store.kill()


def test_a_deletion_that_says_more_than_keys_is_moto_s(store: Store) -> None:
    ask(store, "PUT", f"{BUCKET}/a/1", b"photo")
    body, _ = deletion(["a/1"])
    body = body.replace(b"</Key>", b"</Key><VersionId>other</VersionId>")
    given = {"Content-MD5": base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()}
    told = [ask(store, "POST", f"{BUCKET}?delete", body, given | more)[::2] for more in ({}, SLOW)]
    assert told[0] == told[1]
    assert b"<VersionId>other<" in told[0][1]


@pytest.mark.parametrize(
    ("query", "quick"),
    [
        ("max-keys=1000&prefix=", False),
        ("max-keys=1000&prefix=images%2F1%2F", True),
        ("max-keys=1000&prefix=images%2F1%2F&start-after=images%2F1%2Fa", True),
        ("max-keys=1000&prefix=none", True),
        ("max-keys=2&prefix=images%2F", True),
        ("max-keys=1&prefix=images%2F&start-after=images%2F1%2Fa", True),
        ("max-keys=1000&prefix=strange%2F", False),
        ("max-keys=1000&prefix=images%2F&delimiter=%2F", False),
        ("max-keys=0&prefix=images%2F", False),
    ],
)
def test_a_list_says_what_moto_says(store: Store, query: str, quick: bool) -> None:
    for key in ("images/1/a", "images/1/b", "images/2/c"):
        ask(store, "PUT", f"{BUCKET}/{key}", key.encode())
    if "strange" in query:
        ask(store, "PUT", f"{BUCKET}/strange/a%20b", b"x")
    told = [ask(store, "GET", f"{BUCKET}/?list-type=2&encoding-type=url&{query}", headers=more) for more in ({}, SLOW)]
    assert was_quick(told[0]) is quick
    assert without_ids(told[0])[:2] == without_ids(told[1])[:2]
    said = [re.sub(rb"Token>[^<]*", b"", content) for _, _, content in told]
    assert said[0] == said[1]
    ask(store, "DELETE", f"{BUCKET}/strange/a%20b")


def test_whether_the_bucket_is_there_says_what_moto_says(store: Store) -> None:
    for bucket, status in ((BUCKET, 200), ("none", 404)):
        told = [without_ids(ask(store, "HEAD", bucket, headers=more)) for more in ({}, SLOW)]
        assert told[0] == told[1]
        assert told[0][0] == status


def test_what_one_way_has_stored_the_other_one_finds_also_after_a_kill(tmp_path: Path) -> None:
    store = Store(tmp_path / "s3").start()
    kept = {"Content-Type": "image/jpeg", "Cache-Control": "private"}
    ways: dict[str, dict[str, str]] = {"quick": {}, "moto": SLOW}
    for way, more in ways.items():
        ask(store, "PUT", f"{BUCKET}/{way}/1", b"photo", kept | more)
        ask(store, "PUT", f"{BUCKET}/{way}/2", b"photo", kept | more)
        ask(store, "DELETE", f"{BUCKET}/{way}/2", headers=more)
    store.kill()
    store.start()
    for way, more in itertools.product(ways, ways.values()):
        status, said, body = ask(store, "GET", f"{BUCKET}/{way}/1", headers=more)
        assert (status, said["content-type"], said["cache-control"], body) == (200, "image/jpeg", "private", b"photo")
        assert ask(store, "HEAD", f"{BUCKET}/{way}/2", headers=more)[0] == 404
    store.kill()


def test_a_range_and_a_condition_are_moto_s(store: Store) -> None:
    path = f"{BUCKET}/images/ranged"
    etag = ask(store, "PUT", path, b"0123456789")[1]["etag"]
    assert ask(store, "GET", path, headers={"Range": "bytes=2-4"})[::2] == (206, b"234")
    assert ask(store, "GET", path, headers={"If-None-Match": etag})[0] == 304
    assert ask(store, "PUT", path, b"other", headers={"If-None-Match": "*"})[0] == 412


def test_a_bucket_s_policy_holds_also_for_what_would_be_quick(store: Store) -> None:
    denied = b"""{"Version": "2012-10-17", "Statement": [
        {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::strict/*"}]}"""
    client = store.client()
    client.create_bucket(Bucket="strict", CreateBucketConfiguration={"LocationConstraint": REGION})
    ask(store, "PUT", "strict/a", b"x")
    client.put_bucket_policy(Bucket="strict", Policy=denied.decode())
    assert ask(store, "GET", "strict/a")[0] == 403
    client.close()


def test_tags_of_an_object_do_not_outlive_it(store: Store) -> None:
    path = f"{BUCKET}/images/tagged"
    ask(store, "PUT", path, b"x", headers={"x-amz-tagging": "a=1"})
    assert ask(store, "HEAD", path)[1]["x-amz-tagging-count"] == "1"
    ask(store, "PUT", path, b"y")
    assert "x-amz-tagging-count" not in ask(store, "HEAD", path)[1]
