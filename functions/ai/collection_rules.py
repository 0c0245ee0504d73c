"""The rules for what is asked of no single thing, but of a bag or of what is collected: food waste, recyclables."""

import re

from functions.ai.asking import Asking
from functions.ai.understood import Understood
from functions.ai.vocabulary import COLLECTIONS, TOPICS, WHERE

# "봉투가 꽉 찼는데", "20리터에 꾹꾹 눌러 담고"
_BAG = re.compile(r"(?<![가-힣]\s)(?<![가-힣])봉투[가에를]?\s|\d\s?리터")
# What a bag and what is in it are called.
_BAGS = ("봉투", "봉지", "음식물 쓰레기")


def food_waste_itself(ask: Asking) -> Understood | None:
    """ "음식물 쓰레기 물기 빼야 해?": the bin's name is the thing, where more is asked of it than whether it goes there."""
    scene = ask.scene
    more = set(scene.facts.aspects) - WHERE
    if scene.named or scene.leans or "food" not in scene.facts.aspects or not (more and scene.mentioned):
        return None
    items = ask.called("음식물 쓰레기")
    return ask.understood("food_waste_itself", items, aspects=_beside("food", scene.aspects)) if items else None


def bag_itself(ask: Asking) -> Understood | None:
    """ "종량제봉투에 넘치게 담아도 돼?": how full the bag may be, whatever holds it together."""
    scene = ask.scene
    bag = "bag" in scene.facts.aspects or _BAG.search(scene.facts.text)
    if not (bag or "food" in scene.facts.aspects) or not TOPICS.overfull.within(scene.facts.text):
        return None
    items = ask.called("종량제봉투" if bag else "음식물 쓰레기봉투")
    # How full it may be is neither yes nor no to what is done to it.
    return ask.understood("bag_itself", items, aspects=("tied",), polar=False) if items else None


def another_bag(ask: Asking) -> Understood | None:
    """ "까만 봉지에 쓰레기 담아 내놔도 되나요?": waste in a bag that is none of its own."""
    text = ask.scene.facts.text
    if not ask.scene.facts.polar:
        return None
    if TOPICS.food_in_bag.within(text) and all(one.item.name.endswith(_BAGS) for one in ask.scene.named):
        # "음식물 쓰레기는 전용 봉투에 버려야 해?"
        name, aspect = "음식물 쓰레기", "bag"
    elif TOPICS.other_bag.within(text):
        name, aspect = "종량제봉투", "wrapped"
    else:
        return None
    items = ask.called(name)
    return ask.understood("another_bag", items, aspects=(aspect,)) if items else None


def collection_itself(ask: Asking) -> Understood | None:
    """ "재활용품 씻어야 돼?", "종량제봉투 두 장에 나눠 내도 돼?": no thing is named, and a bag or what is collected is."""
    scene, fact = ask.scene, ask.scene.facts
    more = set(scene.aspects) - WHERE
    if not scene.about or scene.leans or not (fact.polar or fact.open or more or fact.cases):
        return None
    said = [(match.start(), -len(match[0]), one) for one in COLLECTIONS for match in one.words.all(fact.text)]
    if not said:
        return None
    collection = min(said, key=lambda one: one[:2])[2]
    if not collection.item:
        asked = scene.aspects if fact.polar or more else ()
        return ask.understood("collection_itself", aspects=asked, collection=collection)
    items = ask.called(collection.item)
    asked = _beside(collection.own, scene.aspects)
    return ask.understood("collection_itself", items, aspects=asked) if items else None


def _beside(own: str, aspects: tuple[str, ...]) -> tuple[str, ...]:
    """What is asked beside where it goes, then another bin than its own: that food waste is food waste is not asked."""
    return tuple(sorted((one for one in aspects if one != own), key=WHERE.__contains__))
