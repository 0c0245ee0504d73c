import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from functions.ai.embedded import _TYPES, THRESHOLD, Classifier, EmbeddedPhotos, by_type, decide, prepare
from functions.ai.labels import CLASSES, IMAGENET, MODEL
from functions.storage.images import make_copies
from shared.errors import Unavailable
from shared.waste_types import WASTE_TYPES


def shipped(name: str) -> bytes:
    """A photograph of scikit-image's wheel, as the storage worker keeps it."""
    import skimage

    return make_copies((Path(skimage.__file__).parent / "data" / name).read_bytes()).web


def jpeg(image: Image.Image) -> bytes:
    target = BytesIO()
    image.save(target, "JPEG")
    return target.getvalue()


def test_every_class_belongs_to_one_waste_type_of_the_contract() -> None:
    indices = [index for block in IMAGENET.values() for index in block]
    assert len(indices) == len(set(indices)) > 290
    assert all(0 <= index < CLASSES for index in indices)
    assert set(IMAGENET) < set(WASTE_TYPES)
    assert not {"unknown", "battery", "styrofoam", "paper_pack"} & set(IMAGENET), "ImageNet has no such class"


def test_a_photographed_cup_of_coffee_is_an_espresso_to_the_network(model_dir: Path) -> None:
    logits = Classifier(model_dir / f"{MODEL}.onnx").logits(shipped("coffee.png"))
    assert int(logits.argmax()) == 967
    answer = EmbeddedPhotos(model_dir).classify(shipped("coffee.png"))
    assert answer.waste_type == "general"
    assert answer.confidence > 0.8
    assert (answer.provider, answer.model) == ("embedded", f"efficientnet-{MODEL}")


@pytest.mark.parametrize(
    "name", ["astronaut.png", "rocket.jpg", "moon.png", "brick.png", "grass.png", "gravel.png", "retina.jpg", "ihc.png"]
)
def test_what_nobody_throws_away_is_unknown(model_dir: Path, name: str) -> None:
    answer = EmbeddedPhotos(model_dir).classify(shipped(name))
    assert answer.waste_type == "unknown"
    assert answer.confidence < THRESHOLD


def test_the_candidates_are_the_best_types_and_sum_to_at_most_one() -> None:
    logits = np.full(CLASSES, -5, np.float32)
    logits[[737, 898]] = 9  # pop bottle, water bottle: both pet_clear
    logits[440] = 8  # beer bottle
    waste_type, confidence, candidates = decide(by_type(logits))
    assert waste_type == candidates[0].waste_type == "pet_clear"
    assert candidates[1].waste_type == "glass"
    assert confidence == candidates[0].confidence > candidates[1].confidence
    assert sum(candidate.confidence for candidate in candidates) <= 1.0001


def test_under_the_threshold_the_answer_is_unknown_with_the_candidates() -> None:
    sums = np.zeros(len(_TYPES))
    sums[_TYPES.index("glass")], sums[_TYPES.index("metal")] = 0.3, 0.2
    waste_type, confidence, candidates = decide(sums, 0.5)
    assert (waste_type, confidence) == ("unknown", 0.3)
    assert [candidate.waste_type for candidate in candidates] == ["glass", "metal"]


def test_probability_on_classes_that_are_no_waste_counts_for_nothing() -> None:
    logits = np.full(CLASSES, -9, np.float32)
    logits[281] = 9  # tabby cat
    assert by_type(logits).max() < 0.01


def test_the_crop_is_the_middle_of_the_picture() -> None:
    image = Image.new("RGB", (600, 300), "blue")
    image.paste("red", (150, 0, 450, 300))
    pixels = prepare(image, 224)
    assert pixels.shape == (224, 224, 3)
    assert (pixels[:, :, 0] > 250).all(), "the middle alone is red"


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


def test_a_missing_model_means_not_now_and_says_how_to_build_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Unavailable):
        EmbeddedPhotos(tmp_path).classify(jpeg(Image.new("RGB", (8, 8))))
    assert "functions.ai.model_build" in caplog.text


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
        f"Classifier(Path({str(model_dir / (MODEL + '.onnx'))!r})); print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


def test_a_crop_that_is_nearly_the_networks_side_is_cut_and_not_resized() -> None:
    image = Image.linear_gradient("L").resize((400, 300)).convert("RGB")
    assert (prepare(image, 260) == np.asarray(image.crop((70, 20, 330, 280)))).all()
    assert prepare(image.resize((320, 240)), 260).shape == prepare(image.resize((500, 380)), 260).shape == (260, 260, 3)
