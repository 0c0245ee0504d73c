import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from functions.ai import deciding, embedded, judging, providers
from functions.ai.embedded import MIDDLE, SEEN, Classifier, EmbeddedPhotos, opened, views
from functions.ai.judging import Look
from functions.ai.labels import CLASSES, TYPES, read_items, read_labels
from functions.ai.variants import FEATURES, MODEL, SIDE, VARIANTS
from functions.storage.images import make_copies
from shared.errors import Unavailable
from shared.item_ids import item_id
from shared.messages import Candidate
from shared.waste_types import WASTE_TYPES
from tests import items
from tests.storage.photos import encode, two_things


def shipped(name: str) -> bytes:
    """A photograph of scikit-image's wheel, as the storage worker keeps it."""
    import skimage

    return make_copies((Path(skimage.__file__).parent / "data" / name).read_bytes()).web


def jpeg(image: Image.Image) -> bytes:
    target = BytesIO()
    image.save(target, "JPEG")
    return target.getvalue()


def looks(logits: np.typing.NDArray[np.float32]) -> list[Look]:
    """All networks' looks at all views [networks, views, 1000], without a feature."""
    return [Look(n, np.zeros(FEATURES, np.float32), logits[n, view]) for n, view in np.ndindex(logits.shape[:2])]


def test_every_class_belongs_to_one_waste_type_of_the_contract() -> None:
    labels = read_labels()
    assert len({label.index for label in labels}) == len(labels) > 290
    assert all(0 <= label.index < CLASSES for label in labels)
    kinds = {label.waste_type for label in labels}
    assert kinds < set(WASTE_TYPES)
    assert not {"unknown", "battery", "styrofoam", "paper_pack"} & kinds, "ImageNet has no such class"


def test_every_item_that_a_photo_can_show_is_recycle_infos_and_of_its_type() -> None:
    known = {entry.slug: file.category for file in items.files() for entry in file.items}
    assert {item: kind for item, kind in read_items().items() if known.get(item) != kind} == {}
    named = {label.item: label.waste_type for label in read_labels() if label.item}
    assert named.items() <= read_items().items()


def test_a_photographed_cup_of_coffee_is_an_espresso_to_both_networks(model_dir: Path) -> None:
    seen = Classifier(model_dir).run(views(opened(shipped("coffee.png"))))
    assert seen.features.shape == (len(VARIANTS), SEEN, FEATURES)
    assert seen.logits.argmax(axis=2).tolist() == [[967] * SEEN] * len(VARIANTS)
    photos = EmbeddedPhotos(model_dir)
    answer = photos.classify(shipped("coffee.png"))
    assert answer.waste_type == "general"
    assert answer.item_id == item_id("ceramic-cup"), "the very thing"
    assert (answer.provider, answer.model) == ("embedded", photos.model)
    assert photos.model.startswith(f"efficientnet-{MODEL}-")


def test_a_photo_of_two_things_is_asked_back_about(model_dir: Path) -> None:
    """The picture that `make test-ui` walks through the question and the choice with."""
    answer = EmbeddedPhotos(model_dir).classify(make_copies(encode(two_things())).thumbnail)
    assert (answer.waste_type, answer.ask) == ("unknown", ["glass", "plastic"])


@pytest.mark.parametrize(
    "name",
    [
        "astronaut.png",
        "rocket.jpg",
        "moon.png",
        "brick.png",
        "chelsea.png",
        "hubble_deep_field.jpg",
        "ihc.png",
        "cell.png",
    ],
)
def test_what_nobody_throws_away_is_unknown(model_dir: Path, name: str) -> None:
    answer = EmbeddedPhotos(model_dir).classify(shipped(name))
    assert answer.waste_type == "unknown"
    assert answer.item_id is None


def test_the_candidates_are_the_best_types_and_sum_to_at_most_one() -> None:
    answer = deciding.answer([("metal", 0.01), ("glass", 0.2), ("pet_clear", 0.7), ("food", 0.001)], "p", "m")
    assert (answer.waste_type, answer.confidence) == ("pet_clear", 0.7)
    assert [candidate.waste_type for candidate in answer.candidates] == ["pet_clear", "glass", "metal"]


def test_under_the_threshold_the_answer_is_unknown_with_the_candidates() -> None:
    least = deciding.THRESHOLD
    assert deciding.answer([("glass", least), ("metal", 0.02)], "p", "m").waste_type == "glass"
    answer = deciding.answer([("metal", 0.02), ("glass", least - 0.01)], "p", "m", item=("beer-bottle", "glass"))
    assert (answer.waste_type, answer.confidence, answer.item_id) == ("unknown", round(least - 0.01, 4), None)
    assert [candidate.waste_type for candidate in answer.candidates] == ["glass", "metal"]
    assert deciding.answer([], "p", "m").waste_type == "unknown"


def test_two_types_that_are_all_but_even_are_asked_about_and_not_guessed() -> None:
    second = 0.5 - deciding.LEAD
    answer = deciding.answer([("glass", 0.5), ("pet_clear", second + 0.01)], "p", "m")
    assert (answer.waste_type, answer.ask) == ("unknown", ["glass", "pet_clear"])
    answer = deciding.answer([("glass", 0.5), ("pet_clear", second - 0.01)], "p", "m")
    assert (answer.waste_type, answer.ask) == ("glass", ["glass", "pet_clear"])


def test_views_that_disagree_make_no_answer() -> None:
    confidences = [("glass", 0.6), ("plastic", 0.2)]
    for least, waste_type in ((0.5, "glass"), (0.2, "glass"), (0.1, "unknown")):
        views = {"glass": least, "plastic": 0.0}
        assert deciding.answer(confidences, "p", "m", least=views).waste_type == waste_type


def test_a_type_is_as_sure_as_the_least_sure_view_says() -> None:
    judge = judging.read_judge()
    logits = np.full((2, 2, CLASSES), -9, np.float32)
    logits[:, :, 440] = 9  # a beer bottle
    logits[1, 1, [440, 281]] = -9, 9  # and a cat, in the last view of the last network
    judged = judge.types(looks(logits))
    assert judged.least["glass"] < 0.01
    assert judged.confidences["glass"] > 0.3
    assert set(judged.confidences) == set(judged.least) == set(TYPES)
    assert sum(judged.confidences.values()) <= 1.0001


def test_an_item_is_named_where_the_answer_is_of_its_type() -> None:
    confidences = [("glass", 0.9), ("metal", 0.05)]
    assert deciding.answer(confidences, "p", "m", item=("beer-bottle", "glass")).item_id == item_id("beer-bottle")
    assert deciding.answer(confidences, "p", "m", item=("frying-pan", "metal")).item_id is None


@pytest.mark.parametrize(
    ("first", "second", "asked"),
    [(0.5, 0.4, True), (0.3, 0.25, True), (0.7, 0.25, False), (0.85, 0.15, False), (0.2, 0.2, False)],
)
def test_two_types_that_are_close_are_asked_about(first: float, second: float, asked: bool) -> None:
    order = [("glass", first), ("pet_clear", second)]
    assert deciding.close(order) == (["glass", "pet_clear"] if asked else [])
    assert deciding.close(order[:1]) == []


def test_what_is_told_keeps_the_order_and_is_under_80_percent_where_one_in_twenty_is_wrong() -> None:
    found = np.array([[first, *[(1 - first) / 4] * 3] for first in np.linspace(0.3, 0.99, 70)])
    said = judging.told(found)
    assert (np.diff(said[:, 0]) > 0).all()
    assert (said.sum(axis=1) <= 1).all()
    assert (said[found[:, 0] < 0.7, 0] < 0.8).all()
    assert said[-1, 0] > 0.99


def test_the_answer_is_decided_by_confidences_and_tells_others() -> None:
    answer = deciding.answer(
        [("glass", 0.5), ("metal", 0.3), ("food", 0.02)], "p", "m", told={"glass": 0.7, "metal": 0.2, "food": 0.001}
    )
    assert (answer.waste_type, answer.confidence, answer.ask) == ("glass", 0.7, ["glass", "metal"])
    assert answer.candidates == [Candidate("glass", 0.7), Candidate("metal", 0.2)]


def test_where_the_map_is_sure_of_what_the_head_does_not_know_the_head_is_not_asked() -> None:
    judge = judging.read_judge()
    scores = np.zeros((1, len(judge.head.classes)))
    scores[0, judge.head.classes.index("paper")] = scores[0, judge._other] = 9
    mapped = np.zeros((1, len(TYPES)))
    mapped[0, TYPES.index("food")] = 0.95
    assert TYPES[int(judge.join(scores, mapped)[0].argmax())] == "food"
    mapped[0, TYPES.index("food")] = 0.02
    mapped[0, [TYPES.index(kind) for kind in ("paper", "plastic", "glass", "metal", "general")]] = 0.15
    scores[0, judge._other] = 0
    joined = judge.join(scores, mapped)[0]
    assert TYPES[int(joined.argmax())] == "paper", "and where it knows nothing, it is"
    assert joined.sum() <= 1.0001


def test_what_the_map_takes_for_an_animal_is_nothing_to_throw_away() -> None:
    logits = np.full((2, 2, CLASSES), -9, np.float32)
    logits[:, :, 281] = 9  # tabby cat
    assert judging.by_type(logits, 1.0).max() < 0.01
    judged = judging.read_judge().types(looks(logits))
    assert max(judged.confidences.values()) < deciding.THRESHOLD


def test_views_show_the_middle_of_the_picture_and_all_of_it() -> None:
    image = Image.new("RGB", (900, 450), "blue")
    image.paste("red", (225, 0, 675, 450))
    image.paste("green", (337, 112, 562, 337))
    middle, whole = views(image)
    assert middle.shape == whole.shape == (SIDE, SIDE, 3)
    assert (middle[:, :, 2] < 5).all(), "nothing of the sides"
    assert (middle[:, :, 1] > 100).mean() == pytest.approx(0.25 / MIDDLE**2, abs=0.02)
    assert (whole[:, :, 2] > 200).mean() == pytest.approx(0.5, abs=0.02), "the sides are half of it"


def test_a_photo_that_shows_nothing_is_looked_at_by_no_network(model_dir: Path) -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (480, 640, 3), np.uint8))
    for picture in (noise, Image.new("RGB", (640, 480), "red")):
        answer = EmbeddedPhotos(model_dir).classify(make_copies(encode(picture)).thumbnail)
        assert (answer.waste_type, answer.candidates, answer.ask) == ("unknown", [], [])


@pytest.mark.parametrize("size", [(1, 1), (5, 900), (1600, 20), (3000, 3000)])
def test_any_shape_of_photo_has_an_answer(model_dir: Path, size: tuple[int, int]) -> None:
    assert EmbeddedPhotos(model_dir).classify(jpeg(Image.new("RGB", size, "grey"))).waste_type == "unknown"


def test_threads_share_one_model_and_get_their_own_answers(model_dir: Path) -> None:
    photos = EmbeddedPhotos(model_dir)
    names = ["coffee.png", "rocket.jpg", "astronaut.png"]
    shown = {name: shipped(name) for name in names}
    alone = {name: EmbeddedPhotos(model_dir).classify(photo) for name, photo in shown.items()}
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda name: (name, photos.classify(shown[name])), names * 8))
    assert all(answer == alone[name] for name, answer in answers)


def wait(folder: Path, caplog: pytest.LogCaptureFixture) -> str:
    """What the log says of a folder of models with which no photo is classified yet."""
    caplog.clear()
    with pytest.raises(Unavailable):
        EmbeddedPhotos(folder).classify(jpeg(Image.new("RGB", (8, 8))))
    assert f"functions.ai.model_build {folder}" in caplog.text
    return caplog.text


def test_whoever_asks_while_the_classifier_is_made_waits_for_it(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = providers._Photos(model_dir)
    made: list[bool] = []

    def make(folder: Path) -> EmbeddedPhotos:
        made.append(photos._making.acquire(blocking=False))
        return EmbeddedPhotos(folder)

    monkeypatch.setattr(embedded, "EmbeddedPhotos", make)
    assert photos.model == photos.model
    assert made == [False], "one is made, and others are kept waiting meanwhile"


def test_whoever_asks_while_the_networks_are_read_waits_for_them(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = EmbeddedPhotos(model_dir)
    read: list[bool] = []

    def classifier(folder: Path) -> object:
        read.append(photos._loading.acquire(blocking=False))
        return object()

    monkeypatch.setattr(embedded, "Classifier", classifier)
    assert photos._loaded() is photos._loaded()
    assert read == [False], "once, and others are kept waiting meanwhile"


def test_a_missing_model_means_not_now_and_says_how_to_build_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert f"{tmp_path / 'lite2.onnx'} is not there" in wait(tmp_path, caplog)


def test_models_of_another_version_mean_not_now_and_not_an_answer(
    model_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lite2, lite1 = (variant.file for variant in VARIANTS)
    content = (model_dir / lite2).read_bytes()
    (tmp_path / lite2).write_bytes(content)
    assert f"{tmp_path / lite1} is not there" in wait(tmp_path, caplog), "one network was all, before"
    (tmp_path / lite1).write_bytes(content)
    assert f"{tmp_path / lite1} is lite2 of revision" in wait(tmp_path, caplog)
    (tmp_path / lite2).write_bytes((model_dir / lite1).read_bytes())
    assert f"{tmp_path / lite2} is lite1 of revision" in wait(tmp_path, caplog)
    (tmp_path / lite2).write_bytes(content[: len(content) // 2])
    assert f"{tmp_path / lite2} can't be read" in wait(tmp_path, caplog)


def test_serving_imports_neither_the_builder_nor_a_provider_that_is_off() -> None:
    code = (
        "import os, sys, functions.ai.classify_photo, functions.ai.answer_question;"
        "from functions.ai.providers import make; from shared.settings import Settings; from shared.calls import Calls;"
        "make(Settings(broker_redis_url='redis://127.0.0.1:9', cache_redis_url='redis://127.0.0.1:9'), Calls({}));"
        "print(sorted({'onnx', 'openai', 'torch', 'onnxruntime', 'boto3'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_onnxruntime_is_told_to_report_nothing(model_dir: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from functions.ai.embedded import Classifier;"
        f"Classifier(Path({str(model_dir)!r})); print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


def test_a_crop_that_is_nearly_the_networks_side_is_cut_and_not_resized() -> None:
    image = Image.linear_gradient("L").resize((400, 300)).convert("RGB")
    assert (views(image)[0] == np.asarray(image.crop((70, 20, 330, 280)))).all()
