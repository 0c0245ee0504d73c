from typing import Any

import pytest

from functions.storage.process_photo import process_photo
from shared import clock
from shared.errors import Unavailable
from shared.ids import new_id
from shared.messages import ProcessedPhoto, ProcessPhoto
from shared.objects import ObjectStore
from shared.progress import Progress, Publisher
from shared.redis import connect
from shared.settings import Settings
from shared.tasks import Task, TaskFailed
from tests.storage import photos

KEY = "uploads/0190/abc"


def run(store: ObjectStore, prefix: str = "images/1") -> ProcessedPhoto:
    task = Task(new_id(), new_id(), new_id(), 1, clock.now())
    # No broker: what a task says of itself is a courtesy.
    progress = Progress(Publisher(connect("redis://127.0.0.1:9")), task)
    result = process_photo(ProcessPhoto(KEY, prefix), store, progress)
    assert result.payload is None, "a photo's record holds nothing of a person"
    assert isinstance(result.record, ProcessedPhoto)
    return result.record


def test_an_upload_becomes_two_stored_copies(store: ObjectStore, client: Any) -> None:
    store.put(KEY, photos.jpeg_full_of_metadata(), content_type="text/html")
    record = run(store)
    assert record.web_key.startswith("images/1/")
    assert record.web_key.endswith("-web.jpg")
    stored = {found.key: found.size for found in store.list("images/1/")}
    assert stored == {record.web_key: record.bytes, record.thumbnail_key: stored[record.thumbnail_key]}
    for key in stored:
        answer = client.get_object(Bucket=store.bucket, Key=key)
        assert answer["ContentType"] == "image/jpeg", "the client's word for the type decides nothing"
        assert answer["CacheControl"] == "private, max-age=86400, immutable"
        assert photos.SECRET not in answer["Body"].read()


def test_the_upload_is_left_to_its_owner(store: ObjectStore) -> None:
    store.put(KEY, photos.encode(photos.picture()), content_type="image/jpeg")
    run(store)
    assert store.size(KEY) > 0


def test_a_second_run_writes_the_same_keys(store: ObjectStore) -> None:
    store.put(KEY, photos.encode(photos.picture()), content_type="image/jpeg")
    assert run(store) == run(store)
    assert len(list(store.list("images/1/"))) == 2


def test_another_photo_has_other_keys_because_caches_keep_each_for_a_day(store: ObjectStore) -> None:
    found = []
    for width in (64, 65):
        store.put(KEY, photos.encode(photos.picture(width, 48)), content_type="image/jpeg")
        record = run(store)
        keys = {f"images/1/{record.content_hash[:32]}-{size}.jpg" for size in ("web", "thumb")}
        assert {record.web_key, record.thumbnail_key} == keys
        found += keys
    assert len(set(found)) == 4


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"hello", "not-an-image"),
        (photos.png_bomb(50_000, 50_000), "too-many-pixels"),
        (photos.encode(photos.picture())[:2000], "image-broken"),
        (photos.encode(photos.picture(), "GIF"), "unsupported-format"),
        (bytes((10 << 20) + 1), "too-many-bytes"),
        (None, "upload-missing"),
    ],
    ids=["text", "bomb", "cut", "gif", "large", "missing"],
)
def test_what_is_no_usable_photo_fails_with_a_clear_sentence_and_stores_nothing(
    store: ObjectStore, data: bytes | None, code: str
) -> None:
    if data is not None:
        store.put(KEY, data, content_type="image/jpeg")
    with pytest.raises(TaskFailed) as caught:
        run(store)
    assert caught.value.code == code
    assert caught.value.message.endswith(".")
    assert not list(store.list("images/"))


def test_a_store_that_is_away_is_no_failure_of_the_task() -> None:
    away = Settings(
        s3_endpoint_url="http://127.0.0.1:9", s3_bucket="none", aws_access_key_id="a", aws_secret_access_key="b"
    )
    with pytest.raises(Unavailable):
        run(ObjectStore(away))
