"""The embedded answer in words: the line that answers first, then the steps; recycle-info's own lines and few fixed sentences."""

import re
from collections.abc import Callable, Iterator

from functions.ai import mentions as naming
from functions.ai import polarity
from functions.ai.facts import plain
from functions.ai.interfaces import Question
from functions.ai.retrieval import Category, Center, Item, Neighbours, Rules
from functions.ai.scene import Understood
from functions.ai.vocabulary import LINES_OF, MATERIALS, TEXTS
from shared.errors import Unavailable
from shared.messages import Photo

FIXED = frozenset(text for texts in TEXTS.values() for text in texts.values())
"""Every sentence of ours beside the items' own lines, the situations' lines and the yes or no before one."""
OFF_TOPIC = frozenset(texts[name] for texts in TEXTS.values() for name in ("off", "greeted"))

_SURE = 0.8
_LIKELY = 0.55


_AFTER_CONSONANT = {"예요": "이에요", "로": "으로", "라면": "이라면"}


class Noun(str):
    """A word that a sentence may give a particle: `{kind:로}` is 종이로 and 종이팩으로."""

    def __format__(self, particle: str) -> str:
        if not particle:
            return str(self)
        last = (ord(self[-1]) - ord("가")) % 28 if self and "가" <= self[-1] <= "힣" else 0
        closed = last > 0 and not (particle == "로" and last == 8)  # 서울로
        return str(self) + (_AFTER_CONSONANT[particle] if closed else particle)


def say(understood: Understood, question: Question, neighbours: Neighbours) -> Iterator[str]:
    """The answer's pieces, in their order."""
    texts = TEXTS[understood.language]
    if not understood.on_topic:
        yield texts["greeted" if understood.rule == "greeted" else "off"]
        return
    lead = "\n".join(first(understood, question))
    yield lead
    if understood.photo is not None and understood.photo.status != "success":
        return
    if understood.near:
        yield from ("\n\n",) if lead else ()
        yield from _way(understood, question, texts, neighbours)
        lead = lead or "."
    for number, item in enumerate(understood.items):
        yield from ("\n\n",) if number or lead else ()
        yield from _item(item, understood, many=len(understood.items) > 1)
    if understood.category is not None and not understood.why:
        yield from ("\n\n",) if lead else ()
        yield from _category(understood.category, understood)
    if not lead and not understood.items and understood.category is None:
        names = ", ".join(item.called(understood.language) for item in understood.guesses)
        yield texts["ask" if not names else "guess" if len(understood.guesses) > 1 else "guess_one"].format(names=names)


def first(understood: Understood, question: Question) -> list[str]:
    """What comes before the items: the line of safety, what we don't know, the photo, the answer to what was asked."""
    texts = TEXTS[understood.language]
    if understood.situation is not None:
        return [understood.situation.line(understood.language)]
    if understood.unknown is not None:
        return _unknown(understood, question, texts)
    if understood.not_taken and understood.category is not None:
        return understood.category.warnings(understood.language)
    if "outdoors" in understood.aspects and not understood.items:
        return [texts["outdoors"]]
    lines = _photo(understood, texts) if understood.photo is not None else []
    if len(understood.items) == 1 and not understood.why:
        said = answering(understood.items[0], understood)
        part = understood.part
        lines = [*(line for line in said if part is None or naming.speaks_of(line, part[0])), *lines]
    elif understood.category is not None and not (understood.why or understood.said_type):
        lines = [*_of_kind(understood.category, understood), *lines]
    if len(understood.items) > 1 and understood.polar and (understood.together or understood.apart):
        lines += _together(understood, texts)
    return lines


def _of_kind(category: Category, understood: Understood) -> list[str]:
    """The answer about a photo's kind of waste to what is asked: its own line about that, or where it goes."""
    language = understood.language
    aspect = next(iter(understood.aspects), None)
    if aspect is None or aspect == "outdoors":
        return [] if aspect is None else [TEXTS[language]["outdoors"]]
    steps = category.steps(language)
    if aspect in _OUTCOMES:
        wanted = {"bag": "general", "food": "food"}.get(aspect, understood.bin)
        there = category.category == wanted if wanted else category.category not in polarity.NOT_RECYCLED
        goes = [line for line in steps if polarity.names_bin(line, category.category)] or steps[-1:]
        return [polarity.worded(line, there, understood) if understood.polar else line for line in goes[:1]]
    own = [line for line in (*steps, *category.warnings(language)) if _speaks(line, LINES_OF[aspect])]
    return [polarity.instructed(line, aspect, understood) for line in own[:1]]


def _together(understood: Understood, texts: dict[str, str]) -> list[str]:
    """Whether the things go to the same place; nothing where they are of one kind and some have another way as well."""
    asks_apart = not understood.together
    if len({item.category for item in understood.items}) > 1:
        return [texts["apart_yes" if asks_apart else "apart"]]
    first, *others = [set(item.bins) for item in understood.items]
    if not any(first & other for other in others):
        return [texts["apart_yes" if asks_apart else "apart"]]
    same = all(first == other for other in others)
    return [texts["together_no" if asks_apart else "together"]] if same else []


def answering(item: Item, understood: Understood) -> list[str]:
    """The item's own short answers to what is asked of it: what changes in its state, and yes, no or how."""
    language, aspect = understood.language, asked_of(item, understood)
    lines: list[str] = _stuck(item, understood) if "stuck" in understood.cases else []
    later = _later(item, understood)
    changes = [line for case in understood.cases if (line := item.exception(case, language)) and line not in later]
    about = _about(item, aspect, understood)
    first_of_all = aspect is not None and aspect not in _OUTCOMES
    if understood.polar and about and (first_of_all or any(map(_open_case(understood), changes))):
        # "얼룩 남았는데 재활용돼?": "네, 씻어서 …", then what holds if it stays.
        lines += [*about, *changes]
    else:
        lines += [*(polarity.excepted(line, aspect, understood) for line in changes), *about]
    return list(dict.fromkeys(lines[:2]))


def _about(item: Item, aspect: str | None, understood: Understood) -> list[str]:
    """The item's answer about that, or its first line that speaks of it."""
    language = understood.language
    if aspect is None:
        return []
    if aspect == "outdoors":
        return [TEXTS[language]["outdoors"]]
    if aspect == "bin" and understood.bin is not None:
        line = item.answer("recycle", language) or item.described(language)
        return [polarity.binned(line, item.category, understood)]
    if line := item.answer(aspect, language):
        return [polarity.answered(line, aspect, understood)]
    own = [line for line in (*item.steps(language), *item.warnings(language)) if _speaks(line, LINES_OF[aspect])]
    return [polarity.instructed(line, aspect, understood) for line in own[:1]]


def asked_of(item: Item, understood: Understood) -> str | None:
    """Which of the aspects it may be: the first that the item has an answer to, else the likeliest."""
    aspects = understood.aspects
    if len(understood.items) > 1 and not (understood.polar or understood.open):
        # "와인병이랑 코르크 마개요" asks nothing about a lid.
        return None
    if len(_WHERE & set(aspects)) > 1:
        # "음식물이야 일반쓰레기야?": the bin that it does go into.
        yes = [one for one in aspects if one in _WHERE and polarity.affirms(item.answer(one, "ko"))]
        aspects = (*(one for one in aspects if one not in _WHERE), *yes, *aspects)
    return next((one for one in aspects if one in _ALIKE or item.answer(one, "ko")), next(iter(aspects), None))


_ALIKE = {"bin", "outdoors"}
"""What is answered of every thing."""
_WHERE = {"food", "bag", "recycle"}
_OUTCOMES = {*_WHERE, "bin"}
"""Aspects whose answer changes with how the thing is; a dirty can is rinsed all the same."""


def _later(item: Item, understood: Understood) -> list[str]:
    """What holds under an open condition, where the way alone is asked: "남은 선크림" is soaked up first of all."""
    if understood.polar or asked_of(item, understood) is not None:
        return []
    said = [item.exception(case, understood.language) for case in understood.cases]
    return [line for line in said if line and _open_case(understood)(line) and item.described(understood.language)]


def _open_case(understood: Understood) -> Callable[[str], bool]:
    """Whether a line holds under a condition that the question leaves open."""
    return lambda line: polarity.conditional(line) and "stays" not in understood.cases


def _stuck(item: Item, understood: Understood) -> list[str]:
    """What to do with a part that does not come off, where the item says it."""
    language = understood.language
    said = [item.answer(asked_of(item, understood) or "label", language), item.exception("mixed", language)]
    own = [*said, *item.steps(language), *item.warnings(language)]
    said_so = [line for line in own if line and _NOT_OFF.search(plain(line))][:1]
    return said_so if understood.polar else [polarity.bare(line) for line in said_so]


_NOT_OFF = re.compile(r"안 떨어|떨어지지 않|어려우면|어려운|못 떼|come off|stubborn|can't be taken apart|hard to")


def _speaks(line: str, words: list[str]) -> bool:
    return any(word in plain(line) for word in words)


def _unknown(understood: Understood, question: Question, texts: dict[str, str]) -> list[str]:
    """That we don't know, and who does; a free pickup is known, so it comes first."""
    assert understood.unknown is not None
    language = understood.language
    line = texts["unknown"].format(what=understood.unknown.what(language), who=who(question, texts))
    pickups = [item.answer("pickup", language) for item in understood.items]
    free = [pickup for pickup in pickups if re.search("무상|무료|free", pickup)]
    if understood.unknown.name == "fee" and free:
        return [polarity.answered(free[0], "pickup", understood)]
    return [line, *[pickup for pickup in pickups if pickup][:1]]


def who(question: Question, texts: dict[str, str]) -> str:
    """Whom to ask: the municipality of the default place where it is known."""
    place = question.place
    if place is None:
        return texts["who"]
    if place.municipality:
        return texts["who_here"].format(municipality=place.municipality)
    return texts["who_place"].format(place=place.name)


def _photo(understood: Understood, texts: dict[str, str]) -> list[str]:
    """What the photo shows, how sure that is, and where it can be mended."""
    photo = understood.photo
    assert photo is not None
    if photo.status != "success":
        return [texts[f"photo_{'pending' if photo.status == 'pending' else 'failed'}"]]
    language = understood.language
    if understood.said_type is not None:
        return [texts["photo_if"].format(kind=kind(understood.said_type, language)), texts["photo_mend"]]
    if photo.waste_type in (None, "unknown"):
        return [texts["photo_unknown"], *([photo.ask] if photo.ask and language == "ko" else [])]
    seen = kind(photo.waste_type or "", language)
    if understood.items:
        lines = [texts["photo_item"].format(name=Noun(understood.items[0].called(language)), kind=seen)]
    elif photo.chosen:
        lines = [texts["photo_chosen"].format(kind=seen)]
    else:
        sure = photo.confidence or 0.0
        how = "photo_sure" if sure >= _SURE else "photo_likely" if sure >= _LIKELY else "photo_unsure"
        lines = [texts[how].format(kind=seen)]
    return lines + (_reasons(understood, photo, texts) if understood.why else [])


def _reasons(understood: Understood, photo: Photo, texts: dict[str, str]) -> list[str]:
    language = understood.language
    lines = []
    if photo.confidence is not None and not photo.chosen:
        lines.append(texts["photo_percent"].format(percent=round(photo.confidence * 100)))
    others = [kind(one.waste_type, language) for one in photo.candidates if one.waste_type != photo.waste_type][:3]
    if others:
        lines.append(texts["photo_others"].format(names=", ".join(others)))
    lines += [reason for item in understood.items if (reason := item.reason(language))]
    lines += [photo.ask] if photo.ask and language == "ko" else []
    return [*lines, texts["photo_mend"]]


def kind(waste_type: str, language: str) -> Noun:
    """A kind of waste as a sentence names it."""
    words = MATERIALS.get(waste_type)
    return Noun((words.is_en if language == "en" else words.is_ko) if words else waste_type)


def _item(item: Item, understood: Understood, *, many: bool) -> Iterator[str]:
    """One item's own lines: of the part asked about, or all; among several things each answers first."""
    language, texts = understood.language, TEXTS[understood.language]
    name, description = item.called(language), item.described(language)
    if understood.part is not None:
        part, word = understood.part
        lines = [line for line in (description, *item.steps(language), *item.warnings(language)) if line]
        if lines := [line for line in lines if naming.speaks_of(line, part)]:
            yield texts["part"].format(name=name, part=word)
            yield from (f"\n- {line}" for line in lines)
            return
    answers = answering(item, understood) if many else []
    if answers:
        yield texts["said"].format(name=name, line=answers[0])
        yield from (f"\n{line}" for line in (*answers[1:], description) if line)
    else:
        yield f"{name}: {description}" if description else name
        yield from (f"\n{line}" for line in _later(item, understood))
    yield from _steps(item, understood.language)


def _category(category: Category, understood: Understood) -> Iterator[str]:
    """What holds for a kind of waste."""
    language = understood.language
    yield category.called(language) + ":"
    yield from _steps(category, language)


def _steps(rules: Rules, language: str) -> Iterator[str]:
    texts = TEXTS[language]
    if steps := rules.steps(language):
        yield f"\n\n{texts['steps']}"
        yield from (f"\n{number}. {step}" for number, step in enumerate(steps, 1))
    if warnings := rules.warnings(language):
        yield f"\n\n{texts['warnings']}"
        yield from (f"\n- {warning}" for warning in warnings)


def _way(understood: Understood, question: Question, texts: dict[str, str], neighbours: Neighbours) -> Iterator[str]:
    """The nearest centers from the person's default place; location away costs this part of the answer alone."""
    place = question.place
    if place is None:
        yield texts["away" if question.place_away else "no_place"]
        return
    try:
        centers = neighbours.nearest(place, understood.items[0].category if understood.items else None)
    except Unavailable:
        yield texts["away"]
        return
    if not centers:
        yield texts["no_center"].format(place=place.name)
        return
    yield texts["centers"].format(place=place.name)
    for number, center in enumerate(centers, 1):
        yield "\n" + texts["center"].format(
            number=number, name=center.name, distance=_distance(center), address=center.address
        )


def _distance(center: Center) -> str:
    return (
        f"{center.distance_m / 1000:.1f} km" if center.distance_m >= 1000 else f"{round(center.distance_m, -1):.0f} m"
    )
