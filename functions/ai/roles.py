"""What each thing named is to the question: what is to be thrown away, or what that is with, in, of or dirty of."""

import re
from collections.abc import Sequence

from functions.ai import bins, lists, parts, wrapped
from functions.ai import facts as reading
from functions.ai.mentions import HELD, MEASURED, SOUNDED, Mention
from functions.ai.vocabulary import CASES, GRAMMAR, ROLES, WORD_ENDS

_ORIGIN = re.compile(rf"\s*{ROLES.origin.source}")
_OWNED = re.compile(rf"(?:의\s|\s|'s\s)(?:{GRAMMAR.states.source}\s)?")
# "피자 시키면 오는 (갈릭소스 통)": a clause about the thing that follows.
_VERBAL = rf"(?!{ROLES.holders.source}[은는]\s)[가-힣]*(?!면){reading.ending_in(4)}\s"
_CLAUSE = re.compile(
    rf"(?:(?!이?랑|하고|[과와도은는])[가-힣]*\s(?:[가-힣]+(?<!요)\s){{0,3}}{_VERBAL}(?:(?![거것건걸]\s)[가-힣]+\s)?[가-힣]*|[가-힣\s]*[가-힣](?:았|었|했|렸|켰|겼)?더니\s)"
)
# "냉장고에", "서랍 안에서": where a thing is, and not what is on it ("매트리스에 붙은").
_PLACE = re.compile(
    r"(?:에|에서|\s?(?:안|속|위|밑|아래|옆|앞|뒤|구석)에서?)\s(?!붙|달|달린|박|끼|꽂|깔|들어\s?있|들었|든\s|있는\s)"
)
# "패딩 주머니에서 핫팩 나왔어"
_POCKET = re.compile(r"\s?(?:안|겉|속|뒷|앞)?주머니(?:에서?|\s?[안속]에서?)\s")
# Categories of what has parts and places of its own: appliances and furniture.
KEEPS = frozenset({"bulky", "electronics"})
# "생리컵은 실리콘이니까": what a thing is said to be, or to be like.
_SAYS_OF = re.compile(r"[은는도이가만]\s")
# "분유통 안에 숟가락은 어디에"
_INSIDE = re.compile(r"\s?[안속][에의]?\s(?:있는 |있던 |든 |들어 ?있는 |들어 ?있던 )?")
_HOLDER = re.compile(
    rf"[이가을를도]?\s(?:[가-힣]+\s){{0,3}}?{_VERBAL}(?:[가-힣]+{reading.ending_in(4)}\s)?"
    rf"(?:{ROLES.stuff.source}\s?)?(?P<holder>{ROLES.holders.source}){WORD_ENDS}"
)
# "아이스크림 종이통", and neither "막걸리 유리병" nor "주스 종이팩", which are kinds of their own.
_HOLDER_NEXT = re.compile(
    rf"\s?(?:(?:큰|작은|빈|커다란) )?(?:(?:플라스틱|종이)\s?(?!팩))?"
    rf"(?P<holder>{ROLES.holders.source}){WORD_ENDS}"
)


def things(named: Sequence[Mention], text: str, *, follows: bool = False) -> list[Mention]:
    """The mentions that are to be thrown away: "빨대는 플라스틱인가요?" is about the straw, "피자박스 기름 묻었으면" the box.

    The others stay when nothing else is named, or when a list names them ("페트병, 캔, 종이컵"). With `follows`, something
    was said before that the text may be about: then dirt and wrappings are not what it is about, even alone.
    """
    if follows and says_which(text):
        return []
    named = wrapped.without_beside(named, text, follows=follows)
    if len(named) > 1 and CASES["mixed"].within(text[named[-1].end :]):
        # "옷걸이 철사랑 플라스틱 섞인 거": what the first is made of.
        named = named[:1]
    aside = [
        *_contents(named, text),
        *_of_contents(named, text),
        *_owners(named, text),
        *_clauses(named, text),
        *_taken_out(named, text),
        *_said_of(named, text),
        *_places(named, text),
        *_afterwards(named, text),
    ]
    kept = [
        one
        for one in named
        if one not in aside
        and not bins.is_where(one, text)
        and not bins.as_bin(one, named, text)
        and not ROLES.not_that.at(text, one.end)
        and not (_ORIGIN.match(text, one.end) and one is not named[-1])
    ]
    if not kept and follows and all(ROLES.not_that.at(text, one.end) for one in named):
        # "은박 돗자리 같은 보냉지가 붙었어" after a box
        return []
    if not kept:
        # "캔을 쓰레기통에": of materials and bins alone, the bin is not the thing.
        return [one for one in named if not bins.is_into(one, text)] or list(named)
    listed = [run for run in lists.runs(named, text) if len(run) > 1]
    more = {one.start for run in listed for one in run if not bins.is_into(one, text)}
    return [mention for mention in named if mention in kept or mention.start in more]


def _contents(named: Sequence[Mention], text: str) -> list[Mention]:
    """What only says which thing is meant: "콜라 페트병"."""
    touching = [(one, other) for one, other in lists.pairs(named) if text[one.end : other.start] == " "]
    said = [one for one, other in touching if _says_which(one, other, text)]
    # "선크림 튜브" is no 튜브 to swim with, "크록스 신발" no second thing.
    return said + [
        other
        for one, other in touching
        if one not in said
        and (
            ROLES.genus.is_all(other.words(text))
            or (
                ROLES.holders.is_all(other.words(text))
                and any(ROLES.holders.within(name[-2:]) for name in one.item.names())
            )
        )
    ]


def _of_contents(named: Sequence[Mention], text: str) -> list[Mention]:
    """Of "a can of spray paint" what only measures it, of "a carton of soy milk" what was in it."""
    held = [(one, other) for one, other in lists.pairs(named) if text[one.end : other.start] == " of "]
    return [one if GRAMMAR.measures.is_all(one.words(text)) else other for one, other in held if is_thing(other, text)]


def _owners(named: Sequence[Mention], text: str) -> list[Mention]:
    """What the next thing belongs to, or what it came in: "자동차 헌 타이어", "치킨박스 기름종이"."""
    return [
        one
        for one, other in lists.pairs(named)
        if (
            # "도어락 건전지"; "세탁기 냉장고" are two.
            (
                one.item.category in KEEPS
                and (other.item.category not in KEEPS or ROLES.accessory.is_all(other.words(text)))
            )
            or ROLES.packings.within(one.words(text)[-2:])
        )
        and _OWNED.fullmatch(text[one.end : other.start])
        and is_thing(other, text)
        and not ROLES.borne.at(text, other.end)
    ]


def _clauses(named: Sequence[Mention], text: str) -> list[Mention]:
    """What a clause about the next thing names: "피자 시키면 오는 갈릭소스 통"."""
    return [
        one
        for one, other in lists.pairs(named)
        if is_thing(other, text)
        and (
            (ROLES.left_in.at(text, one.end) and other.start == one.end + 2)
            or (_CLAUSE.fullmatch(between := text[one.end : other.start]) and not lists.BOTH_GO.search(between))
            or (
                _INSIDE.fullmatch(between)
                and text.startswith(("은", "는"), other.end)
                and not wrapped.left_in(other, text)
            )
        )
    ]


def _taken_out(named: Sequence[Mention], text: str) -> list[Mention]:
    """What is to come out of the thing before it: "손목시계 건전지 빼야 돼?"."""
    return [
        other
        for one, other in lists.pairs(named)
        if text[one.end : other.start].lstrip(",") in (" ", " 안에 ", "에 ") and ROLES.taken_out.at(text, other.end)
        if "separate" in one.item.answers and is_thing(other, text)
    ]


def _said_of(named: Sequence[Mention], text: str) -> list[Mention]:
    """What a thing is said to be: "생리컵은 실리콘이니까"."""
    return [
        other
        for one, other in lists.pairs(named)
        if (_SAYS_OF.fullmatch(text[one.end : other.start]) and ROLES.said_to_be.at(text, other.end))
        or (ROLES.borne.at(text, other.end) and not lists.AND.fullmatch(text[one.end : other.start]))
    ]


def _places(named: Sequence[Mention], text: str) -> list[Mention]:
    """Furniture, appliances and pockets that other things only are in or on: "건전지 서랍에 한가득"."""
    places = [
        one
        for one in named
        if (one.item.category in KEEPS and _PLACE.match(text, one.end)) or _POCKET.match(text, one.end)
    ]
    within = [one for one in named if is_thing(one, text) and one not in places]
    # "노트북 안에 사진 다 옮겼고": what was in it is taken care of.
    out = [one for one in within if places and ROLES.dealt_with.at(text, one.end)]
    return out if len(out) == len(within) else places if within else []


def _afterwards(named: Sequence[Mention], text: str) -> list[Mention]:
    """Where the thing came from, said at the end: "아이스팩 어떻게 버려요, 고기 택배에 들어 있던 거"."""
    said = _CAME_FROM.search(text)
    after = [one for one in named if said and one.start >= said.start()]
    return after if len(after) < len(named) else []


_WHICH = re.compile(
    rf"(?:그럼 |그러면 |혹시 )?[가-힣a-z]+?{ROLES.bearing.source}\s?(?:거|건|것|걸|경우)[가-힣]*[\s?!.~]*"
)
_CAME_FROM = re.compile(
    r",\s[^,]*에서?\s(?:[가-힣]+\s)?(?:[가-힣]+던|나온|온|붙은|달린)\s(?:거|것|건데|건)[가-힣]*[\s?!.~]*$"
)


def says_which(text: str) -> bool:
    """Whether a text only says which one is meant of what was spoken of: "바퀴 달린 거는요?"."""
    return _WHICH.fullmatch(text) is not None


def is_thing(one: Mention, text: str) -> bool:
    """Whether a mention is neither a material or a bin nor a part."""
    return not bins.is_where(one, text) and not parts.is_part(one.words(text))


def _says_which(one: Mention, other: Mention, text: str) -> bool:
    """Whether a thing only says which one is meant by the next word."""
    words = other.words(text)
    if f"{one.words(text)}{words}".isascii() and is_thing(other, text):
        # "contact lens blister packs": in English the last word says what it is, unless it only holds it ("nail polish bottles").
        return not GRAMMAR.measures.is_all(words)
    if one.item.category == "food" != other.item.category and not ROLES.where.is_all(words):
        # "콜라 페트병": what was in it.
        return True
    # "샴푸 리필 파우치", "참기름 유리병": what is in it; of "내열유리 반찬통" the first says what it is of.
    holds = HELD.search(words) is not None and (len(words) > SOUNDED or ROLES.stuff.at(words, 0))
    return bool(holds) and not HELD.search(one.words(text))


def held(one: Mention, text: str) -> tuple[str, int] | None:
    """What a thing was in, where a clause is between the two: "두부 담겼던 네모난 통" is the 두부 통, up to an offset."""
    found = _HOLDER.match(text, one.end) or _HOLDER_NEXT.match(text, one.end)
    if found is None or MEASURED.search(text[: found.start("holder")]) or text.startswith("째", found.end()):
        # "김치가 시어서 한 통을 버려야", "음식물을 까만 비닐봉지째"
        return None
    return f"{one.words(text)} {found['holder']}", found.end()
