"""Requests to the store: one that answers others is busy, one that answers no one is away."""

import base64
import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from shared import s3
from shared.objects import ObjectStore
from shared.s3 import Bucket, Stumbled
from shared.settings import Settings


class Store(ThreadingHTTPServer):
    """Does not answer the first request for `slow`, and all others at once."""

    daemon_threads = False  # closing it waits for them

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.slow = self.connections = 0
        self.leave = threading.Event()


class Handler(BaseHTTPRequestHandler):
    server: Store

    def setup(self) -> None:
        self.server.connections += 1
        super().setup()

    def do_HEAD(self) -> None:
        if self.path.endswith("late"):
            self.server.leave.wait(0.5)
        if self.path.endswith("slow"):
            self.server.slow += 1
            if self.server.slow == 1:
                self.server.leave.wait(30)
                return
        self.send_response(int(self.path.rpartition("/")[2]) if self.path[-3:].isdigit() else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.server.leave.wait(0.5)
        page = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def store() -> Iterator[Store]:
    server = Store()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.leave.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def bucket(store: Store) -> Iterator[Bucket]:
    settings = Settings(
        s3_endpoint_url=f"http://127.0.0.1:{store.server_port}", aws_access_key_id="a", aws_secret_access_key="b"
    )
    made = Bucket(settings, waiting=True)
    yield made
    made.close()


def test_an_answer_may_take_longer_than_a_connection(bucket: Bucket) -> None:
    bucket.patience = (0.2, 60)
    answer = bucket.ask("HEAD", "late")
    answer.drain_conn()
    assert answer.status == 200


def test_a_list_may_take_longer_than_what_somebody_waits_for(bucket: Bucket) -> None:
    bucket.patience = (0.2, 0.1)
    with pytest.raises(Stumbled):
        bucket.ask("HEAD", "late")
    objects = ObjectStore(bucket._settings, waiting=True)
    objects._requests = bucket
    assert list(objects.page("images/", "", 10)) == []


def test_as_many_connections_are_kept_as_ask_at_once(
    store: Store, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handler, "protocol_version", "HTTP/1.1")  # as a store that keeps them
    at_once = 6
    together = threading.Barrier(at_once)

    def ask() -> None:
        for _ in range(3):
            together.wait(60)
            answer = bucket.ask("HEAD", "quick")
            together.wait(60)  # no one's is free before all have one
            answer.drain_conn()

    threads = [threading.Thread(target=ask) for _ in range(at_once)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert store.connections == at_once


@contextlib.contextmanager
def others(bucket: Bucket) -> Iterator[None]:
    """Somebody else is answered all the while."""
    done = threading.Event()

    def ask() -> None:
        while not done.wait(0.05):
            bucket.ask("HEAD", "quick").drain_conn()

    beside = threading.Thread(target=ask)
    beside.start()
    try:
        yield
    finally:
        done.set()
        beside.join()


def test_a_store_that_answers_others_meanwhile_is_asked_again(store: Store, bucket: Bucket) -> None:
    with others(bucket):
        answer = bucket.ask("HEAD", "slow")
        answer.drain_conn()
    assert answer.status == 200
    assert store.slow == 2


def test_a_store_that_answers_only_others_for_long_is_asked_no_more(
    store: Store, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "BUSY", 0.0)
    bucket.patience = (0.3, 0.3)
    with others(bucket), pytest.raises(Stumbled):
        bucket.ask("HEAD", "slow")
    assert store.slow == 1


def test_a_store_that_answers_no_one_is_asked_once(store: Store, bucket: Bucket) -> None:
    with pytest.raises(Stumbled):
        bucket.ask("HEAD", "slow")
    assert store.slow == 1


@pytest.mark.parametrize(
    ("status", "there"), [(200, True), (204, True), (404, True), (403, False), (500, False), (503, False)]
)
def test_only_a_store_that_does_its_work_is_one_that_is_there(bucket: Bucket, status: int, there: bool) -> None:
    assert not bucket.heard_lately()
    bucket.ask("HEAD", str(status)).drain_conn()
    assert bucket.heard_lately() == there


def test_a_form_is_good_for_its_key_in_its_bucket_until_its_end(bucket: Bucket) -> None:
    until, size = "2026-01-02T03:04:05Z", ["content-length-range", 1, 9]
    fields = bucket.form("uploads/a", {"Content-Type": "image/jpeg"}, [size, {"Content-Type": "image/jpeg"}], until)
    assert (fields["key"], fields["Content-Type"]) == ("uploads/a", "image/jpeg")
    policy = json.loads(base64.b64decode(fields["policy"]))
    assert policy["expiration"] == until
    own = [size, {"Content-Type": "image/jpeg"}, {"bucket": bucket._settings.s3_bucket}, {"key": "uploads/a"}]
    assert policy["conditions"][:4] == own
    assert all("x-amz" in str(one) for one in policy["conditions"][4:]), "the rest is the signature's"


def test_the_store_s_certificate_is_checked_by_the_authorities_that_boto3_knows(bucket: Bucket) -> None:
    assert Path(bucket._http.connection_pool_kw["ca_certs"]).is_file()
    assert bucket._http.connection_pool_kw.get("cert_reqs") is None, "urllib3's own: required"
