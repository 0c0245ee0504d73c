"""The seventeen provinces and metropolitan cities of South Korea: their names, outlines and telephone area codes.

An address names one; a point that lies outside of the outline of the one its address names is a mistake in the source.
Outlines are the extremes of each province with its islands, widened by five kilometres: a check for typing errors, no
survey.
"""

from msgspec import Struct

_MARGIN = 0.05  # degrees


class Province(Struct, frozen=True):
    """A first-level division. `south`, `north`, `west` and `east` in degrees, margin included."""

    name: str
    aliases: tuple[str, ...]
    south: float
    north: float
    west: float
    east: float
    area_code: str
    # Cities and counties whose name no other province has.
    towns: frozenset[str]

    def holds(self, latitude: float, longitude: float) -> bool:
        """Whether a point lies in its outline."""
        return self.south <= latitude <= self.north and self.west <= longitude <= self.east


def _province(names: str, box: tuple[float, float, float, float], area_code: str, towns: str = "") -> Province:
    name, *aliases = names.split()
    south, north, west, east = box
    return Province(
        name,
        (name, *aliases),
        round(south - _MARGIN, 3),
        round(north + _MARGIN, 3),
        round(west - _MARGIN, 3),
        round(east + _MARGIN, 3),
        area_code,
        frozenset(towns.split()),
    )


PROVINCES = (
    _province("서울특별시 서울시 서울", (37.413, 37.715, 126.734, 127.269), "02"),
    _province("부산광역시 부산시 부산", (34.879, 35.396, 128.739, 129.372), "051", "기장군"),
    _province("대구광역시 대구시 대구", (35.607, 36.327, 128.35, 128.9), "053", "달성군 군위군"),
    _province("인천광역시 인천시 인천", (36.916, 37.983, 124.6, 126.8), "032", "강화군 옹진군"),
    _province("광주광역시 광주", (35.05, 35.26, 126.64, 127.023), "062"),
    _province("대전광역시 대전시 대전", (36.183, 36.501, 127.246, 127.56), "042"),
    _province("울산광역시 울산시 울산", (35.322, 35.726, 128.968, 129.463), "052", "울주군"),
    _province("세종특별자치시 세종시 세종", (36.405, 36.734, 127.126, 127.411), "044"),
    _province(
        "경기도 경기",
        (36.893, 38.285, 126.37, 127.861),
        "031",
        "수원시 성남시 의정부시 안양시 부천시 광명시 평택시 동두천시 안산시 고양시 과천시 구리시 남양주시 오산시 시흥시 군포시"
        " 의왕시 하남시 용인시 파주시 이천시 안성시 김포시 화성시 양주시 포천시 여주시 연천군 가평군 양평군",
    ),
    _province(
        "강원특별자치도 강원도 강원",
        (37.02, 38.62, 127.08, 129.37),
        "033",
        "춘천시 원주시 강릉시 동해시 태백시 속초시 삼척시 홍천군 횡성군 영월군 평창군 정선군 철원군 화천군 양구군 인제군 양양군",
    ),
    _province(
        "충청북도 충북",
        (36.005, 37.258, 127.266, 128.646),
        "043",
        "청주시 충주시 제천시 보은군 옥천군 영동군 증평군 진천군 괴산군 음성군 단양군",
    ),
    _province(
        "충청남도 충남",
        (35.978, 37.065, 125.53, 127.637),
        "041",
        "천안시 공주시 보령시 아산시 서산시 논산시 계룡시 당진시 금산군 부여군 서천군 청양군 홍성군 예산군 태안군",
    ),
    _province(
        "전북특별자치도 전라북도 전북",
        (35.297, 36.152, 125.97, 127.91),
        "063",
        "전주시 군산시 익산시 정읍시 남원시 김제시 완주군 진안군 무주군 장수군 임실군 순창군 고창군 부안군",
    ),
    _province(
        "전라남도 전남",
        (33.9, 35.51, 125.06, 127.91),
        "061",
        "목포시 여수시 순천시 나주시 광양시 담양군 곡성군 구례군 고흥군 보성군 화순군 장흥군 강진군 해남군 영암군 무안군 함평군"
        " 영광군 장성군 완도군 진도군 신안군",
    ),
    _province(
        "경상북도 경북",
        (35.566, 37.556, 127.797, 131.88),
        "054",
        "포항시 경주시 김천시 안동시 구미시 영주시 영천시 상주시 문경시 경산시 의성군 청송군 영양군 영덕군 청도군 고령군 성주군"
        " 칠곡군 예천군 봉화군 울진군 울릉군",
    ),
    _province(
        "경상남도 경남",
        (34.49, 35.915, 127.568, 129.23),
        "055",
        "창원시 진주시 통영시 사천시 김해시 밀양시 거제시 양산시 의령군 함안군 창녕군 남해군 하동군 산청군 함양군 거창군 합천군",
    ),
    _province("제주특별자치도 제주도 제주", (33.1, 34.02, 126.08, 126.99), "064", "제주시 서귀포시"),
)

_BY_ALIAS = {alias: province for province in PROVINCES for alias in province.aliases}
_BY_TOWN = {town: province for province in PROVINCES for town in province.towns}


def named(word: str) -> Province | None:
    """The province of this name or short name, such as 충청북도, 충북."""
    return _BY_ALIAS.get(word)


def of_town(word: str) -> Province | None:
    """The province of a city or county by its full name, such as 고양시, where only one province has that name."""
    return _BY_TOWN.get(word)


def of_address(address: str) -> Province | None:
    """The province that an address names, or that its first city or county lies in."""
    words = address.replace(",", " ").split()
    for word in words[:3]:
        if found := named(word) or of_town(word):
            return found
    return None


def in_korea(latitude: float, longitude: float) -> bool:
    """Whether a point lies in the outline of any province, islands from Baengnyeong to Dokdo and Marado included."""
    return any(province.holds(latitude, longitude) for province in PROVINCES)
