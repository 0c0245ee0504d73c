"""The embedded question provider: answers made of recycle-info's own lines, and nothing else.

It says what the items' rules say about the things that a question names, asks back when it knows none of them, and declines
what is not about throwing things away. There is no model that could invent a rule.
"""

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from functions.ai import understanding
from functions.ai.interfaces import Answer, Question
from functions.ai.retrieval import Center, Item, Neighbours
from functions.ai.understanding import Language
from shared.errors import Unavailable
from shared.messages import Answered, Source, Turn

MOST_ITEMS = 4
"""Things answered at once; a longer list is nobody's question."""

# Items looked at for the things that a question names: a short name in a long question has a small score.
_MANY = 40
# Letters of a remark: a longer text says itself what it is about.
_REMARK = 40
# A search score from which a thing is meant though its name is not written as ours are ("패트병", "frying pans").
_MEANT = 0.62
_GUESSED = 0.35
# A score from which an item found for "<thing> <part>" may be that part.
_PART = 0.35


class Understood(Struct, frozen=True):
    """What a question is about: things, the part of a thing, and whether it asks for a way or for nothing of ours."""

    language: Language
    items: tuple[Item, ...] = ()
    part: tuple[str, str] | None = None
    near: bool = False
    on_topic: bool = True
    guesses: tuple[Item, ...] = ()


def understand(question: Question, neighbours: Neighbours) -> Understood:
    """Read a question with its history. One search as a rule; a follow-up costs one or two more.

    Raises:
        Unavailable: recycle-info is away.
    """
    text = understanding.asked(question.text)
    said = [turn.content for turn in question.history if turn.role == "user"]
    language = understanding.language(question.text, said[::-1])
    near = understanding.about_a_way(text)
    found = neighbours.search(text, _MANY)
    mentioned = understanding.mentions(text, found)
    named = understanding.things(mentioned, text, follows=bool(said))[:MOST_ITEMS]
    near = near and bool(named or understanding.about_our_place(text))
    about = understanding.about_disposal(text) or near
    only_parts = all(understanding.is_part(text[mention.start : mention.end]) for mention in named)
    alone = understanding.stands_alone(text)
    # A remark that names nothing new is about what was spoken of: "기름이 많이 묻었으면?"
    remark = not named and len(text) <= _REMARK and (not alone or understanding.plainly_about(text, mentioned))
    leans = bool(said) and (remark or understanding.follows(text) or (bool(named) and only_parts and not alone))
    part_named = named[0].item if leans and named and only_parts else None
    if leans:
        # "And the cap?" after a bottle asks for no headgear.
        named = [mention for mention in named if not understanding.is_part(text[mention.start : mention.end])]
    plainly = understanding.plainly_about(text, named)
    if understanding.only_bins(named, text) and not plainly:
        named = []
    both = understanding.part_and_whole(named, text)
    on_topic = about or plainly or both or understanding.about_waste(text) or understanding.only_names(named, text)
    if named and not on_topic and said and len(text) <= _REMARK:
        # "두유팩도 똑같아?"
        on_topic = bool(_topic(question.history, neighbours))
    if understanding.about_something_else(text, follows=leans and not named) or (named and not on_topic):
        return Understood(language, near=near, on_topic=False)
    if both is not None:
        part_named = both[0].item
        named = [mention for mention in named if mention is not both[0]]
    wanted = understanding.part(text, named)
    items = [mention.item for mention in named]
    if (
        not items
        and wanted is None
        and found
        and found[0].score >= _MEANT
        and (about or not leans)
        and not (leans and plainly)
    ):
        items = [found[0]]
    if wanted is not None or not items:
        topic = items or (_topic(question.history, neighbours) if leans or plainly else [])
        if wanted is not None and topic:
            return Understood(language, *_parted(topic[0], wanted, part_named, neighbours), near=near)
        if not items and topic and (kind := understanding.kind(text)):
            topic = _of_kind(topic[0], kind, neighbours)
        items = topic
    guesses = tuple(item for item in found[:3] if item.score >= _GUESSED) if not items else ()
    if not items and not about and not (guesses and " " not in text):
        return Understood(language, on_topic=False)
    return Understood(language, tuple(items), near=near, guesses=guesses)


def _topic(history: Sequence[Turn], neighbours: Neighbours) -> list[Item]:
    """What the conversation is about, for a question that leans on it."""
    for turn in reversed([turn for turn in history if turn.role == "user"][-4:]):
        before = understanding.asked(turn.content)
        found = neighbours.search(before, _MANY)
        named = understanding.things(understanding.mentions(before, found), before)
        if not (understanding.about_disposal(before) or understanding.plainly_about(before, named)):
            continue
        if named:
            return [mention.item for mention in named[:MOST_ITEMS]]
        if found and found[0].score >= _MEANT:
            return [found[0]]
    return []


def _parted(
    whole: Item, wanted: tuple[str, str], named: Item | None, neighbours: Neighbours
) -> tuple[tuple[Item, ...], tuple[str, str] | None]:
    """The item that is the part itself, where there is one; else the thing, of which only the part's lines are said.

    `named` is an item that goes by the part's name, which may be another thing altogether (a cap is headgear too).
    """
    part, word = wanted
    if any(understanding.speaks_of(name, part) for name in (whole.name, whole.name_en or "")):
        return (whole,), None
    # A bottle of glass has another cap than one of plastic: the thing's own collection first.
    found = sorted(neighbours.search(f"{whole.name} {word}", 8), key=lambda item: item.category != whole.category)
    for item in found:
        parts_name = any(understanding.speaks_of(name, part) for name in (item.name, item.name_en or ""))
        if parts_name and item.score >= _PART and _kin(whole, item):
            return (item,), None
    if named is not None and named.category == whole.category:
        return (named,), None
    return (whole,), wanted


# What things are made of makes no kin.
_STUFF = {
    "paper",
    "plastic",
    "glass",
    "metal",
    "pet",
    "disposable",
    "종이",
    "플라스틱",
    "유리",
    "금속",
    "비닐",
    "일회용",
}


def _kin(whole: Item, part: Item) -> bool:
    """Whether the part's names speak of the whole thing: 페트병 뚜껑 of 생수병, by a name they share a beginning with."""
    words = {word for name in whole.names() for word in understanding.plain(name).split()} - _STUFF
    return any(word in understanding.plain(name) for name in part.names() for word in words if len(word) > 1)


def _of_kind(topic: Item, kind: str, neighbours: Neighbours) -> list[Item]:
    """The thing of another kind than the one named before, where there is such an item; else that one."""
    for base in reversed(topic.name.split()):
        for item in neighbours.search(f"{kind} {base}", 5):
            if any(name.startswith(kind) and base in name for name in item.names()):
                return [item]
    return [topic]


class EmbeddedQuestions:
    """The provider."""

    provider = "embedded"
    model = "items-1"

    def __init__(self, neighbours: Neighbours) -> None:
        self._neighbours = neighbours

    def answer(self, question: Question, token: Callable[[str], None]) -> Answer:
        """See `interfaces.QuestionProvider`; never raises ProviderFailed."""
        return say(understand(question, self._neighbours), question, token, self._neighbours)


def say(understood: Understood, question: Question, token: Callable[[str], None], neighbours: Neighbours) -> Answer:
    """The embedded answer to a question that is understood already."""
    pieces: list[str] = []
    for piece in _say(understood, question, neighbours):
        pieces.append(piece)
        token(piece)
    sources = [Source(item.id, item.name) for item in understood.items]
    record = Answered(sources, EmbeddedQuestions.provider, EmbeddedQuestions.model, understood.language)
    return Answer("".join(pieces), record)


_TEXTS = {
    "ko": {
        "steps": "버리는 방법",
        "warnings": "하지 말아야 할 것",
        "part": "{name}의 {part}:",
        "off": "저는 쓰레기를 나누어 버리는 방법만 알려 드릴 수 있어요. 버리려는 물건의 이름을 말씀해 주세요.",
        "ask": "어떤 물건인지 잘 모르겠어요. 이름이나 재질을 조금 더 알려 주세요.",
        "guess": "어떤 물건인지 잘 모르겠어요. 혹시 {names} 중 하나인가요?",
        "guess_one": "어떤 물건인지 잘 모르겠어요. 혹시 {names}인가요?",
        "centers": "‘{place}’에서 가까운 수거 장소예요.",
        "center": "{number}. {name} ({distance}) — {address}",
        "no_place": "가까운 수거 장소를 찾으려면 먼저 ‘내 장소’에서 기본 장소를 정해 주세요.",
        "no_center": "‘{place}’ 가까이에는 알려진 수거 장소가 없어요.",
        "away": "지금은 수거 장소를 찾아볼 수 없어요. 잠시 뒤에 다시 물어봐 주세요.",
    },
    "en": {
        "steps": "How to put it out",
        "warnings": "What not to do",
        "part": "{name}, {part}:",
        "off": "I can only help with sorting and throwing away waste. Tell me the name of the thing you want to get rid of.",
        "ask": "I don't know which thing you mean. Tell me a little more about its name or material.",
        "guess": "I don't know which thing you mean. Is it one of these: {names}?",
        "guess_one": "I don't know which thing you mean. Is it {names}?",
        "centers": "Collection points close to “{place}”:",
        "center": "{number}. {name} ({distance}) — {address}",
        "no_place": "To find a collection point near you, first choose a default place in “My places”.",
        "no_center": "No collection point is known close to “{place}”.",
        "away": "I can't look up collection points right now. Please ask again in a little while.",
    },
}
FIXED = frozenset(text for texts in _TEXTS.values() for text in texts.values())
"""Every sentence that this provider may say beside the items' own lines."""
OFF_TOPIC = frozenset(texts["off"] for texts in _TEXTS.values())


def _say(understood: Understood, question: Question, neighbours: Neighbours) -> Iterator[str]:
    texts = _TEXTS[understood.language]
    if not understood.on_topic:
        yield texts["off"]
        return
    if understood.near:
        yield from _way(understood, question, texts, neighbours)
        if understood.items:
            yield "\n\n"
    for number, item in enumerate(understood.items):
        yield from ("\n\n",) if number else ()
        yield from _rules(item, understood)
    if not understood.items and not understood.near:
        names = ", ".join(item.called(understood.language) for item in understood.guesses)
        yield texts["ask" if not names else "guess" if len(understood.guesses) > 1 else "guess_one"].format(names=names)


def _rules(item: Item, understood: Understood) -> Iterator[str]:
    """One item's own lines: of the part asked about, or all."""
    language, texts = understood.language, _TEXTS[understood.language]
    name, description = item.called(language), item.described(language)
    steps, warnings = item.steps(language), item.warnings(language)
    if understood.part is not None:
        part, word = understood.part
        lines = [line for line in (description, *steps, *warnings) if understanding.speaks_of(line, part)]
        if lines:
            yield texts["part"].format(name=name, part=word)
            yield from (f"\n- {line}" for line in lines)
            return
    yield f"{name}: {description}" if description else name
    if steps:
        yield f"\n\n{texts['steps']}"
        yield from (f"\n{number}. {step}" for number, step in enumerate(steps, 1))
    if warnings:
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
