"""The rule for what is dangerous, and what it goes by: the text, the thing's own name, what was spoken of or shown."""

from functions.ai import dangers, lists
from functions.ai.asking import Asking
from functions.ai.facts import plain
from functions.ai.understood import Understood
from functions.ai.vocabulary import MATERIALS, SITUATIONS, Situation


def in_danger(ask: Asking) -> Understood | None:
    """Something dangerous: its line comes first, whatever else is asked."""
    situation = ask.scene.facts.situation or _danger_of_before(ask) or _danger_by_name(ask)
    return (_heard(ask, situation) if situation else None) or _judged(ask)


def _judged(ask: Asking) -> Understood | None:
    """ "코가 매워": no words of ours, and still a danger by how it is written. Rules follow of what is named, or else of
    what is dangerous by its kind.
    """
    asks = ask.scene.leans or (bool(ask.scene.named) and ask.scene.on_topic)
    name = dangers.judged(ask.question.text, asks=asks)
    if name is None:
        return None
    situation = next(one for one in SITUATIONS if one.name == name)
    items = [one.item for one in ask.scene.things]
    if not items and situation.instead:
        items = ask.called(situation.item)
    return ask.understood("in_danger", () if situation.always else items, situation=situation, near=False)


def _heard(ask: Asking, situation: Situation) -> Understood | None:
    """Words of a danger, where it is one of what is thrown away."""
    if situation.always:
        return ask.understood("in_danger", situation=situation, near=False)
    if ask.scene.elsewhere and not ask.scene.about and not ask.scene.facts.state:
        return None
    items = [one.item for one in ask.scene.named]
    special = ask.called(situation.item) if situation.item else []
    if special:
        # "유리 깨진 거": a material says nothing against what the danger is about.
        items = [one.item for one in ask.scene.things]
    if special and situation.instead:
        # The thing as it is now has rules of its own: a swollen battery does not belong in the battery box.
        dangers = [item for item in items if situation.there(plain(" ".join(item.names())))]
        # "medicine and syringes" are two things to be rid of.
        listed = any(len(run) > 1 for run in lists.runs(ask.scene.things, ask.scene.facts.text))
        items = items if dangers and listed else dangers or special
    if not items and not special and not ask.scene.about:
        return None
    return ask.understood("in_danger", items or special, situation=situation)


def _danger_by_name(ask: Asking) -> Situation | None:
    """ "드라이아이쓰", "칼 신문지에 싸면": the thing's own name says what is dangerous about throwing it away."""
    text = ask.scene.facts.text
    if ask.scene.elsewhere:
        return None
    texts = [f"{plain(one.item.name)} 버려 {text}" for one in ask.scene.named]
    return next((danger for name in texts for danger in SITUATIONS if danger.there(name)), None)


def _danger_of_before(ask: Asking) -> Situation | None:
    """ "깨진 건?" after a lamp, or about the photo of one."""
    fact, photo = ask.scene.facts, ask.question.photo
    # "마셨으면?" after a pesticide
    if not (fact.cases or (fact.said and fact.short)) or ask.scene.things or not (ask.scene.leans or photo):
        return None
    names = [item.name for item in ask.topic] if photo is None or photo.turns_ago else []
    if photo is not None and not names:
        kind = MATERIALS.get(photo.waste_type or "")
        names = [item.name for item in ask.photographed(photo)] or (kind.ko[:1] if kind else [])
    both = [(plain(name), f"{plain(name)} {fact.text}") for name in names]
    return next((one for one in SITUATIONS for name, all_ in both if one.there(all_) and not one.there(name)), None)
