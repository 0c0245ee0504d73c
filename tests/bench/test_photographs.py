"""The benchmarks' photographs."""

from collections import Counter
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from tests.bench.photographs import mixed, pictures
from tests.eval import training

SIZE = (160, 120)


@pytest.mark.parametrize("where", ["real", "drawn"])
def test_no_two_photographs_are_the_same_and_the_next_ones_are_others(where: str, tmp_path: Path) -> None:
    folder = training.SHARED if where == "real" else tmp_path / "nowhere"
    some, more = pictures(6, SIZE, folder=folder), pictures(3, SIZE, first=6, folder=folder)
    assert len({*some, *more}) == 9
    assert pictures(6, SIZE, folder=folder) == some
    for content in some:
        with Image.open(BytesIO(content)) as image:
            assert (image.format, image.width) == ("JPEG", 160)
            assert 110 < image.height <= 120


def test_every_type_has_as_many_until_one_has_no_more() -> None:
    if not training.SHARED.is_dir():
        pytest.skip(f"the photographs are not part of the project, and {training.SHARED} is not there")
    of = {photo.file: photo.waste_type for photo in training.manifest()}
    files = mixed(training.SHARED)
    assert sorted(files) == sorted(of)
    kinds = len({*of.values()})
    assert {*Counter(of[file] for file in files[: kinds * 10]).values()} == {10}
