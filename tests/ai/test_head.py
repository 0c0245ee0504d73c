"""The head that ships with the code: whole, and what its command makes of its photographs."""

import os

import msgspec
import numpy as np
import pytest
from PIL import Image

from functions.ai import judging
from functions.ai.labels import TYPES
from functions.ai.variants import FEATURES, SIDE, VARIANTS
from tests.eval import augmenting, head, training
from tests.storage import photos as made

# More than there are photographs, as in the real thing, and a tenth of its 1,280.
SOME = 200


def test_the_head_is_whole_and_says_what_made_it() -> None:
    found = judging.read_judge().head
    assert tuple(found.classes) == head.CLASSES
    assert found.networks == [variant.name for variant in VARIANTS]
    assert np.shape(found.weights) == (len(VARIANTS), len(found.classes), FEATURES)
    assert np.shape(found.bias) == (len(VARIANTS), len(found.classes))
    assert found.command == "python -m tests.eval.head"
    assert len(found.data_sha256) == 64
    assert set(found.classes) - {judging.OTHER, "cardboard"} < set(TYPES)


def test_training_finds_what_tells_classes_apart() -> None:
    chance = np.random.default_rng(3)
    classes = np.repeat(np.arange(len(head.CLASSES)), 20)
    centres = chance.normal(3, 1, (len(head.CLASSES), SOME))
    weights, bias = head.train(centres[classes] + chance.normal(0, 2, (len(classes), SOME)), classes)
    new = centres[classes] + chance.normal(0, 2, (len(classes), SOME))
    assert ((new @ weights + bias).argmax(axis=1) == classes).mean() > 0.95


def test_a_class_without_photographs_is_never_the_answer() -> None:
    chance = np.random.default_rng(3)
    features, classes = chance.normal(0, 1, (60, SOME)), np.repeat([1, 2], 30)
    weights, bias = head.train(features, classes)
    scores = features @ weights + bias
    assert set(scores.argmax(axis=1)) == {1, 2}
    others = [n for n in range(len(head.CLASSES)) if n not in (1, 2)]
    assert scores[:, others].max() < scores[:, [1, 2]].min() - 100, "nor of a thing that is like neither"


def test_a_thing_on_a_board_gets_another_ground_and_stays_itself() -> None:
    board = np.full((300, 400, 3), 210, np.uint8)
    board[100:200, 150:250] = (20, 60, 160)
    picture = Image.fromarray(board)
    changed = np.asarray(augmenting.on_another_ground(picture, np.random.default_rng(1))).astype(int)
    assert np.abs(changed[120:180, 170:230] - board[120:180, 170:230]).max() < 8
    assert np.abs(changed[:60] - board[:60]).mean() > 8


def test_the_same_seed_makes_the_same_picture() -> None:
    picture = made.picture(320, 240)
    one, same, other = (
        augmenting.augmented(picture, SIDE, np.random.default_rng(seed), ground=True) for seed in (1, 1, 2)
    )
    assert one.shape == (SIDE, SIDE, 3)
    assert (one == same).all()
    assert (one != other).any()


def test_photographs_are_seen_as_when_the_head_was_made() -> None:
    """Thumbnail, views, grounds and network of every 160th photograph: with these, and all of them, the head comes out again."""
    if not training.SHARED.is_dir():
        pytest.skip(f"the photographs are not part of the project, and {training.SHARED} is not there")
    kept = msgspec.json.decode(training.SAMPLE.read_bytes(), type=dict[str, list[list[list[int]]]])
    seen = training.sample()
    assert list(seen) == list(kept)
    for file, views in seen.items():
        # Another kind of processor may round the last bit of a pixel of an augmented picture otherwise.
        off = np.abs(np.subtract(views, kept[file]))
        assert off[:, :3].max() <= 1, file
        assert np.median(off) <= 1, file


def test_the_head_is_what_its_command_makes() -> None:
    if not training.SHARED.is_dir():
        pytest.skip(f"the photographs are not part of the project, and {training.SHARED} is not there")
    if not (training.is_kept() or os.environ.get("ECO2_HEAD")):
        pytest.skip(
            "seeing all photographs takes a quarter of an hour: make head, which keeps what it saw, or ECO2_HEAD=1"
        )
    assert head.differs(head.head(), judging.read_judge().head) == ""
