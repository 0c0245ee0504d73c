"""Coordinates: what is repaired, what is left out, and that nothing is guessed."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.location import regions
from functions.location.coordinates import repair
from tests.support import table

SEOUL = regions.named("서울")
GWANGJU = regions.named("광주광역시")
CHUNGBUK = regions.named("충북")


def test_a_clear_point_is_taken_as_it_is() -> None:
    point = repair("37.5663", "126.9779", SEOUL)
    assert (point.latitude, point.longitude, point.repairs) == (Decimal("37.5663"), Decimal("126.9779"), ())


@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [
        ("37.45255496043788?", "126.6402626"),
        ("?37.4525549", "126.6402626"),
        ('"37.4525549"', "126.6402626"),
        ("37.4525549", "126.6402626E"),
        ("37,4525549", "126,6402626"),
        ("37°27'09.2\"N", "126°38'24.9\"E"),
    ],
)
def test_stray_characters_and_other_spellings_are_repaired_by_name(latitude: str, longitude: str) -> None:
    point = repair(latitude, longitude)
    assert float(point.latitude or 0) == pytest.approx(37.4525549, abs=1e-4)
    assert float(point.longitude or 0) == pytest.approx(126.6402626, abs=1e-4)
    assert point.repairs


def test_swapped_coordinates_change_places() -> None:
    point = repair("126.9779", "37.5663")
    assert (point.latitude, point.longitude) == (Decimal("37.5663"), Decimal("126.9779"))
    assert "swapped" in point.repairs[0].reason


@pytest.mark.parametrize(
    ("latitude", "longitude", "field"),
    [
        ("", "", "latitude"),
        ("37.5663", "", "longitude"),
        ("", "126.9779", "latitude"),
        ("37.56.63", "126.9779", "latitude"),
        ("37.45?25", "126.9779", "latitude"),
        ("-37.5663", "126.9779", "latitude"),
        ("3.75E+01", "1.27E+02", "latitude"),
        ("nan", "inf", "latitude"),
        ("0", "0", "latitude"),
        ("48.8566", "2.3522", "latitude"),
        ("33.59", "130.40", "latitude"),
        ("198242.12", "451234.2", "latitude"),
        ("미정", "미정", "latitude"),
    ],
)
def test_a_point_that_is_none_or_far_away_is_left_out_with_the_reason(
    latitude: str, longitude: str, field: str
) -> None:
    point = repair(latitude, longitude)
    assert (point.latitude, point.longitude) == (None, None)
    assert [found.field for found in point.repairs] == [field]


def test_a_point_in_another_province_than_the_address_is_left_out() -> None:
    point = repair("36.1908047", "127.1908047", CHUNGBUK)
    assert point.latitude is None
    assert "충청북도" in point.repairs[0].reason


def test_a_lost_digit_comes_back_only_where_the_address_confirms_it() -> None:
    assert repair("5.1571039", "126.9340352", GWANGJU).latitude == Decimal("35.1571039")
    assert repair("27.1273734", "128.2150058", CHUNGBUK).latitude == Decimal("37.1273734")
    assert repair("37.5663", "26.9779", SEOUL).longitude == Decimal("126.9779")
    assert repair("5.1571039", "126.9340352", SEOUL).latitude is None
    assert repair("5.1571039", "126.9340352").latitude is None


@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [
        ("37.2424", "131.8666"),  # Dokdo
        ("37.4845", "130.9057"),  # Ulleungdo
        ("33.1176", "126.2686"),  # Marado
        ("37.9671", "124.7237"),  # Baengnyeongdo
        ("34.0727", "125.1219"),  # Gageodo
        ("33.9470", "126.3220"),  # Chujado
        ("38.5853", "128.3748"),  # Goseong, the northern end
    ],
)
def test_the_outer_islands_and_ends_of_the_country_are_in_it(latitude: str, longitude: str) -> None:
    assert repair(latitude, longitude).repairs == ()


def test_each_pair_of_the_table_is_the_point_that_stands_beside_it() -> None:
    """Where a digit or a mark more makes it another point, or none."""
    for latitude, longitude, province, wanted, fields in table(__file__, "points.tsv"):
        point = repair(latitude, longitude, regions.named(province))
        found = "-" if point.latitude is None else f"{point.latitude} {point.longitude}"
        assert found == wanted, (latitude, longitude)
        assert (" ".join(one.field for one in point.repairs) or "-") == fields, (latitude, longitude)


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_text_makes_it_fail_or_puts_a_center_outside_korea(latitude: str, longitude: str) -> None:
    point = repair(latitude, longitude)
    assert (point.latitude is None) == (point.longitude is None)
    if point.latitude is not None and point.longitude is not None:
        assert regions.in_korea(float(point.latitude), float(point.longitude))


def test_a_province_is_known_by_its_names_and_its_towns() -> None:
    for address in ("충북 괴산군 청천면 괴산로 1342", "충청북도 괴산군 청천면", "괴산군 청천면 괴산로 1342"):
        assert regions.of_address(address) is CHUNGBUK
    assert regions.of_address("경양로235번길 14-14") is None
    # Two provinces have a 고성군, and 광주시 is none of the metropolitan city's.
    assert regions.of_address("고성군 거진읍") is None
    assert regions.of_address("광주시 경안로 1") is None
