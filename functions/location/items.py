"""What a center takes: the source's words, and the waste types that they mean."""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from msgspec import Struct

from shared.waste_types import WASTE_TYPES

# Words by the type they mean, the more telling first: the first one found in a piece of text decides. Latin ones must
# stand alone (PE is no part of PET). `pet` and 페트병 alone stand for bottles of any colour; see `_types`.
_WORDS: tuple[tuple[str, str], ...] = tuple(
    (kind, word)
    for kind, words in (
        ("battery", "폐건전지 건전지 배터리 전지"),
        ("lighting", "폐형광등 형광등 형광램프 전구 조명 램프 led"),
        ("electronics", "폐가전 소형가전 가전제품 가전 전자제품 휴대폰 핸드폰 스마트폰 노트북 컴퓨터"),
        ("paper_pack", "멸균팩 종이팩 우유팩 우유곽 살균팩 두유팩 주스팩 카톤팩"),
        ("styrofoam", "스티로폼 스티로폴 발포"),
        ("plastic", "유색페트 혼합페트 판페트 유색pet 유색혼합pet 판pet 잡페트"),
        ("pet_clear", "투명페트 무색페트 투명pet 무색pet 투명유색페트 생수병 음료페트 먹는샘물"),
        ("pet", "페트병 페트 pet"),
        ("vinyl", "비닐 필름 라면봉지 과자봉지 뽁뽁이 에어캡"),
        ("clothing", "중고의류 의류 헌옷 옷 신발 가방 섬유 이불 커튼"),
        ("food", "음식물"),
        (
            "plastic",
            "플라스틱 햇반용기 즉석밥용기 즉석밥 블럭 블록 장난감 완구 빨대 병뚜껑 뚜껑 세제용기 요구르트병 요구르트",
        ),
        ("metal", "알루미늄캔 알루미늄 철캔 고철 캔 철 금속 부탄가스 스텐 스테인리스 양은 구리 전선"),
        ("glass", "유리병 유리 소주병 맥주병 공병 빈병 음료수병 병"),
        ("paper", "종이컵 종이박스 종이상자 골판지 상자 박스 신문지 신문 서적 책 잡지 전단지 폐지 파지 종이백 종이"),
        ("bulky", "대형폐기물 가구 매트리스 소파 침대 장롱"),
        ("plastic", "pe pp ps hdpe ldpe pvc other others"),
    )
    for word in words.split()
)
# Long enough for one wrong jamo to be a slip and no other word.
_SPELLINGS = (
    *("페트병", "투명페트", "무색페트", "유색페트", "플라스틱", "알루미늄", "스티로폼", "종이팩", "우유팩", "멸균팩"),
    *("유리병", "신문지", "건전지", "배터리", "형광등", "즉석밥", "장난감", "비닐류", "중고의류", "고철류"),
)
# Two letters wrong at once, but common.
_SLIPS = {"팻트": "페트", "펫트": "페트", "패드병": "페트병", "페드병": "페트병"}
_BOTTLES = re.compile(r"(?:(?:투명|무색|갈색|녹색|백색|청색|흰색)[\s,·/및]*)+(?:유리)?병류?")
# «(플라스틱류)», «(캔류((음료))», «(폐건전지 교환) 폐건전지 20개»
_HEADING = re.compile(r"\((?P<all>(?:(?!\)\s*[^\s()]).)*)\)$|\((?P<first>[^()]*)\)")


class Items(Struct, frozen=True):
    """`types` in the order of the contract; `names` the source's words; misspelt words as (as it stood, as it reads)."""

    types: list[str]
    names: list[str]
    misspelt: tuple[tuple[str, str], ...] = ()
    # Words that no waste type stands for.
    unmapped: tuple[str, ...] = ()


@lru_cache(maxsize=1024)  # most centers of a town take the same
def read(text: str) -> Items:
    """The items in a cell: one a line or between commas, a line in brackets being the heading of those below it."""
    heading = ""
    names: list[str] = []
    misspelt: dict[str, str] = {}
    unmapped: list[str] = []
    found: set[str] = set()
    for line in unicodedata.normalize("NFC", text).splitlines():
        line = " ".join(line.split()).strip("-•·*○●※ ")
        if match := _HEADING.match(line):
            source = match["all"] or match["first"] or ""
            heading, wrong = _spell(source)
            line = line[match.end() :].strip()
            if wrong:
                misspelt[source] = heading
        if not line:
            continue
        for piece in _pieces(line):
            name, wrong = _spell(piece)
            if wrong:
                misspelt[piece] = name
            names.append(name)
            types = _types(name) or _types(heading)
            found |= types
            if not types:
                unmapped.append(name)
    if "pet" in found:
        # «페트병» beside «무색페트병» are the coloured ones; alone they are all.
        found |= {"plastic"} if "pet_clear" in found else {"plastic", "pet_clear"}
    types_in_order = [kind for kind in WASTE_TYPES if kind in found]
    return Items(types_in_order, list(dict.fromkeys(names)), tuple(misspelt.items()), tuple(unmapped))


def wanted(word: str) -> list[str]:
    """The waste types that a filter's word means: itself where it is one, else those of the word as an item."""
    plain = word.strip().lower()
    return [plain] if plain in WASTE_TYPES else read(word).types


def _pieces(line: str) -> Iterable[str]:
    """Split at commas outside of brackets; «투명, 갈색, 녹색병» is one thing."""
    if _BOTTLES.fullmatch(line):
        return [line]
    parts, depth, start = [], 0, 0
    for position, char in enumerate(line):
        depth += {"(": 1, ")": -1}.get(char, 0)
        if char in ",;/·" and depth <= 0:
            parts.append(line[start:position])
            start = position + 1
    parts.append(line[start:])
    return [part.strip() for part in parts if part.strip()]


def _types(text: str) -> set[str]:
    plain = re.sub(r"[\s·]", "", text.lower())
    if _BOTTLES.fullmatch(text):
        return {"glass"}
    for kind, word in _WORDS:
        if word.isascii() and kind not in ("pet", "pet_clear"):
            hit = re.search(rf"(?<![a-z]){word}(?![a-z])", plain) is not None
        else:
            hit = word in plain
        if hit:
            return {kind}
    return set()


@lru_cache(maxsize=1024)
def _spell(text: str) -> tuple[str, bool]:
    """The text with one misspelt word put right (투명패트병 → 투명페트병), and whether it was."""
    for slip, word in _SLIPS.items():
        if slip in text:
            return text.replace(slip, word), True
    known = {word for _, word in _WORDS}.union(_SPELLINGS)
    for word in _SPELLINGS:
        if word in text:
            continue
        letters = _jamo(word)
        for start in range(len(text)):
            for length in (len(word), len(word) + 1):
                part = text[start : start + length]
                # 종이백 is one letter from 종이팩, and another thing.
                if re.fullmatch(r"[가-힣]+", part) and part not in known and _one_apart(_jamo(part), letters):
                    return text[:start] + word + text[start + length :], True
    return text, False


def _jamo(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def _one_apart(a: str, b: str) -> bool:
    """Whether one letter more, less or other makes `b` of `a`."""
    if abs(len(a) - len(b)) > 1 or a == b:
        return False
    shorter, longer = sorted((a, b), key=len)
    first = next((i for i, char in enumerate(shorter) if char != longer[i]), len(shorter))
    rest = shorter[first + 1 :] if len(a) == len(b) else shorter[first:]
    return rest == longer[first + 1 :]
