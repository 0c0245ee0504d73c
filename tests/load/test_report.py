"""What `make load` says of a run: shares, rates, what failed, and a picture that is SVG."""

import io
from xml.etree import ElementTree

from PIL import Image

from tests.load.report import picture, row, table
from tests.load.users import Photos, Try
from tests.support import photo


def tries(good: int, bad: int) -> list[Try]:
    done = [Try(float(number), 2.0, "success", refused=number % 2) for number in range(good)]
    return done + [Try(0.0, 1.0, "store: ReadTimeout") for _ in range(bad)]


def test_a_row_counts_what_succeeded_what_was_waited_out_and_what_failed() -> None:
    found = row(10, tries(9, 1), {"health": [0.001] * 99 + [0.5], "gateway": []}, {"s3": 0.9}, 1.5)
    assert (found.tries, found.success, found.refused, found.failures) == (10, 0.9, 4, {"store: ReadTimeout": 1})
    # Nine photos, the last of which was done after ten seconds.
    assert found.a_minute == 54.0
    assert (found.p50, found.p95) == (2.0, 2.0)
    assert found.processor == {"s3": 100.0}
    assert found.probes == {"health": 1.0}
    assert sum(found.done) == 9


def test_a_run_without_a_single_photo_is_a_row_too() -> None:
    found = row(10, tries(0, 3), {}, {}, 0.0)
    assert (found.success, found.a_minute) == (0.0, 0.0)
    assert "3 × store: ReadTimeout" in table([found])


def test_the_table_compares_each_with_the_peak_and_the_picture_has_a_line_for_each() -> None:
    rows = [row(10, tries(20, 0), {}, {}, 0.0), row(100, tries(10, 1), {}, {}, 0.0)]
    assert "1.00" in table(rows).splitlines()[1]
    drawn = ElementTree.fromstring(picture(rows))
    assert len(drawn.findall("{http://www.w3.org/2000/svg}polyline")) == 2


def test_no_two_photos_are_the_same_and_each_is_a_photo() -> None:
    for pictures in ([], [photo(80, 60), photo(60, 80)]):
        photos = Photos(seed=1, pictures=pictures)
        made = [Image.open(io.BytesIO(photos.another())) for _ in range(20)]
        assert len({one.tobytes() for one in made}) == 20
        assert [one.size for one in made[:2]] == [one.size for one in made[2:4]], "in turn"
