"""What a center takes: the source's words, and the waste types that they mean."""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from msgspec import Struct

from functions.location.letters import one_apart
from shared.waste_types import WASTE_TYPES

# Words by the type they mean, the more telling first: the first one found in a piece of text decides. Latin ones must
# be alone (PE is not a part of PET). `pet` and 페트병 alone mean bottles of any colour; see `_types`.
_WORDS: tuple[tuple[str, str], ...] = tuple(
    (kind, word)
    for kind, words in (
        ("battery", "폐건전지 건전지 배터리 밧데리 수은전지 리튬전지 충전지"),
        ("lighting", "폐형광등 형광등 형광램프 전구 조명 램프 led"),
        ("electronics", "폐가전 소형가전 가전제품 가전 전자제품 휴대폰 핸드폰 스마트폰 노트북 컴퓨터"),
        ("paper_pack", "멸균팩 종이팩 우유팩 우유곽 살균팩 두유팩 주스팩 카톤팩"),
        ("styrofoam", "스티로폼 스티로폴 발포"),
        ("plastic", "유색페트 혼합페트 판페트 유색pet 유색혼합pet 판pet 잡페트 페트병뚜껑"),
        ("pet_clear", "투명페트 무색페트 투명pet 무색pet 투명유색페트 무라벨 생수병 음료페트 먹는샘물"),
        ("pet", "페트병 페트 pet"),
        ("vinyl", "비닐 필름 라면봉지 과자봉지 뽁뽁이 에어캡"),
        ("bulky", "대형폐기물 가구 매트리스 소파 침대 장롱 옷장 책상 책장"),
        ("clothing", "중고의류 의류 헌옷 옷 신발 가방 섬유 이불 커튼"),
        ("food", "음식물"),
        (
            "plastic",
            "플라스틱 햇반 즉석밥 블럭 블록 장난감 완구 빨대 뚜껑 세제용기 세제통 샴푸통 요구르트 야쿠르트 배달용기 막걸리병"
            " 컵라면용기 트레이 폴리프로필렌 폴리에틸렌 폴리스티렌",
        ),
        ("metal", "알루미늄 알미늄 고철 캔 깡통 철 금속 비철 부탄가스 스텐 양은 구리 전선 프라이팬 후라이팬 냄비 우산"),
        ("glass", "유리 소주병 맥주병 공병 빈병 음료수병 와인병 양주병 잡병 기타병"),
        ("paper", "종이컵 종이박스 종이상자 골판지 상자 박스 신문지 신문 서적 책 잡지 전단지 폐지 파지 종이백 종이"),
        ("plastic", "pe pp ps hdpe ldpe pvc other others"),
    )
    for word in words.split()
)
# Names of things that need no other word.
_WHOLE = re.compile(
    r"(?:(?:투명|무색|유색)?페트병|(?:알루미늄|철)?캔|종이팩|우유팩|비닐|플라스틱|유리병|종이|신문지|스티로폼|폐?건전지|폐?형광등|의류|헌옷|고철)류?"
)
# Long enough for one wrong jamo to be a slip and no other word.
_SPELLINGS = (
    *("페트병", "투명페트", "무색페트", "유색페트", "플라스틱", "알루미늄", "스티로폼", "종이팩", "우유팩", "멸균팩"),
    *("유리병", "신문지", "건전지", "배터리", "형광등", "즉석밥", "장난감", "비닐류", "중고의류", "고철류"),
)
# Two letters wrong at once, but common.
_SLIPS = {"팻트": "페트", "펫트": "페트", "패드병": "페트병", "페드병": "페트병", "펫병": "페트병", "팻병": "페트병"}
_BOTTLES = re.compile(r"(?:(?:투명|무색|유색|갈색|녹색|백색|청색|청녹색?|흰색)[\s,·/및]*)*(?:유리)?병류?")
# What says of a «PET» which of the two kinds it is.
_COLOURED = re.compile(r"유색|갈색|녹색|청색|혼합|맥주|막걸리|판")
_CLEAR = re.compile(r"투명|무색|생수|음료")
# A word of one syllable is part of others: 서류철, 옷걸이, 캔버스.
_SHORT = {"철": r"(?<![가-힣])철(?!사)", "옷": r"옷(?!걸이)", "캔": r"캔(?!버스)"}
_MARKS = "-•·ㆍ‧∙・*○●◦▪■□▶※ "
# «1. 투명페트병 2. 캔», «① 투명페트병 ② 캔»
_NUMBERING = re.compile(r"(?:^|(?<=\s))\d{1,2}[.)]\s+|[①-⑳]")
_AND = re.compile(r"\s+및\s+|(?<=[가-힣])[과와]\s+|\s+")
# «(플라스틱류)», «(캔류((음료))», «(폐건전지 교환) 폐건전지 20개»
_HEADING = re.compile(r"\((?P<all>(?:(?!\)\s*[^\s()]).)*)\)$|\((?P<first>[^()]*)\)")


class Items(Struct, frozen=True):
    """`types` in the order of the contract; `names` the source's words; misspelt words as (as it stood, as it reads)."""

    types: list[str]
    names: list[str]
    misspelt: tuple[tuple[str, str], ...] = ()
    # Words that no waste type covers.
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
        line = " ".join(_NUMBERING.sub(", ", line).split()).strip(_MARKS + ",")
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
        if char in ",，、;/|+·ㆍ‧∙・" and depth <= 0:
            parts.append(line[start:position])
            start = position + 1
    parts.append(line[start:])
    return [piece for part in parts for piece in _unjoined(part.strip(_MARKS)) if piece]


def _unjoined(part: str) -> list[str]:
    """«투명페트병 캔», «페트병 및 캔» are two things; «알루미늄 캔», «플라스틱 병» and «비닐 PE» are one."""
    words = [_spell(word)[0] for word in _AND.split(part)]
    whole = all(_WHOLE.fullmatch(word) for word in words)
    kinds = {frozenset(_types(word)) for word in words}
    return _AND.split(part) if len(words) > 1 and whole and len(kinds) == len(words) else [part]


def _types(text: str) -> set[str]:
    plain = re.sub(r"[\s·]", "", text.lower())
    if _BOTTLES.fullmatch(text):
        return {"glass"}
    for kind, word in _WORDS:
        if word in _SHORT:
            hit = re.search(_SHORT[word], plain) is not None
        elif word.isascii() and kind not in ("pet", "pet_clear"):
            hit = re.search(rf"(?<![a-z]){word}(?![a-z])", plain) is not None
        else:
            hit = word in plain
        if hit and kind == "pet":
            return {"plastic"} if _COLOURED.search(plain) else {"pet_clear"} if _CLEAR.search(plain) else {"pet"}
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
        for start in range(len(text)):
            for length in (len(word), len(word) + 1):
                part = text[start : start + length]
                # 종이백 is one letter from 종이팩, and another thing.
                if re.fullmatch(r"[가-힣]+", part) and part not in known and one_apart(part, word):
                    return text[:start] + word + text[start + length :], True
    return text, False
