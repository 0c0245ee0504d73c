"""Yes or no: the word that an item's line begins with, as the question is put."""

import re

from functions.ai import bins as bin_names
from functions.ai import ways
from functions.ai.facts import plain
from functions.ai.understood import Understood
from functions.ai.vocabulary import POLARS, ROLES, TEXTS

_WORD = re.compile(r"(네|아니요|Yes|No)\b[,.:;]?\s*")
# "씻어도 지지 않으면": what a line says then is no answer to what is asked in general.
_IF = re.compile(r"[가-힣]면 |\b(?:[Ii]f|where|when|unless)\b")
_LEFT_IN = re.compile(r"^(?:내용물이 남아 있으면|If anything is left in it,) ")
_MAY_STAY = re.compile(r"남아도|\bmay stay\b")
_EMPTIED = re.compile(r"비우|비워|비운|빈 |\b(?:empt|drain)")
_CLEAN = re.compile(r"깨끗하면|\b(?:if|when) (?:it is )?clean\b")
_NEVER = re.compile(r"지 마세요|지 말고|지 않습니다|면 안 |안 됩니다|\b(?:[Nn]ever|[Dd]o not|[Dd]on['’]t|not)\b")
# "아니요, 그대로 버려도 됩니다": nothing is forbidden.
_NEED_NOT = re.compile(
    r"^(?:아니요|No)\b.*?(?:않아도 됩니다|그대로 \w+도 됩니다|need not|may go as it is|report it as it is|may stay on)"
)
NOT_RECYCLED = {"general", "bulky", "food"}
_NOT_INTO = re.compile(
    r"^(?:네|Yes), [^.]*(?:수거함|봉투|통|함)에 (?:넣|버리)지 (?:말|않|마)|^Yes, [^.]*\bnot (?:in|into) "
)
_BY_MARK = re.compile(r"표시에 따라|\bby its mark\b")
_YET = re.compile(r"^((?:네|아니요), )다만 ")
_GENERAL = re.compile("종량제|일반쓰레기|pay-as-you-throw|general waste")


def bare(line: str) -> str:
    """A line without its yes or no."""
    said = _WORD.match(line)
    if said is None:
        return line
    rest = line[said.end() :]
    return rest[:1].upper() + rest[1:]


def one_word(lines: list[str]) -> list[str]:
    """Lines with one yes or no: after "아니요, 기름이 밴 부분은 …" there is no "네, 종이류로 …", only what holds otherwise."""
    if not (lines and _WORD.match(lines[0])):
        return lines
    return [lines[0], *(bare(line) for line in lines[1:] if conditional(line) or not _WORD.match(line))]


def worded(line: str, yes: bool, understood: Understood, aspect: str = "bin") -> str:
    """A line with yes or no before it, or without where it is not sure which way is asked.

    `yes` is whether it says that what is asked about is done, or that the thing goes there.
    "버리면 안 되나요?" is answered by whether it is allowed: yes and no would both be taken both ways.
    """
    texts = TEXTS[understood.language]
    rest = bare(line)
    if (does := _does(aspect, understood)) is None:
        return rest
    if understood.language == "en" and not rest[1:2].isupper():
        rest = rest[:1].lower() + rest[1:]
    agrees = yes == does
    if understood.barred:
        return f"{texts['barred' if agrees else 'allowed']}, {rest}"
    return f"{texts['yes' if agrees else 'no']}, {rest}"


def _does(aspect: str, understood: Understood) -> bool | None:
    """Whether a yes would say that it is done."""
    if aspect in _UNJUDGED:
        return understood.negated == understood.omitted
    return ways.does(aspect, understood)


# Aspects of which the lines tell too many things for one way to ask.
_UNJUDGED = {"pickup", "local", "safe", "tell", "absent"}
# Aspects of which an item's "네" may be to either of two: that it comes off, or that it stays on.
_EITHER = {"lid"}


def answered(line: str, aspect: str, understood: Understood) -> str:
    """An item's answer about an aspect, as the question is put: the other way round, about the opposite, or open."""
    if _of_some(line, understood):
        return worded(line, False, understood)
    if understood.open or not understood.polar:
        return _into(bare(line), understood)
    asks_bin = aspect in _EITHER and understood.bin
    if asks_bin or (yes := told(line, aspect, understood)) is None:
        return _into(bare(line), understood)
    if understood.may and _NEED_NOT.search(line) and _does(aspect, understood):
        # "분해해서 버려도 돼?": neither yes nor no says that it need not be.
        return bare(line)
    return worded(line, yes, understood, aspect)


def told(line: str, aspect: str, understood: Understood) -> bool | None:
    """Whether a line tells that what is asked about is done; None where its words do not say."""
    said = _WORD.match(line)
    for polar in POLARS:
        if polar.aspect != aspect or (polar.of_any and said and aspect not in _EITHER):
            continue
        if (yes := polar.says(understood.text, plain(line))) is not None:
            return yes
    return None if said is None or aspect in _EITHER | {"pickup"} else said[1] in ("네", "Yes")


def _of_some(line: str, understood: Understood) -> bool:
    """Whether all of a kind, or dirty ones, are asked about, and the line says yes of some: "장난감은 다 플라스틱으로 버려?"."""
    # "기름 묻은 비닐도 씻으면 재활용되죠?" tells that it is clean then.
    washed = "rinse" in understood.aspects or ROLES.on_the_way.within(understood.text)
    soiled = "dirty" in understood.cases and not washed and _CLEAN.search(line)
    if not (understood.polar and affirms(line)):
        return False
    # "페인트 남은 통 캔에 그냥 넣어도 되나"
    filled = "full" in understood.cases and _EMPTIED.search(line) and leaves(understood)
    return bool(filled or ((understood.every or soiled) and conditional(line)))


def _into(line: str, understood: Understood) -> str:
    """A line that says where something goes: "요거트 뚜껑 캔으로 버려?" is yes where that bin is one of them."""
    bins = {category for *_, category in bin_names.named_in(plain(line))}
    if not (understood.polar and understood.bin and (bins or to_general(line))) or understood.open:
        return line
    return worded(line, understood.bin in bins, understood)


def instructed(line: str, aspect: str, understood: Understood) -> str:
    """A step or a warning about what is asked: "라벨을 떼어 냅니다" is a yes to "라벨 떼야 해?"."""
    if not understood.polar or aspect == "absent" or _IF.search(line):
        return line
    done = told(line, aspect, understood)
    return worded(line, _NEVER.search(line) is None if done is None else done, understood, aspect)


def binned(line: str, category: str, understood: Understood) -> str:
    """Yes or no to the bin that was asked for: yes where the item's own collection is that one."""
    texts = TEXTS[understood.language]
    said = _WORD.match(line)
    if said is None:
        return _into(line, understood)
    if understood.open or not understood.polar:
        return bare(line)
    if _of_some(line, understood):
        return worded(line, False, understood)
    there = understood.bin in {category, *(category for *_, category in bin_names.named_in(plain(line)))}
    if there and _BY_MARK.search(line):
        # "컵라면 용기 종이인가요": of several stuffs, and the mark says which.
        return bare(line)
    if not there or _NOT_INTO.search(line):
        # "네, 다만 폐건전지 수거함에 넣지 말고 …"
        return worded(_YET.sub(r"\1", line), False, understood)
    # "아니요, 대형폐기물로 신고합니다" says no to recycling, and not to that.
    return worded(line, said[1] == texts["yes"] or understood.bin in NOT_RECYCLED, understood)


def excepted(line: str, aspect: str | None, understood: Understood) -> str:
    """What changes in the thing's state, as the answer to the bin that is asked for."""
    if "full" in understood.cases:
        # "콜라가 남았는데 그냥 버려도 돼?": that is the case already.
        line = _LEFT_IN.sub("", line)
    met = "stays" in understood.cases or not _IF.search(line)
    if not (understood.polar and met) or _WORD.match(line):
        return line
    stays = understood.open or conditional(line) or to_general(line) or _MAY_STAY.search(line)
    if leaves(understood) and not stays:
        # "꽁초가 들었는데 이대로 내도 돼?", where the line tells what is done then.
        return worded(line, True, understood, "rinse")
    if not _GENERAL.search(line):
        # "충전기 고장난 거 일반쓰레기?": the line names another bin.
        if aspect == "recycle" and not conditional(line) and names_any_bin(line):
            # "깨진 스티로폼도 재활용 되나요"
            return worded(line, True, understood, "recycle")
        elsewhere = aspect == "bag" and names_any_bin(line)
        return worded(line, False, understood) if elsewhere else _into(line, understood)
    if aspect in ("bin", "recycle"):
        return worded(line, understood.bin == "general", understood)
    return worded(line, True, understood) if aspect == "bag" else line


def leaves(understood: Understood) -> bool:
    """Whether it is asked of a thing that is dirty, or has something in it, if it may go as it is."""
    return not _CARED_FOR.isdisjoint(understood.cases) and ways.does("rinse", understood) is False


_CARED_FOR = {"dirty", "full"}


def names_bin(line: str, category: str) -> bool:
    """Whether a line says the bin of that category."""
    return any(named == category for *_, named in bin_names.named_in(plain(line)))


def names_any_bin(line: str) -> bool:
    """Whether a line says where something goes."""
    return bool(bin_names.named_in(plain(line)) or _GENERAL.search(line))


def to_general(line: str) -> bool:
    """Whether a line speaks of the bag for general waste."""
    return _GENERAL.search(line) is not None


def conditional(line: str) -> bool:
    """Whether a line holds under a condition of its own."""
    return _IF.search(line) is not None


def is_worded(line: str) -> bool:
    """Whether a line begins with yes or no, or with whether it is allowed."""
    return _WORD.match(line) is not None or line.startswith(_ALLOWED)


_ALLOWED = tuple(f"{texts[name]}, " for texts in TEXTS.values() for name in ("barred", "allowed"))


def affirms(line: str) -> bool:
    """Whether a line begins with yes."""
    said = _WORD.match(line)
    return said is not None and said[1] in ("네", "Yes")
