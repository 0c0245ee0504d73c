"""Where a province ends, and by which words it is meant"""

import pytest

from functions.location import regions
from functions.location.regions import PROVINCES, Province, in_korea, named, of_address, of_town

# Their outlines' southern, northern, western and eastern ends, to which a twentieth of a degree is added.
ENDS = {
    "서울": (37.413, 37.715, 126.734, 127.269),
    "제주": (33.1, 34.02, 126.08, 126.99),
    "경북": (35.566, 37.556, 127.797, 131.88),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_province_ends_a_twentieth_of_a_degree_outside_of_its_outline(name: str) -> None:
    south, north, west, east = ENDS[name]
    province = named(name)
    assert province is not None
    middle = ((south + north) / 2, (west + east) / 2)
    sides = {(south - 0.05, middle[1]): (-1, 0), (north + 0.05, middle[1]): (1, 0)}
    sides |= {(middle[0], west - 0.05): (0, -1), (middle[0], east + 0.05): (0, 1)}
    for (latitude, longitude), (up, right) in sides.items():
        latitude, longitude = round(latitude, 3), round(longitude, 3)
        assert province.holds(latitude, longitude)
        assert not province.holds(round(latitude + up * 0.001, 3), round(longitude + right * 0.001, 3))
        assert in_korea(latitude, longitude)


def test_each_outline_is_one_and_each_word_means_one_province() -> None:
    assert len(PROVINCES) == 17
    words: dict[str, Province] = {}
    for province in PROVINCES:
        assert 33 < province.south < province.north < 39
        assert 124 < province.west < province.east < 132
        assert province.aliases[0] == province.name
        for word in (*province.aliases, *province.towns):
            assert words.setdefault(word, province) is province, word
        for alias in province.aliases:
            assert named(alias) is province
        for town in province.towns:
            assert of_town(town) is of_address(f"{town} 1") is province
    assert len({province.area_code for province in PROVINCES}) == 17


@pytest.mark.parametrize(
    ("address", "name"),
    [
        *(
            ("서울 중구", "서울특별시"),
            ("서울,중구", "서울특별시"),
            ("고양시 서울", "경기도"),
            ("(10) 새 서울", "서울특별시"),
        ),
        *(("가 나 다 서울", None), ("", None), ("서울역", None), ("고양", None)),
    ],
)
def test_an_address_is_of_the_first_province_or_town_among_its_first_three_words(
    address: str, name: str | None
) -> None:
    found = of_address(address)
    assert (found.name if found else None) == name


def test_the_sea_and_other_countries_are_outside() -> None:
    for point in ((39.03, 125.75), (33.59, 130.40), (35.68, 139.69), (0.0, 0.0), (36.0, 124.0)):
        assert not regions.in_korea(*point)
