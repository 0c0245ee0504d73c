"""The object store with real clients: what works here works on S3, and what S3 refuses is refused."""

import json
import os
import re
import socket
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import httpx
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from emulator.process import Command, free_port, spawn, wait_ready
from emulator.servers.s3 import server
from emulator.servers.s3.errors import S3Error
from emulator.servers.s3.wire import MAX_BODY
from shared import clock
from tests import web

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

REGION, BUCKET = "ap-northeast-2", "eco2"


class Store:
    """The server as a process, and clients of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Store":
        clock_file = self.folder / "clock"
        self.folder.mkdir(exist_ok=True)
        clock.write_offset(str(clock_file), 0.0)
        env = os.environ | {
            "PORT": str(self.port),
            "S3_DATA": str(self.folder / "objects"),
            "S3_BUCKET": BUCKET,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "ECO2_CLOCK_FILE": str(clock_file),
        }
        command = Command("s3", [sys.executable, "-m", "emulator.servers.s3.server"], env, self.folder / "s3.log")
        self.process = spawn(command)
        wait_ready(self.process, command, self.ready)
        return self

    def ready(self) -> bool:
        try:
            return web.get(f"{self.url}/_ready").status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def client(self, access_key: str = "key", secret: str = "secret", region: str = REGION) -> "S3Client":
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=region,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )

    def advance(self, seconds: float) -> None:
        clock.write_offset(str(self.folder / "clock"), seconds)


@pytest.fixture
def s3(store: Store) -> Iterator["S3Client"]:
    store.advance(0.0)
    client = store.client()
    yield client
    client.close()


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return error.value.response["Error"]["Code"]


# The Authorization header


def test_a_client_puts_reads_lists_and_deletes(s3: "S3Client") -> None:
    key = "사진/a b+c&d=é.jpg"
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"x" * 1000, ContentType="image/jpeg", Metadata={"who_is": "me"})
    got = s3.get_object(Bucket=BUCKET, Key=key)
    assert got["Body"].read() == b"x" * 1000
    assert (got["ContentType"], got["Metadata"]) == ("image/jpeg", {"who_is": "me"})
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=BUCKET, Prefix="사진/")["Contents"]] == [key]
    s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key}]})
    with pytest.raises(ClientError) as error:
        s3.head_object(Bucket=BUCKET, Key=key)
    assert code(error) == "404"


@pytest.mark.parametrize("key", ["a//b", "/a", "a/", "가 나?#&%2F+", "a%20b"])
def test_a_key_may_have_any_form(s3: "S3Client", key: str) -> None:
    s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
    assert s3.head_object(Bucket=BUCKET, Key=key)["ContentLength"] == len(key.encode())
    assert key in [o["Key"] for o in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == key.encode()
    s3.delete_object(Bucket=BUCKET, Key=key)
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(Bucket=BUCKET, Key=key)


def test_a_connection_is_kept_also_after_a_refusal(store: Store) -> None:
    connection = HTTPConnection("127.0.0.1", store.port, timeout=30)
    for path, status in ((f"/{BUCKET}/private", 403), ("/_ready", 200), (f"/{BUCKET}/private", 403)):
        connection.request("GET", path, headers={"X-Twice": "a"})
        answer = connection.getresponse()
        answer.read()
        assert (answer.status, answer.getheader("Connection")) == (status, None)
    connection.close()


def test_a_wrong_secret_is_a_signature_that_does_not_match(store: Store) -> None:
    with pytest.raises(ClientError) as error:
        store.client(secret="other").list_objects_v2(Bucket=BUCKET)
    assert code(error) == "SignatureDoesNotMatch"


def test_an_unknown_key_and_a_wrong_region_are_named(store: Store) -> None:
    with pytest.raises(ClientError) as error:
        store.client(access_key="nobody").list_objects_v2(Bucket=BUCKET)
    assert code(error) == "InvalidAccessKeyId"
    answer = web.get(f"{store.url}/{BUCKET}", headers=signed(store, "GET", f"/{BUCKET}", region="us-west-2"))
    assert (answer.status_code, "AuthorizationHeaderMalformed" in answer.text) == (400, True)


def test_the_anonymous_are_refused(store: Store, s3: "S3Client") -> None:
    s3.put_object(Bucket=BUCKET, Key="private", Body=b"x")
    for method, path in (("GET", "/"), ("GET", f"/{BUCKET}"), ("GET", f"/{BUCKET}/private"), ("PUT", f"/{BUCKET}/new")):
        answer = web.request(method, store.url + path)
        assert (answer.status_code, "<Code>AccessDenied</Code>" in answer.text) == (403, True)
    form = {"key": "new"}
    assert web.post(f"{store.url}/{BUCKET}", data=form, files={"file": b"x"}).status_code == 403


def signed(
    store: Store, method: str, path: str, body: bytes = b"", region: str = REGION, **headers: str
) -> dict[str, str]:
    request = AWSRequest(
        method, store.url + path, data=body, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    S3SigV4Auth(Credentials("key", "secret"), "s3", region).add_auth(request)
    return dict(request.headers)


def test_content_other_than_the_signed_is_refused(store: Store) -> None:
    headers = signed(store, "PUT", f"/{BUCKET}/tampered", b"good")
    answer = web.put(f"{store.url}/{BUCKET}/tampered", content=b"evil", headers=headers)
    assert (answer.status_code, "XAmzContentSHA256Mismatch" in answer.text) == (400, True)


def test_an_amz_header_that_was_not_signed_is_refused(store: Store) -> None:
    headers = signed(store, "PUT", f"/{BUCKET}/tampered", b"good") | {"x-amz-acl": "public-read"}
    answer = web.put(f"{store.url}/{BUCKET}/tampered", content=b"good", headers=headers)
    assert (answer.status_code, "not signed" in answer.text) == (403, True)


def test_a_signed_length_and_type_are_looked_at_as_they_came(store: Store) -> None:
    headers = signed(store, "PUT", f"/{BUCKET}/whole", b"good", Content_Length="4", Content_Type="text/plain")
    assert {"content-length", "content-type"} <= set(re.split("[=;,]", headers["Authorization"]))
    assert web.put(f"{store.url}/{BUCKET}/whole", content=b"good", headers=headers).status_code == 200
    headers |= {"Content-Type": "text/html"}
    answer = web.put(f"{store.url}/{BUCKET}/whole", content=b"good", headers=headers)
    assert (answer.status_code, "SignatureDoesNotMatch" in answer.text) == (403, True)


@pytest.mark.parametrize(
    ("length", "code"), [(MAX_BODY + 1, "EntityTooLarge"), ("-1", "BadRequest"), ("4x", "BadRequest")]
)
def test_a_length_beyond_what_is_taken_is_refused_before_the_body_comes(
    store: Store, length: object, code: str
) -> None:
    with socket.create_connection(("127.0.0.1", store.port), timeout=60) as client:
        client.sendall(f"PUT /{BUCKET}/much HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
        answer = client.makefile("rb").read()
    assert b" 400 " in answer.partition(b"\r\n")[0]
    assert f"<Code>{code}</Code>".encode() in answer


def test_an_old_request_is_too_skewed(store: Store) -> None:
    headers = signed(store, "GET", f"/{BUCKET}") | {"X-Amz-Date": "20200101T000000Z"}
    headers["Authorization"] = headers["Authorization"].replace(headers["Authorization"].split("/")[1], "20200101", 1)
    answer = web.get(f"{store.url}/{BUCKET}", headers=headers)
    assert (answer.status_code, "RequestTimeTooSkewed" in answer.text) == (403, True)


def test_a_checksum_that_does_not_fit_is_a_bad_digest(store: Store) -> None:
    headers = signed(store, "PUT", f"/{BUCKET}/sum", b"good", x_amz_checksum_crc32="AAAAAA==")
    answer = web.put(f"{store.url}/{BUCKET}/sum", content=b"good", headers=headers)
    assert (answer.status_code, "BadDigest" in answer.text) == (400, True)


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_boto3_checksums_pass(s3: "S3Client", algorithm: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="sum", Body=b"content", ChecksumAlgorithm=algorithm)
    assert s3.get_object(Bucket=BUCKET, Key="sum")["Body"].read() == b"content"


def chunked(store: Store, path: str, body: bytes, payload: str, trailer: str = "") -> httpx.Response:
    headers = {
        "Content-Encoding": "aws-chunked",
        "X-Amz-Content-SHA256": payload,
        "X-Amz-Decoded-Content-Length": "11",
    } | ({"X-Amz-Trailer": trailer} if trailer else {})
    request = AWSRequest("PUT", store.url + path, data=b"", headers=headers)
    request.context["checksum"] = {"request_algorithm": {"in": "trailer"}}  # as botocore marks it
    S3SigV4Auth(Credentials("key", "secret"), "s3", REGION).add_auth(request)
    return web.put(store.url + path, content=body, headers=dict(request.headers))


def test_unsigned_chunks_with_a_trailing_checksum_as_sdks_send_over_https(store: Store, s3: "S3Client") -> None:
    def send(checksum: bytes) -> httpx.Response:
        body = b"6\r\nhello \r\n5\r\nworld\r\n0\r\nx-amz-checksum-crc32:" + checksum + b"\r\n\r\n"
        kind = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
        return chunked(store, f"/{BUCKET}/chunks", body, kind, "x-amz-checksum-crc32")

    good = b64encode((0x0D4A1185).to_bytes(4, "big"))
    assert send(good).status_code == 200
    got = s3.get_object(Bucket=BUCKET, Key="chunks")
    assert (got["Body"].read(), got.get("ContentEncoding", "")) == (b"hello world", "")
    assert "BadDigest" in send(b"AAAAAA==").text


def test_a_chunked_body_that_ends_early_is_incomplete(store: Store) -> None:
    answer = chunked(store, f"/{BUCKET}/chunks", b"6\r\nhel", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
    assert (answer.status_code, "IncompleteBody" in answer.text) == (400, True)


# Presigned addresses


def test_a_presigned_address_gives_until_it_has_expired(store: Store, s3: "S3Client") -> None:
    s3.put_object(Bucket=BUCKET, Key="given", Body=b"x")
    url = s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "given"}, ExpiresIn=60)
    assert web.get(url).content == b"x"
    store.advance(61)
    answer = web.get(url)
    assert (answer.status_code, "Request has expired" in answer.text) == (403, True)


def test_a_presigned_address_holds_for_one_method_and_key(s3: "S3Client") -> None:
    url = s3.generate_presigned_url("put_object", {"Bucket": BUCKET, "Key": "one"}, ExpiresIn=60)
    assert web.put(url, content=b"x").status_code == 200
    for answer in (web.put(url.replace("/one?", "/two?"), content=b"x"), web.delete(url), web.put(url + "0")):
        assert (answer.status_code, "SignatureDoesNotMatch" in answer.text) == (403, True)


def test_half_of_what_was_announced_is_no_object(store: Store, s3: "S3Client") -> None:
    url = s3.generate_presigned_url("put_object", {"Bucket": BUCKET, "Key": "half"}, ExpiresIn=60)
    head = f"PUT {url.removeprefix(store.url)} HTTP/1.1\r\nHost: 127.0.0.1:{store.port}\r\nContent-Length: 10\r\n\r\n"
    with socket.create_connection(("127.0.0.1", store.port), timeout=60) as client:
        client.sendall(f"{head}12345".encode())
        client.shutdown(socket.SHUT_WR)
        client.recv(1)  # until it has taken note
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(Bucket=BUCKET, Key="half")


def test_a_presigned_address_lasts_a_week_at_most(s3: "S3Client") -> None:
    for seconds in (604_801, 0, -1):
        url = s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "one"}, ExpiresIn=seconds)
        answer = web.get(url)
        assert (answer.status_code, "AuthorizationQueryParametersError" in answer.text) == (400, True)


# Upload forms


def form(s3: "S3Client", key: str = "uploads/u/1", seconds: int = 3600) -> dict[str, Any]:
    return s3.generate_presigned_post(
        BUCKET,
        key,
        Fields={"Content-Type": "image/jpeg"},
        Conditions=[{"Content-Type": "image/jpeg"}, ["content-length-range", 1, 1000]],
        ExpiresIn=seconds,
    )


def post(made: dict[str, Any], content: bytes = b"photo", **changes: Any) -> httpx.Response:
    fields = {**made["fields"], **{name.replace("_", "-"): value for name, value in changes.items()}}
    return web.post(made["url"], data=fields, files={"file": ("a.png", content, "image/png")})


def test_a_form_uploads_with_its_own_type(s3: "S3Client") -> None:
    answer = post(form(s3))
    assert (answer.status_code, answer.content) == (204, b"")
    got = s3.get_object(Bucket=BUCKET, Key="uploads/u/1")
    assert (got["Body"].read(), got["ContentType"], got["ETag"]) == (b"photo", "image/jpeg", answer.headers["ETag"])


def test_a_form_is_refused_when_its_time_is_over(store: Store, s3: "S3Client") -> None:
    made = form(s3)
    store.advance(3601)
    answer = post(made)
    assert (answer.status_code, "Policy expired" in answer.text) == (403, True)


@pytest.mark.parametrize(("size", "expected"), [(1000, ""), (1001, "EntityTooLarge"), (0, "EntityTooSmall")])
def test_a_form_bounds_the_size(s3: "S3Client", size: int, expected: str) -> None:
    answer = post(form(s3), b"x" * size)
    assert answer.status_code == (400 if expected else 204)
    assert expected in answer.text


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"Content_Type": "text/html"}, "Policy Condition failed"),
        ({"key": "uploads/other"}, "Policy Condition failed"),
        ({"acl": "public-read"}, "Extra input fields: acl"),
        ({"x_amz_signature": "0" * 64}, "SignatureDoesNotMatch"),
        ({"x_amz_credential": "nobody/20260101/ap-northeast-2/s3/aws4_request"}, "InvalidArgument"),
    ],
)
def test_a_form_with_a_changed_field_is_refused(s3: "S3Client", changes: dict[str, str], expected: str) -> None:
    answer = post(form(s3), b"photo", **changes)
    assert answer.status_code in (400, 403)
    assert expected in answer.text


def test_a_form_with_a_loosened_policy_is_refused(s3: "S3Client") -> None:
    made = form(s3)
    policy = json.loads(b64decode(made["fields"]["policy"]))
    policy["conditions"] = []
    answer = post(made, policy=b64encode(json.dumps(policy).encode()).decode())
    assert (answer.status_code, "SignatureDoesNotMatch" in answer.text) == (403, True)


def test_a_prefix_condition_and_the_file_name(s3: "S3Client") -> None:
    made = s3.generate_presigned_post(BUCKET, "free/${filename}", Conditions=[["starts-with", "$x-amz-meta-who", "m"]])
    assert post(made, x_amz_meta_who="me").status_code == 204
    assert s3.head_object(Bucket=BUCKET, Key="free/a.png")["Metadata"] == {"who": "me"}
    assert post(made, x_amz_meta_who="you").status_code == 403


def test_a_form_without_a_file_is_no_upload(s3: "S3Client") -> None:
    made = form(s3)
    answer = web.post(made["url"], files={name: (None, value) for name, value in made["fields"].items()})
    assert (answer.status_code, "exactly one file" in answer.text) == (400, True)


FORM = {"CONTENT_TYPE": 'multipart/form-data; boundary="b;c"'}
FIELD = b'--b;c\r\nContent-Disposition: form-data; name="Key"\r\n\r\n\xea\xb0\x80\r\n'
FILE = b'--b;c \r\ncontent-type: image/png\r\nContent-Disposition: form-data; name="file"; filename="\xea\xb0\x80.png"\r\n\r\n'
NOT_FORMS = [
    b"",
    FIELD,
    FIELD + FILE + b"x",
    FIELD.replace(b"b;c", b"other") + b"--other--\r\n",
    FIELD.replace(b"; name=", b"; x=") + b"--b;c--\r\n",
    FIELD.replace(b"form-data", b"attachment") + b"--b;c--\r\n",
    FIELD.replace(b"b;c\r\n", b"b;cc\r\n") + b"--b;c--\r\n",
    FIELD.replace(b"\xea", b"\xff") + b"--b;c--\r\n",
    FIELD.replace(b'"Key"', b'"k%d"') * 300 % tuple(range(300)) + b"--b;c--\r\n",
]


@pytest.mark.parametrize("content", [b"", b"\r\n", b"\r\n--b", b"a\r\n\r\nb\r\n", b"\r\n--b;\r\nc"])
def test_a_form_s_file_is_what_was_sent_letter_by_letter(content: bytes) -> None:
    for before, after in ((b"", b""), (b"said before\r\n", b"said behind")):
        body = before + FIELD + FILE + content + b"\r\n" + FIELD + b"--b;c--\r\n" + after
        assert server._form(FORM, body) == ({"key": "가"}, [("가.png", content)])


@pytest.mark.parametrize("number", range(len(NOT_FORMS)))
def test_what_is_no_whole_form_is_refused(number: int) -> None:
    with pytest.raises(S3Error, match="well-formed"):
        server._form(FORM, NOT_FORMS[number])


def test_a_field_that_is_there_twice_is_refused() -> None:
    """One that was signed, and one that is taken."""
    with pytest.raises(S3Error, match="exactly one field named 'key'"):
        server._form(FORM, FIELD + FIELD.replace(b'"Key"', b'"KEY"') + FILE + b"x\r\n--b;c--\r\n")


def test_a_page_of_another_origin_may_post_a_form(store: Store, s3: "S3Client") -> None:
    asked = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST"}
    preflight = web.options(f"{store.url}/{BUCKET}", headers=asked)
    assert (preflight.status_code, preflight.headers["Access-Control-Allow-Origin"]) == (200, "*")
    assert post(form(s3)).headers["Access-Control-Allow-Origin"] == "*"


# Kept


def kept(s3: "S3Client") -> dict[str, dict[str, Any]]:
    """What S3 tells of each object."""
    return {
        key: dict(s3.head_object(Bucket=BUCKET, Key=key, ChecksumMode="ENABLED"))
        | {"ResponseMetadata": None, "tags": s3.get_object_tagging(Bucket=BUCKET, Key=key)["TagSet"]}
        for key in (one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET)["Contents"])
    }


def test_everything_answered_survives_a_kill_9(tmp_path: Path) -> None:
    store = Store(tmp_path).start()
    try:
        s3 = store.client()
        s3.put_object(
            Bucket=BUCKET, Key="put", Body=b"1", ContentType="image/webp", CacheControl="max-age=1", Tagging="a=b",
            Metadata={"m": "n"}, StorageClass="STANDARD_IA", ChecksumAlgorithm="SHA256",
        )  # fmt: skip
        rule: Any = {"AllowedMethods": ["GET"], "AllowedOrigins": ["https://here"]}
        s3.put_bucket_cors(Bucket=BUCKET, CORSConfiguration={"CORSRules": [rule]})
        s3.copy_object(Bucket=BUCKET, Key="copied", CopySource=f"{BUCKET}/put")
        s3.put_object(Bucket=BUCKET, Key="gone", Body=b"1")
        s3.delete_object(Bucket=BUCKET, Key="gone")
        assert post(form(s3, "posted")).status_code == 204
        big: Any = {"ContentType": "video/mp4", "StorageClass": "STANDARD_IA", "Tagging": "a=b", "Metadata": {"m": "n"}}
        whole = s3.create_multipart_upload(Bucket=BUCKET, Key="big", **big)["UploadId"]
        s3.upload_part(Bucket=BUCKET, Key="big", UploadId=whole, PartNumber=1, Body=b"x" * 5 * 1024 * 1024)
        before = kept(s3)
        store.kill()
        store.start()
        after = kept(s3)
        assert after == before
        assert s3.get_bucket_cors(Bucket=BUCKET)["CORSRules"] == [rule]
        assert set(after) == {"put", "copied", "posted"}
        got = s3.get_object(Bucket=BUCKET, Key="copied")
        assert (got["Body"].read(), got["ContentType"], got["CacheControl"]) == (b"1", "image/webp", "max-age=1")
        assert s3.get_object_tagging(Bucket=BUCKET, Key="put")["TagSet"] == [{"Key": "a", "Value": "b"}]
        last = s3.upload_part(Bucket=BUCKET, Key="big", UploadId=whole, PartNumber=2, Body=b"y")
        first = s3.list_parts(Bucket=BUCKET, Key="big", UploadId=whole)["Parts"][0]["ETag"]
        parts: Any = [{"PartNumber": 1, "ETag": first}, {"PartNumber": 2, "ETag": last["ETag"]}]
        s3.complete_multipart_upload(Bucket=BUCKET, Key="big", UploadId=whole, MultipartUpload={"Parts": parts})
        s3.abort_multipart_upload(
            Bucket=BUCKET, Key="no", UploadId=s3.create_multipart_upload(Bucket=BUCKET, Key="no")["UploadId"]
        )
        assert list((tmp_path / "objects" / BUCKET / "uploads").iterdir()) == [], "a part would lie there for ever"
        s3.create_bucket(Bucket="another", CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.delete_bucket(Bucket="another")
        store.kill()
        store.start()
        found, tags = (
            s3.head_object(Bucket=BUCKET, Key="big"),
            s3.get_object_tagging(Bucket=BUCKET, Key="big")["TagSet"],
        )
        assert found["ContentLength"] == 5 * 1024 * 1024 + 1
        assert {name: found.get(name, "a=b") for name in big} == big
        assert tags == [{"Key": "a", "Value": "b"}]
        assert [one["Name"] for one in s3.list_buckets()["Buckets"]] == [BUCKET]
    finally:
        store.kill()


def test_a_half_written_file_of_a_killed_store_is_no_object_and_one_of_an_older_version_is(tmp_path: Path) -> None:
    store = Store(tmp_path).start()
    try:
        store.client().put_object(Bucket=BUCKET, Key="whole", Body=b"1")
        store.kill()
        (written,) = (tmp_path / "objects" / BUCKET / "objects").glob("*/*")
        older = written.parent.parent / written.name[:2] / written.name
        older.parent.mkdir()
        written.rename(older)
        (written.parent / ".new-half").write_bytes(b'{"key": "half"')
        store.start()
        assert [o["Key"] for o in store.client().list_objects_v2(Bucket=BUCKET)["Contents"]] == ["whole"]
        assert not (written.parent / ".new-half").exists()
        assert (written.exists(), older.exists()) == (True, False)
        # What the disk refuses is not stored, and what it was to replace is as it was.
        (written.parent / f".new-{written.name}").mkdir()
        refused = web.put(
            f"{store.url}/{BUCKET}/whole", content=b"2", headers=signed(store, "PUT", f"/{BUCKET}/whole", b"2")
        )
        assert (refused.status_code, "InternalError" in refused.text) == (500, True)
        assert store.client().get_object(Bucket=BUCKET, Key="whole")["Body"].read() == b"1"
    finally:
        store.kill()
