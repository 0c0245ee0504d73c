import hashlib
import os

import pytest

from functions.ai.classify_photo import classify_photo
from functions.ai.labels import MODEL
from shared import objects
from shared.errors import Unavailable
from shared.messages import Classification
from shared.redis import connect
from shared.tasks import Task, TaskFailed
from tests.ai.test_embedded import shipped

KEY = "images/1/a-web.jpg"


def put(photo: bytes) -> str:
    objects.store().put(KEY, photo, content_type="image/jpeg")
    return hashlib.sha256(photo).hexdigest()


def run(content_hash: str) -> Classification:
    result = classify_photo.fn(image_key=KEY, content_hash=content_hash)
    assert result.payload is None
    assert isinstance(result.record, Classification)
    return result.record


def test_a_stored_photo_is_classified_by_the_embedded_provider(task: Task) -> None:
    answer = run(put(shipped("coffee.png")))
    assert (answer.waste_type, answer.provider, answer.model) == ("general", "embedded", f"efficientnet-{MODEL}")


def test_the_same_photo_is_answered_from_the_cache_though_its_object_is_gone(task: Task) -> None:
    content_hash = put(shipped("coffee.png"))
    first = run(content_hash)
    objects.store().delete(KEY)
    assert run(content_hash) == first


def test_a_hash_that_is_not_the_photos_poisons_nothing(task: Task) -> None:
    put(shipped("coffee.png"))
    other = hashlib.sha256(b"another photo").hexdigest()
    for _ in range(2):
        with pytest.raises(TaskFailed, match="image-changed"):
            run(other)


def test_the_thumbnail_is_enough_for_the_embedded_provider(task: Task) -> None:
    objects.store().put("images/1/a-thumb.jpg", shipped("coffee.png"), content_type="image/jpeg")
    result = classify_photo.fn(
        image_key="images/1/gone.jpg", content_hash="0" * 64, thumbnail_key="images/1/a-thumb.jpg"
    )
    assert result.record.waste_type == "general"


def test_a_missing_copy_fails_with_a_clear_sentence(task: Task) -> None:
    objects.store().delete(KEY)
    with pytest.raises(TaskFailed, match="image-missing"):
        run("0" * 64)


def test_without_a_cache_every_photo_is_classified(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHE_REDIS_URL", "redis://127.0.0.1:9")
    content_hash = put(shipped("coffee.png"))
    assert run(content_hash) == run(content_hash)


def test_a_model_that_is_not_built_yet_leaves_the_task_pending(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_DIR", "/nowhere")
    with pytest.raises(Unavailable):
        run(put(shipped("coffee.png")))


def test_what_an_earlier_version_left_in_the_cache_is_passed_over(task: Task) -> None:
    content_hash = put(shipped("coffee.png"))
    connect(os.environ["CACHE_REDIS_URL"]).set(f"ai:photo:efficientnet-{MODEL}:{content_hash}", '{"other": 1}')
    assert run(content_hash).waste_type == "general"
