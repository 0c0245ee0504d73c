"""The rules for what is said after a thing and names none: it turns to something else, or is about what was spoken of."""

from functions.ai import bins, rest, topic
from functions.ai.asking import Asking
from functions.ai.understood import Understood

# Letters that a name has at least.
_NAME = 2


def turned_to_something_else(ask: Asking) -> Understood | None:
    """ "정치 얘기 해줘" after a thing: it names nothing, and asks nothing of what was spoken of."""
    scene = ask.scene
    says_more = (
        scene.first or scene.about or scene.aspects or scene.facts.cases or scene.facts.polar or ask.question.photo
    )
    if not scene.leans or says_more or len(rest.name_alone(scene.facts.text)) < _NAME:
        return None
    if not topic.about_something_else(ask.question.text):
        return None
    return ask.understood("turned_to_something_else", on_topic=False, near=False)


def asked_of_what_was_spoken_of(ask: Asking) -> Understood | None:
    """ "비닐에 싸서 버려도 돼?" after a thing: it is asked whole, and names nothing but what is done with a thing."""
    scene = ask.scene
    left = rest.name_alone(scene.facts.text).split()
    if not (scene.facts.said and scene.facts.short and scene.about) or any(
        len(word) > 1 and not bins.is_bin(word) for word in left
    ):
        return None
    items = ask.topic()
    return ask.understood("asked_of_what_was_spoken_of", items) if items else None


def whatever_was_spoken_of(ask: Asking) -> Understood | None:
    """ "의류수거함 안 들어간다는 거지?", "기사님이 가져가나?" after a thing: short, names none, and about nothing else."""
    scene = ask.scene
    if not (scene.facts.said and scene.facts.short and scene.facts.says) or scene.things or scene.elsewhere:
        return None
    if topic.about_something_else(ask.question.text):
        return None
    items = ask.topic() or [one.item for one in scene.first] or ask.named_before()
    return ask.understood("whatever_was_spoken_of", items) if items else None
