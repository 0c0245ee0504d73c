"""The rule for what the municipality knows, and we do not."""

from functions.ai.asking import Asking
from functions.ai.facts import asked
from functions.ai.understood import Understood
from functions.ai.vocabulary import TOPICS, UNKNOWNS, Unknown


def not_ours_to_know(ask: Asking) -> Understood | None:
    """Fees, fines and days: the municipality's, so never an item that merely sounds alike."""
    unknown = ask.scene.facts.unknown or _unknown_of_before(ask)
    if unknown is None:
        return _fee_of_before(ask)
    text = ask.scene.facts.text
    things = [one for one in ask.scene.things if not unknown.holds(one.start, one.end, text)]
    items = [one.item for one in things] if unknown.item else []
    if unknown.item and not items:
        photo = ask.question.photo
        items = ask.photographed(photo) if photo else ask.topic if ask.scene.leans else []
    return ask.understood("not_ours_to_know", items, unknown=unknown, near=False)


def _unknown_of_before(ask: Asking) -> Unknown | None:
    """ "며칠 걸려?" after a question how to report a thing."""
    fact = ask.scene.facts
    if not (ask.scene.leans and not ask.scene.aspects):
        return None
    before = asked(fact.said[-1])
    if TOPICS.asks_whom.within(fact.text):
        # "그럼 어디다 물어봐?"
        return next((one for one in UNKNOWNS if one.there(before)), None)
    return next((one for one in UNKNOWNS if one.there(f"{before} {fact.text}") and not one.there(before)), None)


def _fee_of_before(ask: Asking) -> Understood | None:
    """ "얼마예요?" after a thing asks for the fee of throwing it away."""
    scene = ask.scene
    if not (scene.facts.money and scene.leans and not scene.named):
        return None
    items = ask.topic
    return ask.understood("not_ours_to_know", items, aspects=("pickup",), near=False) if items else None
