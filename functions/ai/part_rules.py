"""The rule for a part of a thing: the part's own item, or the thing's lines about it."""

import re

from functions.ai import lists, parts
from functions.ai.asking import Asking
from functions.ai.facts import plain, what_if
from functions.ai.retrieval import Item, Neighbours
from functions.ai.scene import Scene
from functions.ai.understood import Understood
from functions.ai.vocabulary import ASPECT_OF_PART, KINLESS, PART_WORDS, PARTS, WHERE

# A score from which an item found for "<thing> <part>" may be that part.
_PART = 0.35


def part_of_a_thing(ask: Asking) -> Understood | None:
    """A part of a thing named here or before: the part's own item, or the thing's lines about it."""
    scene = ask.scene
    if scene.part is None:
        return None
    whole = [one.item for one in scene.named] or ask.meant()
    if not (whole or scene.leans or scene.plainly):
        return None
    topic = whole or ask.topic()
    if not topic:
        return None
    named = scene.both[0].item if scene.both else None
    if named is None and scene.leans and scene.first and not scene.named:
        named = scene.first[0].item
    aspect = ASPECT_OF_PART[scene.part[0]]
    if len(topic) == 1 and "tied" in scene.aspects and not scene.facts.polar and "tied" in topic[0].answers:
        # "의자 네 개 버리는데 스티커 몇 장 붙여요?"
        return ask.understood("part_of_a_thing", topic, aspects=("tied",))
    if len(whole) == 1 and scene.part[0] in _NEVER_ALONE and scene.bin and not _ITSELF.search(scene.facts.text):
        # "가방 지퍼 고장났는데 의류수거함에 넣어도 돼?"
        return ask.understood("part_of_a_thing", whole)
    if "stuck" in scene.facts.cases and len(whole) == 1 and not parts.is_part(plain(whole[0].name)):
        # "배터리 분리 안 되는 무선이어폰": the whole thing goes.
        return ask.understood("part_of_a_thing", whole)
    if len(topic) == 1 and aspect in topic[0].answers and _to_be_done(scene) and not _goes(scene):
        # "페트병 라벨 떼야 해?" is answered by the bottle; "라벨은 어디에?" by the label.
        return ask.understood("part_of_a_thing", topic, aspects=(aspect,))
    if (
        len(whole) == 1
        and scene.facts.polar
        and aspect
        and _to_be_done(scene)
        and _told(whole[0], scene.part[0])
        and not _goes(scene)
    ):
        # "오렌지 껍질에 붙은 스티커 떼야 돼?"
        return ask.understood("part_of_a_thing", whole, aspects=(aspect,))
    if scene.facts.still_on and len(topic) == 1:
        return ask.understood("part_of_a_thing", topic, part=scene.part)
    items, part = _parted(topic[0], scene.part, named, ask.neighbours)
    if part is not None and scene.facts.polar and "separate" in scene.aspects and "separate" in items[0].answers:
        # "쇼핑백 끈 떼야 돼?"
        return ask.understood("part_of_a_thing", items, aspects=("separate",))
    if whole and not scene.facts.polar and lists.joined(scene.named[-1:], scene.part[1], scene.facts.text):
        # "컵라면 용기랑 뚜껑 어디에": both are asked for.
        return ask.understood("part_of_a_thing", [*whole, *(one for one in items if one not in whole)], aspects=())
    return ask.understood("part_of_a_thing", [*items, *topic[1:]] if len(topic) > 1 else items, part=part)


def _told(item: Item, part: str) -> bool:
    """Whether a step of the thing itself is about the part."""
    return any(parts.speaks_of(line, part) for line in item.steps("ko")) and not item.name.endswith(
        tuple(PART_WORDS[part])
    )


def _to_be_done(scene: Scene) -> bool:
    """Whether it is asked what to do with a part, rather than where it goes."""
    return (scene.facts.state or scene.facts.polar or what_if(scene.facts.text)) and not scene.facts.asks_where


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
    found = sorted(neighbours.search(f"{whole.name} {word}", 8), key=lambda item: item.category != whole.category)
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
