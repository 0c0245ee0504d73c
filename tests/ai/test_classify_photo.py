import hashlib
import os
from datetime import datetime

import pytest
from msgspec import Struct, structs

from functions.ai.interfaces import ProviderFailed
from functions.ai.variants import MODEL
from shared.errors import Unavailable
from shared.messages import Classification
from shared.redis import connect
from shared.tasks import TaskFailed
from tests.ai.test_embedded import shipped
from tests.eval.at_work import AtWork

KEY = "images/1/a-web.jpg"


def put(task: AtWork, photo: bytes) -> str:
    task.objects.put(KEY, photo, content_type="image/jpeg")
    return hashlib.sha256(photo).hexdigest()


def run(task: AtWork, content_hash: str) -> Classification:
    result = task.classify(KEY, content_hash)
    assert result.payload is None
    assert isinstance(result.record, Classification)
    return result.record


def test_a_stored_photo_is_classified_by_the_embedded_provider(task: AtWork) -> None:
    answer = run(task, put(task, shipped("coffee.png")))
    assert (answer.waste_type, answer.provider, answer.model) == ("general", "embedded", f"efficientnet-{MODEL}-waste5")


def test_the_same_photo_is_answered_from_the_cache_though_its_object_is_gone(task: AtWork) -> None:
    content_hash = put(task, shipped("coffee.png"))
    first = run(task, content_hash)
    task.objects.delete(KEY)
    assert run(task, content_hash) == first


def test_a_hash_that_is_not_the_photos_poisons_nothing(task: AtWork) -> None:
    put(task, shipped("coffee.png"))
    other = hashlib.sha256(b"another photo").hexdigest()
    for _ in range(2):
        with pytest.raises(TaskFailed, match="image-changed"):
            run(task, other)


def test_the_thumbnail_is_enough_for_the_embedded_provider(task: AtWork) -> None:
    task.objects.put("images/1/a-thumb.jpg", shipped("coffee.png"), content_type="image/jpeg")
    result = task.classify("images/1/gone.jpg", "0" * 64, thumbnail_key="images/1/a-thumb.jpg")
    assert result.record.waste_type == "general"


def test_a_missing_copy_fails_with_a_clear_sentence(task: AtWork) -> None:
    task.objects.delete(KEY)
    with pytest.raises(TaskFailed, match="image-missing"):
        run(task, "0" * 64)


class Photographer(Struct):
    """A provider that answers a kind of waste, or has no answer."""

    provider: str
    model: str
    kind: str = ""
    asked: int = 0

    def classify(self, photo: bytes, spender: str, deadline: datetime | None) -> Classification:
        self.asked += 1
        if not self.kind:
            raise ProviderFailed("none just now")
        return Classification(self.kind, 0.9, [], self.provider, self.model)


def test_what_a_stand_in_says_is_kept_for_no_one(task: AtWork) -> None:
    first, stand_in = Photographer("first", "first"), Photographer("stand-in", "second", "glass")
    content_hash = put(task, shipped("coffee.png"))
    providers, task.providers = task.providers, structs.replace(task.providers, photos=(first, stand_in))
    try:
        assert run(task, content_hash).waste_type == "glass"
        first.kind = "metal"
        assert [run(task, content_hash).waste_type for _ in range(2)] == ["metal", "metal"]
    finally:
        task.providers = providers
    assert (first.asked, stand_in.asked) == (2, 1), "what the first says is kept"


def test_a_copy_that_is_larger_than_any_is_said_to_be_missing(task: AtWork) -> None:
    content_hash = put(task, b"\0" * (10 * 1024 * 1024 + 1))
    with pytest.raises(TaskFailed, match="image-missing"):
        run(task, content_hash)


def test_without_a_cache_every_photo_is_classified(task: AtWork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHE_REDIS_URL", "redis://127.0.0.1:9")
    content_hash = put(task, shipped("coffee.png"))
    assert run(task, content_hash) == run(task, content_hash)


def test_a_model_that_is_not_built_yet_leaves_the_task_pending(task: AtWork, monkeypatch: pytest.MonkeyPatch) -> None:
    content_hash = put(task, shipped("coffee.png"))
    monkeypatch.setenv("MODEL_DIR", "/nowhere")
    without = AtWork()
    with pytest.raises(Unavailable):
        run(without, content_hash)
    without.close()


def test_what_an_earlier_version_left_in_the_cache_is_passed_over(task: AtWork) -> None:
    content_hash = put(task, shipped("coffee.png"))
    connect(os.environ["CACHE_REDIS_URL"]).set(f"ai:photo:efficientnet-{MODEL}:{content_hash}", '{"other": 1}')
    assert run(task, content_hash).waste_type == "general"
