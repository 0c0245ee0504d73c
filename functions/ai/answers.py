"""The embedded answer in words: the line that answers first, then the steps; recycle-info's own lines and few fixed sentences."""

import re
from collections.abc import Iterator

from functions.ai import parts, photo_answers, polarity
from functions.ai.interfaces import Question
from functions.ai.retrieval import Category, Center, Item, Neighbours, Rules
from functions.ai.short_answers import answering, of_kind, outdoors, said_later
from functions.ai.understood import Understood
from functions.ai.vocabulary import ASPECTS, COLLECTIONS, TEXTS
from shared.errors import Unavailable
from shared.waste_types import RECYCLED

_COLLECTED = [line for one in COLLECTIONS for lines in one.answers.values() for line in lines.values()]
FIXED = frozenset([*(text for texts in TEXTS.values() for text in texts.values()), *_COLLECTED])
"""Every sentence of ours beside the items' own lines, the situations' lines and the yes or no before one."""
_NO_QUESTION = ("greeted", "thanked", "despairs")
OFF_TOPIC = frozenset(texts[name] for texts in TEXTS.values() for name in ("off", *_NO_QUESTION))


def say(understood: Understood, question: Question, neighbours: Neighbours) -> Iterator[str]:
    """The answer's pieces, in their order."""
    texts = TEXTS[understood.language]
    if not understood.on_topic:
        yield texts[understood.rule if understood.rule in _NO_QUESTION else "off"]
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
        return [" ".join([understood.situation.line(understood.language), *_beside_danger(understood)])]
    if understood.unknown is not None:
        return _unknown(understood, question, texts)
    if understood.not_taken and understood.category is not None:
        return understood.category.warnings(understood.language)
    if understood.collection is not None:
        return [_of_collection(understood.collection.answers, understood)]
    if "outdoors" in understood.aspects and len(understood.items) != 1:
        return [outdoors(understood)]
    lines = photo_answers.said(understood, texts) if understood.photo is not None else []
    if len(understood.items) == 1 and not understood.why:
        item = understood.items[0]
        said = answering(item, understood) or _apart(item, understood)
        if understood.reason and understood.part is None and (reason := item.reason(understood.language)):
            said = [reason, *said]
        part = understood.part
        lines = [*(line for line in said if part is None or parts.speaks_of(line, part[0])), *lines]
    elif understood.category is not None and not (understood.why or understood.said_type):
        lines = [*of_kind(understood.category, understood), *lines]
    if (
        len(understood.items) > 1
        and understood.polar
        and (understood.together or understood.apart)
        # "캔이랑 부탄가스 같이 버리면 위험해?": a yes would be to the danger.
        and not ASPECTS["safe"].within(understood.text)
    ):
        lines += _together(understood, texts)
    return lines


def _beside_danger(understood: Understood) -> list[str]:
    """The no to what was asked for with it: "라이터 가스 남았는데 종량제에 넣어도 되나요".

    A yes is of the thing as it mostly is, and never said beside a danger.
    """
    # "분해하면 감전되나요": a no would be to the danger.
    if not understood.polar or len(understood.items) != 1 or ASPECTS["safe"].within(understood.text):
        return []
    said = answering(understood.items[0], understood)[:1]
    return [line for line in said if polarity.is_worded(line) and not polarity.affirms(line)]


def _of_collection(answers: dict[str, dict[str, str]], understood: Understood) -> str:
    aspect = next((one for one in answers if one in understood.aspects), "any")
    return polarity.answered(answers[aspect][understood.language], aspect, understood)


def _apart(item: Item, understood: Understood) -> list[str]:
    """ "페트병 따로 안 모아도 되잖아!": whether a thing is collected by itself, as its description says."""
    line = item.described(understood.language)
    if not (understood.polar and line and _BY_ITSELF.search(understood.text)):
        return []
    by_itself = _APART.search(item.described("ko")) is not None
    if not (by_itself or polarity.to_general(line)):
        return []
    return [polarity.worded(line, by_itself, understood, "tied")]


def _together(understood: Understood, texts: dict[str, str]) -> list[str]:
    """Whether the things go to the same place; nothing where they are of one kind and some have another way as well."""
    # "같이 내는 거 아니죠?"; "안 되나요?" is answered as it is put.
    asks_apart = (not understood.together) != (understood.negated and not understood.barred)
    apart = {bool(_APART.search(item.described("ko"))) for item in understood.items}
    if len({item.category for item in understood.items}) > 1 or len(apart) > 1:
        return [texts["apart_yes" if asks_apart else "apart"]]
    first, *others = [set(item.bins) for item in understood.items]
    if not any(first & other for other in others):
        return [texts["apart_yes" if asks_apart else "apart"]]
    # Of general waste some burn and some do not; of a kind that is collected some have another way as well.
    same = all(first == other for other in others) or understood.items[0].category in {*RECYCLED, "food"}
    return [texts["together_no" if asks_apart else "together"]] if same else []


# "종이컵은 … 다른 종이와 섞이지 않게": of one kind, and still apart.
_BY_ITSELF = re.compile(
    r"따로 (?:안 )?(?:모|버|내|배출)|\b(?:go|goes|collected|put out|thrown away) (?:separately|apart)\b"
)
_APART = re.compile("섞이지 않게|섞지 않고|따로 모|(?:다른 플라스틱과|투명 페트병으로) 따로")


def _unknown(understood: Understood, question: Question, texts: dict[str, str]) -> list[str]:
    """That we don't know, and who does; a free pickup is known, so it comes first."""
    assert understood.unknown is not None
    language = understood.language
    line = texts[understood.unknown.text].format(what=understood.unknown.what(language), who=who(question, texts))
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


def _item(item: Item, understood: Understood, *, many: bool) -> Iterator[str]:
    """One item's own lines: of the part asked about, or all; among several things each answers first."""
    language, texts = understood.language, TEXTS[understood.language]
    name, description = item.called(language), item.described(language)
    if understood.part is not None:
        part, word = understood.part
        lines = [line for line in (description, *item.steps(language), *item.warnings(language)) if line]
        if lines := [line for line in lines if parts.speaks_of(line, part)]:
            yield texts["part"].format(name=name, part=word, line=lines[0])
            yield from (f"\n- {line}" for line in lines[1:])
            return
    answers = answering(item, understood) if many else []
    if answers:
        yield texts["said"].format(name=name, line=answers[0])
        yield from (f"\n{line}" for line in (*answers[1:], description) if line)
    else:
        yield f"{name}: {description}" if description else name
        yield from (f"\n{line}" for line in said_later(item, understood))
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
    tens = round(center.distance_m, -1)
    return f"{tens:.0f} m" if tens < 1000 else f"{center.distance_m / 1000:.1f} km"
