"""Yes or no: the word that an item's line begins with, as the question is put."""

import re

from functions.ai import bins as bin_names
from functions.ai.facts import plain
from functions.ai.understood import Understood
from functions.ai.vocabulary import POLARS, ROLES, TEXTS, WHERE

_WORD = re.compile(r"(네|아니요|Yes|No)\b[,.:;]?\s*")
# "씻어도 지지 않으면": what a line says then is no answer to what is asked in general.
_IF = re.compile(r"[가-힣]면 |\b(?:[Ii]f|where|when|unless)\b")
_CLEAN = re.compile(r"깨끗하면|\b(?:if|when) (?:it is )?clean\b")
_NEVER = re.compile(r"지 마세요|지 말고|지 않습니다|면 안 |안 됩니다|\b(?:[Nn]ever|[Dd]o not|[Dd]on['’]t|not)\b")
# "아니요, 그대로 버려도 됩니다": nothing is forbidden.
_NEED_NOT = re.compile(
    r"^(?:아니요|No)\b.*?(?:않아도 됩니다|그대로 \w+도 됩니다|need not|may go as it is|report it as it is|may stay on)"
)
NOT_RECYCLED = {"general", "bulky", "food"}
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


def worded(line: str, yes: bool, understood: Understood, *, outcome: bool = True) -> str:
    """A line with yes or no before it; a question that is turned round turns the word.

    Where a thing goes (`outcome`) does not turn with what is left out on the way: "안 찢어지면 일반쓰레기인가요".
    "버리면 안 되나요?" is answered by whether it is allowed: yes and no would both be taken both ways.
    """
    texts = TEXTS[understood.language]
    rest = bare(line)
    if understood.language == "en" and not rest[1:2].isupper():
        rest = rest[:1].lower() + rest[1:]
    agrees = yes != (understood.negated if outcome else turned(understood))
    if understood.barred:
        return f"{texts['barred' if agrees else 'allowed']}, {rest}"
    return f"{texts['yes' if agrees else 'no']}, {rest}"


def turned(understood: Understood) -> bool:
    """Whether it is asked the other way round about what is done with a thing."""
    return understood.negated != understood.omitted


def answered(line: str, aspect: str, understood: Understood) -> str:
    """An item's answer about an aspect, as the question is put: the other way round, about the opposite, or open."""
    outcome = aspect in WHERE
    if _of_some(line, understood):
        return worded(line, False, understood)
    if (yes := _polar(line, aspect, understood)) is not None:
        return worded(line, yes, understood, outcome=outcome) if understood.polar else bare(line)
    said = _WORD.match(line)
    if said is None:
        return _into(line, understood)
    if understood.open or (understood.polar and aspect in _BY_WORD):
        # What is asked about a lid or a label is not understood: the line alone is right of each.
        return _into(bare(line), understood)
    if not understood.polar:
        return bare(line)
    turns = understood.negated if outcome else turned(understood)
    if understood.may and not turns and _NEED_NOT.search(line):
        # "분해해서 버려도 돼?": neither yes nor no says that it need not be.
        return bare(line)
    if turns or understood.barred:
        # "안 씻고 버리면 안 되나": two that turn cancel out, and it is still asked whether it is allowed.
        return worded(line, said[1] in ("네", "Yes"), understood, outcome=outcome)
    return line


# Aspects that a noun gives away ("뚜껑"), so that only the words of `words/polar.toml` say what is asked about it.
_BY_WORD = {polar.aspect for polar in POLARS} - {"tied", "wrapped", "separate", "battery", "crush", "moisture"}


def _polar(line: str, aspect: str, understood: Understood) -> bool | None:
    """Whether a line says yes to the way in which the aspect is asked for, where `words/polar.toml` knows that way."""
    said = (polar.says(understood.text, plain(line)) for polar in POLARS if polar.aspect == aspect)
    return next((yes for yes in said if yes is not None), None)


def _of_some(line: str, understood: Understood) -> bool:
    """Whether all of a kind, or dirty ones, are asked about, and the line says yes of some: "장난감은 다 플라스틱으로 버려?"."""
    # "기름 묻은 비닐도 씻으면 재활용되죠?" tells that it is clean then.
    washed = "rinse" in understood.aspects or ROLES.on_the_way.within(understood.text)
    soiled = "dirty" in understood.cases and not washed and _CLEAN.search(line)
    return bool(understood.polar and (understood.every or soiled) and affirms(line) and conditional(line))


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
    told = _polar(line, aspect, understood)
    return worded(line, _NEVER.search(line) is None if told is None else told, understood, outcome=False)


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
    # "아니요, 대형폐기물로 신고합니다" says no to recycling, and not to that.
    return worded(line, there and (said[1] == texts["yes"] or understood.bin in NOT_RECYCLED), understood)


def excepted(line: str, aspect: str | None, understood: Understood) -> str:
    """What changes in the thing's state, as the answer to the bin that is asked for."""
    met = "stays" in understood.cases or not _IF.search(line)
    if not (understood.polar and met) or _WORD.match(line):
        return line
    if not _GENERAL.search(line):
        # "충전기 고장난 거 일반쓰레기?": the line names another bin.
        elsewhere = aspect == "bag" and names_any_bin(line)
        return worded(line, False, understood) if elsewhere else line
    if aspect in ("bin", "recycle"):
        return worded(line, understood.bin == "general", understood)
    return worded(line, True, understood) if aspect == "bag" else line


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


def affirms(line: str) -> bool:
    """Whether a line begins with yes."""
    said = _WORD.match(line)
    return said is not None and said[1] in ("네", "Yes")
