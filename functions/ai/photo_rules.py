"""The rule for a question that is about its photo."""

from functions.ai import bins, parts
from functions.ai.asking import Asking
from functions.ai.understood import Understood
from shared.messages import Photo


def about_the_photo(ask: Asking) -> Understood | None:
    """A question that comes with a photo and names no other thing is about what the photo shows."""
    photo, scene = ask.question.photo, ask.scene
    named = [one for one in scene.things if not parts.is_part(one.words(scene.facts.text))]
    elsewhere = named and not scene.facts.isnt and (scene.facts.turns or not scene.facts.refers)
    # "플라스틱이야" of a photo that showed nothing tells what it is.
    told = photo is not None and photo.waste_type == "unknown" and scene.facts.short and not named
    said_type = bins.said_type(scene.facts.text) if scene.facts.isnt or told else None
    still = photo is not None and (_still_about(ask, photo) or (told and said_type and photo.turns_ago == 1))
    if photo is None or elsewhere or (photo.turns_ago and not still):
        return None
    seen = said_type if said_type and said_type != photo.waste_type else photo.waste_type
    said_type = seen if seen != photo.waste_type else None
    items = ask.photographed(photo) if said_type is None else []
    category = ask.neighbours.category(seen) if seen and not items and photo.status == "success" else None
    return ask.understood(
        "about_the_photo",
        items,
        photo=photo,
        category=category,
        why=scene.facts.why and not _ASPECTS_OF_PHOTO & set(scene.facts.aspects),
        said_type=said_type,
    )


def _still_about(ask: Asking, photo: Photo) -> bool:
    """Whether a question is about the photo of an earlier one: it leans on it, and nothing else was spoken of since."""
    fact = ask.scene.facts
    if fact.elsewhere or fact.figurative or not (ask.scene.leans or fact.why or fact.isnt):
        return False
    since = fact.said[len(fact.said) - photo.turns_ago + 1 :] if photo.turns_ago > 1 else ()
    return not any(ask.names_a_thing(text) for text in since)


# "이거 씻어야 되는 거 맞아?" asks for no reason.
_ASPECTS_OF_PHOTO = {"rinse", "label", "lid", "toilet", "drain", "rain", "crush", "wrapped", "battery", "data"}
