"""The rule for a part of a thing: the part's own item, or the thing's lines about it."""

import re
from typing import Any

from msgspec import Struct

from functions.ai import bins, lists, parts
from functions.ai.asking import Asking
from functions.ai.facts import plain, what_if
from functions.ai.mentions import Mention
from functions.ai.retrieval import Item, Neighbours
from functions.ai.scene import Scene
from functions.ai.understood import Understood
from functions.ai.vocabulary import ASPECT_OF_PART, KINLESS, KOREAN_OF, PART_WORDS, PARTS, ROLES, WHERE

# A score from which an item found for "<thing> <part>" may be that part.
_PART = 0.35


class _Asked(Struct, frozen=True):
    """A part in a question, with the things that it may belong to."""

    ask: Asking
    kind: str
    word: str
    whole: list[Item]
    """The things that the question names."""
    topic: list[Item]
    """The things named, or what was spoken of."""

    @property
    def scene(self) -> Scene:
        return self.ask.scene

    @property
    def one(self) -> Item | None:
        """The thing, where it is but one."""
        return self.topic[0] if len(self.topic) == 1 else None

    @property
    def named(self) -> Item | None:
        """The item that goes by the part's name."""
        scene = self.scene
        if scene.both:
            return scene.both[0].item
        return scene.first[0].item if scene.leans and scene.first and not scene.named else None

    def of_whole(self, **more: Any) -> Understood:
        return self.ask.understood("part_of_a_thing", self.topic, **more)


def part_of_a_thing(ask: Asking) -> Understood | None:
    """A part of a thing named here or before: the part's own item, or the thing's lines about it."""
    scene = ask.scene
    if scene.part is None or _WRAPPING.search(scene.facts.text):
        return None
    whole = [_container(ask, one, scene.part[0]) for one in scene.named] or ask.meant()
    topic = whole or (ask.topic if scene.leans or scene.plainly else [])
    if not topic:
        return None
    asked = _Asked(ask, *scene.part, whole, topic)
    return next((found for rule in _ABOUT_THE_WHOLE if (found := rule(asked)) is not None), None) or _by_itself(asked)


def _container(ask: Asking, one: Mention, part: str) -> Item:
    """What the food came in, of whose cap is asked: "마요네즈 뚜껑", "아이스크림 뚜껑"; else the thing itself."""
    if one.item.category != "food" or part not in _OF_CONTAINERS:
        return one.item
    for held in _CONTAINERS:
        best = ask.neighbours.named(f"{one.words(ask.scene.facts.text)} {held}")
        if best and best.category != "food":
            return best
    return one.item


_CONTAINERS = ("통", "병", "용기")
_OF_CONTAINERS = {"cap", "label", "pump", "film"}
# "비닐에 싸서?" asks of no part.
_WRAPPING = re.compile(rf"{PARTS['film'].source}(?:으?로|에)\s*(?:잘\s*)?{ROLES.wrapped.source}")


def _stickers(asked: _Asked) -> Understood | None:
    """ "의자 네 개 버리는데 스티커 몇 장 붙여요?": those of a pickup."""
    ours = asked.one and "tied" in asked.one.answers and "tied" in asked.scene.aspects
    return asked.of_whole(aspects=("tied",)) if ours else None


def _goes_along(asked: _Asked) -> Understood | None:
    """ "가방 지퍼 고장났는데 의류수거함에 넣어도 돼?", "배터리 분리 안 되는 무선이어폰": the whole thing goes."""
    if len(asked.whole) != 1:
        return None
    scene = asked.scene
    never_alone = asked.kind in _NEVER_ALONE and scene.bin and not _ITSELF.search(scene.facts.text)
    stuck = "stuck" in scene.facts.cases and not parts.is_part(plain(asked.whole[0].name))
    return asked.of_whole() if never_alone or stuck else None


def _to_be_done(asked: _Asked) -> Understood | None:
    """What to do with a part: "페트병 라벨 떼야 해?" is answered by the bottle; "라벨은 어디에?" by the label."""
    fact, one = asked.scene.facts, asked.one
    # "전기장판 코드 자르고 버려야 하나": whether any part comes off.
    aspect = ASPECT_OF_PART[asked.kind] or ("separate" if asked.whole and "separate" in asked.scene.aspects else "")
    done = (fact.state or fact.polar or what_if(fact.text)) and not fact.asks_where
    if not (done and one) or _goes(asked.scene) or (fact.apart and _in_list(asked)):
        return None
    # "오렌지 껍질에 붙은 스티커 떼야 돼?"
    told = bool(asked.whole) and fact.polar and aspect and _told(one, asked.kind)
    return asked.of_whole(aspects=(aspect,)) if aspect in one.answers or told else None


def _stays_on(asked: _Asked) -> Understood | None:
    """ "빨대 꽂은 채 버려도 돼?" """
    if not (asked.scene.facts.still_on and asked.one):
        return None
    aspects = asked.scene.aspects or (ASPECT_OF_PART[asked.kind] or "separate",)
    return asked.of_whole(part=(asked.kind, asked.word), aspects=aspects)


_ABOUT_THE_WHOLE = (_stickers, _goes_along, _to_be_done, _stays_on)


def _by_itself(asked: _Asked) -> Understood:
    """The part's own item where there is one, beside the whole in a list ("컵라면 용기랑 뚜껑 어디에")."""
    fact, whole = asked.scene.facts, asked.whole
    if of_stuff := _of_stuff(asked):
        return asked.ask.understood("part_of_a_thing", of_stuff)
    items, part = _parted(asked.topic[0], (asked.kind, asked.word), asked.named, asked.ask.neighbours)
    if part is not None and fact.polar and "separate" in asked.scene.aspects and "separate" in items[0].answers:
        # "쇼핑백 끈 떼야 돼?"
        return asked.ask.understood("part_of_a_thing", items, aspects=("separate",))
    if part is not None and fact.polar and asked.scene.bin and not _anywhere(items[0], asked.kind):
        # "칫솔 손잡이는 플라스틱이야?": of what says nothing about the part, the whole goes.
        return asked.of_whole()
    if whole and (fact.apart or not fact.polar) and _in_list(asked):
        both = [*whole, *(one for one in items if one not in whole)]
        return asked.ask.understood("part_of_a_thing", both, aspects=())
    return asked.ask.understood("part_of_a_thing", [*items, *asked.topic[1:]], part=part)


def _in_list(asked: _Asked) -> bool:
    """ "복숭아 껍질이랑 씨는 따로 버려야 해?": whether the part stands beside the thing in a list."""
    return lists.joined(asked.scene.named[-1:], asked.word, asked.scene.facts.text)


def _of_stuff(asked: _Asked) -> list[Item]:
    """ "냄비는 알겠고 유리 뚜껑은?": the part of what it is said to be of, where there is such an item."""
    said = re.search(rf"({_STUFF})(?:로 된)?\s?{re.escape(asked.word)}", asked.scene.facts.text)
    if said is None:
        return []
    found = asked.ask.neighbours.search(f"{said[1]} {asked.topic[0].name} {asked.word}", 3)
    names = ((item, plain(item.name)) for item in found)
    return [item for item, name in names if name.startswith(said[1]) and name.endswith(asked.word)][:1]


_STUFF = rf"(?:유리|플라스틱|{ROLES.matter.source})"


def _anywhere(item: Item, part: str) -> bool:
    """Whether any line of the thing speaks of the part."""
    said = [answer.get("ko", "") for answer in item.answers.values()]
    return any(parts.speaks_of(line, part) for line in (item.described("ko"), *item.steps("ko"), *said))


def _told(item: Item, part: str) -> bool:
    """Whether a step of the thing itself is about the part."""
    return any(parts.speaks_of(line, part) for line in item.steps("ko")) and not item.name.endswith(
        tuple(PART_WORDS[part])
    )


# Parts that tell how a thing is; none is thrown away alone, unless it is what is asked about: "손잡이는 플라스틱에 버려?"
_NEVER_ALONE = {"zipper", "button", "handle", "string"}
_ITSELF = re.compile(rf"(?:{'|'.join(PARTS[kind].source for kind in sorted(_NEVER_ALONE))})[은는도만]")


def _goes(scene: Scene) -> bool:
    """Whether it is asked where the part itself goes: "Are coffee cup lids recyclable?"."""
    return not WHERE.isdisjoint(scene.aspects) and _HANDLED.search(scene.facts.text) is None


_HANDLED = re.compile(
    r"[떼뗄뗀빼뺄벗닫열닿붙씌꽂채]|분리|제거|같이|함께|그대로|그냥|\b(?:remov|take|peel|keep|leave|close|on\b|off\b|with)"
)


def _parted(
    whole: Item, wanted: tuple[str, str], named: Item | None, neighbours: Neighbours
) -> tuple[tuple[Item, ...], tuple[str, str] | None]:
    """The item that is the part itself, where there is one; else the thing, of which only the part's lines are said.

    `named` is an item that goes by the part's name, which may be another thing altogether (a cap is headgear too).
    """
    part, word = wanted
    if any(parts.speaks_of(name, part) for name in (whole.name, whole.name_en or "")):
        return (whole,), None
    # A bottle of glass has another cap than one of plastic: the thing's own collection first.
    # "cup lids": names are put together in Korean; a thing that says itself where its part goes needs no item for it.
    told = bins.asked_for(plain(whole.answer(ASPECT_OF_PART[part], "ko")), ())
    # "복숭아 껍질 … 씨도 같이": a part of the same fruit.
    base = parts.AT_END.sub("", whole.name).strip() or whole.name
    query = f"{base} {word if told else KOREAN_OF.get(word, word)}"
    found = sorted(neighbours.search(query, 8), key=lambda item: item.category != whole.category)
    for item in found:
        parts_name = plain(item.name).endswith(tuple(PART_WORDS[part]))
        if parts_name and item.score >= _PART and _kin(whole, item):
            return (item,), None
    if named is not None and named.category == whole.category:
        return (named,), None
    return (whole,), wanted


def _kin(whole: Item, part: Item) -> bool:
    """Whether the part's names speak of the whole thing: 페트병 뚜껑 of 생수병, by a name they share a beginning with."""
    words = {word for name in whole.names() for word in plain(name).split()} - KINLESS
    return any(word in plain(name) for name in part.names() for word in words if len(word) > 1)
