"""What answers first: the own line of an item, or of a kind of waste, about what is asked, with its yes or no."""

import re
from collections.abc import Callable

from functions.ai import polarity, ways
from functions.ai.facts import plain, what_if
from functions.ai.retrieval import Category, Item
from functions.ai.understood import Understood
from functions.ai.vocabulary import ASPECT_OF_PART, ASPECTS, LINES_OF, PART_WORDS, ROLES, TEXTS, TOPICS, WHERE
from shared.waste_types import RECYCLED


def answering(item: Item, understood: Understood) -> list[str]:
    """The item's own short answers to what is asked of it: what changes in its state, and yes, no or how."""
    language, aspect = understood.language, _answerable(item, understood)
    lines: list[str] = _stuck(item, understood) if "stuck" in understood.cases else []
    later = said_later(item, understood)
    changes = [line for case in understood.cases if (line := _exception(item, case, language)) and line not in later]
    about = _about(item, aspect, understood)
    # How it is tied is of no use where it goes in the bag as it is.
    to_bag = aspect == "tied" and any(map(polarity.to_general, changes))
    first_of_all = aspect is not None and aspect not in _OUTCOMES and not to_bag
    if (
        "small" in understood.cases
        and _FITS.search(understood.text)
        and changes
        and (aspect == "pickup" or understood.bin == "bulky")
    ):
        # "봉투에 들어가는데 그래도 신고해야 하나요"
        return [polarity.worded(changes[0], False, understood) if understood.polar else changes[0]]
    goes = understood.bin or "recycle" in understood.aspects
    if understood.polar and goes and _AS_LEFT.search(understood.text) and "full" in understood.cases:
        # "치약 남은 채로 플라스틱에 넣어도 되나요"
        left = [line for line in changes if not polarity.to_general(line)][:1]
        lines += [polarity.worded(line, False, understood) for line in left]
    if aspect == "bag" and any(map(_to_the_bag, changes)) and "stays" not in understood.cases:
        # "국물 묻은 스티로폼 쓰봉?": only if it does not come off; neither yes nor no.
        lines += [*changes, *map(polarity.bare, about)]
    elif understood.polar and about and (first_of_all or any(map(_open_case(understood), changes))):
        # "얼룩 남았는데 재활용돼?": "네, 씻어서 …", then what holds if it stays.
        lines += [*about, *changes]
    else:
        lines += [*(polarity.excepted(line, aspect, understood) for line in changes), *about]
    return polarity.one_word(list(dict.fromkeys(lines[:2])))


def _answerable(item: Item, understood: Understood) -> str | None:
    """What is asked of the item; where it has no answer to that, whether it is washed or its lid goes along."""
    aspect = asked_of(item, understood)
    # "라벨 없는 생수병은 그냥 버리면 돼요?" asks for no bag.
    plainly = understood.polar and _AS_IT_IS.search(understood.text) and item.category in RECYCLED
    if aspect is not None and (aspect in _ALIKE or item.answer(aspect, "ko")) and not (plainly and aspect == "bag"):
        return aspect
    if understood.together and "lid" in _itself(item) and item.answer("lid", "ko"):
        # "잼병 뚜껑이랑 같이 버려도 돼요?"
        return "lid"
    return _as_it_is(item, understood, plainly=bool(plainly)) or (None if plainly and aspect == "bag" else aspect)


def _as_it_is(item: Item, understood: Understood, *, plainly: bool) -> str | None:
    """ "안에 양념이 묻었는데 그냥 내?", "떡볶이 용기 걍 버려도 됨?": whether it is washed, where the item says that it is."""
    if not understood.polar or "stays" in understood.cases or not polarity.affirms(item.answer("rinse", "ko")):
        return None
    as_it_is = plainly and not (understood.bin or _CARED_FOR.search(understood.text))
    left = as_it_is and ways.does("rinse", understood) is False
    return "rinse" if left or polarity.leaves(understood) else None


def _exception(item: Item, case: str, language: str) -> str:
    """What changes then; what does not work has no pieces to be wrapped."""
    line = item.exception("broken" if case == "faulty" else case, language)
    return "" if case == "faulty" and _WRAPPED.search(line) else line


_WRAPPED = re.compile(r"[가-힣]?싸[서고]|쌉니다|[Ww]rap")


def _to_the_bag(line: str) -> bool:
    """Whether a line says when the thing goes in the bag."""
    return polarity.conditional(line) and polarity.to_general(line)


def _about(item: Item, aspect: str | None, understood: Understood) -> list[str]:
    """The item's answer about that, or its first line that speaks of it."""
    language = understood.language
    if aspect is None:
        return []
    if aspect == "outdoors":
        return [outdoors(understood)]
    if aspect == "handed":
        return _handed(item, understood)
    intact = set(understood.cases) <= {"faulty"}
    whole = aspect == "bin" and understood.polar and intact and _AS_LEFT.search(understood.text)
    if whole and polarity.affirms(item.answer("separate", "ko")):
        # "스프링 노트 그대로 종이에 버려도 돼?"
        return [polarity.answered(item.answer("separate", language), "separate", understood)]
    if aspect == "bin" and understood.bin is not None:
        line = item.answer("recycle", language) or item.described(language)
        return [polarity.binned(line, item.category, understood)]
    if aspect in _ON_THE_WAY and understood.polar and understood.bin:
        # "안 빤 이불 의류수거함에 넣어도 돼?": where a thing does not go, washing it changes nothing.
        refused = _about(item, "bin", understood)[:1]
        if refused and not polarity.affirms(refused[0]) and not understood.negated:
            return refused
    line = item.answer(aspect, language)
    if line and aspect in _OF_PARTS and understood.open and TOPICS.asks_where.within(understood.text):
        # "돌돌이 테이프 어디 버려?": whether the tape comes off is no answer.
        line = line if polarity.names_any_bin(line) else ""
        return [polarity.answered(line, aspect, understood)] if line else []
    if line and aspect == "lid" and understood.polar and (goes := _lid_goes_along(line, understood)) is not None:
        return [polarity.worded(line, goes, understood, "together")]
    if line:
        return [polarity.answered(line, aspect, understood)]
    own = [line for line in (*item.steps(language), *item.warnings(language)) if _speaks(line, LINES_OF[aspect])]
    if not own and understood.polar and understood.bin and aspect != "bin":
        # "펌프도 통째로 플라스틱에 넣나?"
        return _about(item, "bin", understood)
    return [polarity.instructed(line, aspect, understood) for line in own[:1]]


def outdoors(understood: Understood) -> str:
    """That nothing is dumped where it is not collected, whatever it is: "길에 두면 안 되죠?" is agreed to."""
    line = TEXTS[understood.language]["outdoors"]
    return polarity.worded(line, False, understood, "outdoors") if understood.polar else line


def _lid_goes_along(line: str, understood: Understood) -> bool | None:
    """ "뚜껑은 같이 버려?", "뚜껑은 따로 버려?": whether a line says so; None where neither is asked or both are told."""
    if understood.together == understood.apart or _OFF_OR_ON.search(understood.text):
        return None
    off = polarity.told(line, "lid", understood)
    return None if off is None else off == understood.apart


def _handed(item: Item, understood: Understood) -> list[str]:
    """Whether a shop or an office takes it: yes where the item's own line names it, no where that is no business of theirs."""
    language = understood.language
    if not understood.polar:
        return []
    said = [answer.get(language, "") for answer in item.answers.values()]
    own = [item.described(language), *item.steps(language), *said, *item.warnings(language)]
    places = [match[0] for match in ASPECTS["handed"].all(understood.text)]
    named = [line for line in own if any(place in plain(line) for place in places)]
    if named:
        return [polarity.instructed(polarity.bare(named[0]), "handed", understood)]
    if places and all(TOPICS.specialists.is_all(place) for place in places) and item.described(language):
        return [polarity.worded(item.described(language), False, understood)]
    return []


def asked_of(item: Item, understood: Understood) -> str | None:
    """Which of the aspects it may be: the first that the item has an answer to, else the likeliest."""
    aspects = understood.aspects
    if len(understood.items) > 1 and not (understood.polar or understood.open):
        # "와인병이랑 코르크 마개요" asks nothing about a lid.
        return None
    if "stays" in understood.cases:
        # "씻어도 자국 남는데 그냥 내도 되나요": it is washed.
        aspects = tuple(one for one in aspects if one != "rinse")
    if understood.together and len(understood.items) > 1:
        # "wet wipes and tissues, same bag?"
        aspects = tuple(one for one in aspects if one != "tied")
    if len(WHERE & set(aspects)) > 1:
        # "음식물이야 일반쓰레기야?": the bin that it does go into.
        yes = [one for one in aspects if one in WHERE and polarity.affirms(item.answer(one, "ko"))]
        aspects = (*(one for one in aspects if one not in WHERE), *yes, *aspects)
    if item.category in polarity.NOT_RECYCLED and _WHICH_BAG.search(understood.text):
        # "치킨 뼈는 어느 봉투": where it goes, and not how full the bag may be.
        bag = "food" if item.category == "food" else "bag"
        aspects = tuple(dict.fromkeys(bag if one == "tied" else one for one in aspects))
    if "wrapped" in aspects and _BAGGED.search(understood.text) and not item.answer("wrapped", "ko"):
        # "라면 봉지 봉투에 담아서 버려야 하나요"
        aspects = tuple("tied" if one == "wrapped" else one for one in aspects)
    if "moisture" in aspects and not _RAINS.search(understood.text):
        # "젖은 낙엽 말려야 돼?": it is neither rain nor rinsing.
        unasked = {"rain", "rinse"}
        if not item.answer("moisture", "ko"):
            unasked = set() if "말" in item.answer("rinse", "ko") else {"rinse"}
        aspects = tuple(one for one in aspects if one not in unasked)
    there = "recycle" in aspects or ("bin" in aspects and understood.bin == item.category)
    wet = there and ("rain" in aspects or _WET.search(understood.text)) and not ROLES.on_the_way.within(understood.text)
    if wet and _NOT_WET.match(item.answer("rain", "ko")):
        # "택배 상자 젖었는데 재활용 돼?": wet, it does not go where it goes dry.
        aspects = ("rain", *(one for one in aspects if one not in ("recycle", "bin", "rain")))
    itself = _itself(item)
    # "테이프는?" asks nothing about a tape on the tape.
    aspects = tuple(one for one in aspects if one not in itself or polarity.affirms(item.answer(one, "ko")))
    if understood.bin and understood.polar and set(aspects) <= itself:
        # "카세트 테이프 소형가전 수거함에 넣어도 되나"
        return "bin"
    if not _MORE.isdisjoint(aspects):
        # "플라스틱 뚜껑은 일반쓰레기?" asks nothing about a lid of the lid.
        aspects = tuple(sorted(aspects, key=itself.__contains__))
    return next((one for one in aspects if one in _ALIKE or _says(item, one)), next(iter(aspects), None))


def _says(item: Item, aspect: str) -> bool:
    """Whether the item has an answer to that, or for what few items answer, a step that speaks of it."""
    if aspect in _BY_STEPS and not item.answer(aspect, "ko"):
        return any(_speaks(line, LINES_OF[aspect]) for line in item.steps("ko"))
    return bool(item.answer(aspect, "ko"))


def _itself(item: Item) -> set[str]:
    """The aspects that ask about the part which the item is."""
    return {ASPECT_OF_PART[kind] for kind, words in PART_WORDS.items() if item.name.endswith(tuple(words))}


_BAGGED = re.compile(r"봉[투지]에 (?:담|넣)|\bin a (?:plastic )?bag\b")
_FITS = re.compile(r"봉투|\bbag\b")
_RAINS = re.compile(r"비[가 ]|장마|눈 오|\brain|[씻헹]")
_WET = re.compile(r"(?<!안 )젖(?:은|었는데|었어도|어도)(?!.*(?:말린|마른|말렸|말랐))|(?:^|\bis |\bgot )wet\b")
_NOT_WET = re.compile("아니요, 젖으면 재활용이 안 됩니다")
_WHICH_BAG = re.compile(r"(?:어느|어떤|무슨) 봉[투지]|\b(?:which|what) (?:kind of )?bag\b")
_BY_STEPS = {"empty", "moisture"}
_ALIKE = {"bin", "outdoors", "handed"}
"""What is answered of every thing."""
_OFF_OR_ON = re.compile(r"[떼뗀빼뺀닫씌]|열[고어]|분리|안 [버내]")
_MORE = {*WHERE, "data"}
_ON_THE_WAY = {"rinse", "crush", "tied"}
_OF_PARTS = {"label", "lid"}
_AS_IT_IS = re.compile(r"(?:그냥|걍|그대로) (?:버[리려]|내[도면놔놓 ])")
_CARED_FOR = re.compile(r"깨끗|새 ?거|[씻헹닦비]\S*[었였웠]|헹[궜군]|씻은|없는")
_AS_LEFT = re.compile(r"채로|채 |채$|그대로|안 비우고|\bstill (?:inside|in it)\b|with .+ (?:left|inside)")
_OUTCOMES = {*WHERE, "bin"}
"""Aspects whose answer changes with how the thing is; a dirty can is rinsed all the same."""


def of_kind(category: Category, understood: Understood) -> list[str]:
    """The answer about a photo's kind of waste to what is asked: its own line about that, or where it goes."""
    language = understood.language
    aspect = next(iter(understood.aspects), None)
    if aspect is None or aspect == "outdoors":
        return [] if aspect is None else [outdoors(understood)]
    steps = category.steps(language)
    if aspect in _OUTCOMES:
        wanted = {"bag": "general", "food": "food"}.get(aspect, understood.bin)
        there = category.category == wanted if wanted else category.category not in polarity.NOT_RECYCLED
        goes = [line for line in steps if polarity.names_bin(line, category.category)] or steps[-1:]
        return [polarity.worded(line, there, understood) if understood.polar else line for line in goes[:1]]
    own = [line for line in (*steps, *category.warnings(language)) if _speaks(line, LINES_OF[aspect])]
    return [polarity.instructed(line, aspect, understood) for line in own[:1]]


def said_later(item: Item, understood: Understood) -> list[str]:
    """What holds under an open condition, where the way alone is asked: "남은 선크림" is soaked up first of all."""
    if understood.polar or asked_of(item, understood) is not None or what_if(understood.text):
        return []
    # Who says that it is too large asks for nothing else.
    said = [_exception(item, case, understood.language) for case in understood.cases if case != "large"]
    return [line for line in said if line and _open_case(understood)(line) and item.described(understood.language)]


def _open_case(understood: Understood) -> Callable[[str], bool]:
    """Whether a line holds under a condition that the question leaves open."""
    return lambda line: polarity.conditional(line) and "stays" not in understood.cases


def _stuck(item: Item, understood: Understood) -> list[str]:
    """What to do with a part that does not come off, where the item says it."""
    language = understood.language
    said = [item.answer(asked_of(item, understood) or "label", language), item.exception("mixed", language)]
    own = [*said, *item.steps(language), *item.warnings(language)]
    if "lid" in understood.aspects:
        # "뚜껑이 안 열리는 유리병" asks nothing about a label.
        own = [line for line in own if _speaks(line, LINES_OF["lid"])]
    said_so = [line for line in own if line and _NOT_OFF.search(plain(line))][:1]
    if not understood.polar or understood.open:
        return [polarity.bare(line) for line in said_so]
    # "고리가 안 빠지면 놔둬도 되나요"
    return [polarity.worded(line, False, understood, "label") if _MAY_STAY.match(line) else line for line in said_so]


_NOT_OFF = re.compile(
    r"안 열리|안 떨어|떨어지지 않|어려우면|어려운|못 떼|come off|stubborn|can't be taken apart|hard to"
)
_MAY_STAY = re.compile(r"[^.]*(?:(?:두어도|남아 있어도) 됩니다|\bmay (?:stay|be left))")


def _speaks(line: str, words: list[str]) -> bool:
    return any(word in plain(line) for word in words)
