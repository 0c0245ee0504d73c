"""What a question is about: an ordered list of named rules over facts that are computed once. The first that fits decides."""

import re
from collections.abc import Callable

from functions.ai import mentions as naming
from functions.ai.facts import asked, plain
from functions.ai.interfaces import Question
from functions.ai.mentions import Mention
from functions.ai.retrieval import Item, Neighbours
from functions.ai.scene import GUESSED, MEANT, PART, Asking, Scene, Understood
from functions.ai.vocabulary import (
    ASPECT_OF_PART,
    BINS,
    KINLESS,
    MATERIAL_WORDS,
    MATERIALS,
    ROLES,
    SITUATIONS,
    TOPICS,
    UNKNOWNS,
    Situation,
    Unknown,
)
from shared.calls import Missing
from shared.messages import Photo


def gives_orders(ask: Asking) -> Understood | None:
    """A text that tells us how to work asks for nothing, unless it asks how to throw a thing away as well."""
    scene = ask.scene
    if scene.facts.orders and not (scene.named and scene.facts.whole):
        return ask.understood("gives_orders", on_topic=False, near=False)
    return None


def thrown_away_in_words(ask: Asking) -> Understood | None:
    """ "나쁜 습관을 버리는 법": nothing that a bin takes."""
    if ask.scene.facts.figurative and not ask.scene.named:
        return ask.understood("thrown_away_in_words", on_topic=False, near=False)
    return None


def greeted(ask: Asking) -> Understood | None:
    """ "안녕?": a greeting without a thing."""
    scene = ask.scene
    says_more = scene.named or scene.about or scene.aspects or scene.facts.cases or scene.facts.refers
    if scene.facts.greets and not says_more:
        return ask.understood("greeted", on_topic=False, near=False)
    return None


def in_danger(ask: Asking) -> Understood | None:
    """Something dangerous: its line comes first, whatever else is asked."""
    situation = ask.scene.facts.situation or _danger_of_before(ask) or _danger_by_name(ask)
    if situation is None:
        return None
    if situation.always:
        return ask.understood("in_danger", situation=situation, near=False)
    if ask.scene.facts.elsewhere and not ask.scene.about and not ask.scene.facts.state:
        return None
    items = [one.item for one in ask.scene.named]
    special = ask.called(situation.item) if situation.item else []
    if special:
        # "유리 깨진 거": a material says nothing against what the danger is about.
        items = [one.item for one in _things(ask.scene)]
    if special and situation.instead and not any(situation.there(plain(" ".join(item.names()))) for item in items):
        # The thing as it is now has rules of its own: a swollen battery does not belong in the battery box.
        items = special
    if not items and not special and not ask.scene.about:
        return None
    return ask.understood("in_danger", items or special, situation=situation)


def _danger_by_name(ask: Asking) -> Situation | None:
    """ "드라이아이쓰", "칼 신문지에 싸면": the thing's own name says what is dangerous about throwing it away."""
    text = ask.scene.facts.text
    if ask.scene.facts.elsewhere:
        return None
    texts = [f"{plain(one.item.name)} 버려 {text}" for one in ask.scene.named]
    return next((danger for name in texts for danger in SITUATIONS if danger.there(name)), None)


def _danger_of_before(ask: Asking) -> Situation | None:
    """ "깨진 건?" after a lamp, or about the photo of one."""
    fact, photo = ask.scene.facts, ask.question.photo
    if not fact.cases or _things(ask.scene) or not (ask.scene.leans or photo):
        return None
    if photo is not None and not photo.turns_ago:
        kind = MATERIALS.get(photo.waste_type or "")
        names = [item.name for item in _photographed(ask, photo)] or (kind.ko[:1] if kind else [])
    else:
        names = [item.name for item in ask.topic()]
    both = [(plain(name), f"{plain(name)} {fact.text}") for name in names]
    return next((one for one in SITUATIONS for name, all_ in both if one.there(all_) and not one.there(name)), None)


def not_ours_to_know(ask: Asking) -> Understood | None:
    """Fees, fines and days: the municipality's, so never an item that merely sounds alike."""
    unknown = ask.scene.facts.unknown or _unknown_of_before(ask)
    if unknown is None:
        return _fee_of_before(ask)
    items = [one.item for one in _things(ask.scene)] if unknown.about_item else []
    if unknown.about_item and not items:
        photo = ask.question.photo
        items = _photographed(ask, photo) if photo else ask.topic() if ask.scene.leans else []
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


def _things(scene: Scene) -> list[Mention]:
    """The things named that are more than a material or a bin."""
    return [one for one in scene.named if not ROLES.where.is_all(scene.facts.text[one.start : one.end])]


def _fee_of_before(ask: Asking) -> Understood | None:
    """ "얼마예요?" after a thing asks for the fee of throwing it away."""
    scene = ask.scene
    if not (scene.facts.money and scene.leans and not scene.named):
        return None
    items = ask.topic()
    return ask.understood("not_ours_to_know", items, aspects=("pickup",), near=False) if items else None


def about_the_photo(ask: Asking) -> Understood | None:
    """A question that comes with a photo and names no other thing is about what the photo shows."""
    photo, scene = ask.question.photo, ask.scene
    named = [one for one in _things(scene) if not naming.is_part(scene.facts.text[one.start : one.end])]
    elsewhere = named and not scene.facts.isnt and (scene.facts.turns or not scene.facts.refers)
    if photo is None or elsewhere or (photo.turns_ago and not _still_about(ask, photo)):
        return None
    said_type = _said_type(scene.facts.text) if scene.facts.isnt else None
    seen = said_type if said_type and said_type != photo.waste_type else photo.waste_type
    said_type = seen if seen != photo.waste_type else None
    items = _photographed(ask, photo) if said_type is None else []
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


def _photographed(ask: Asking, photo: Photo) -> list[Item]:
    if photo.item_id is None or photo.status != "success":
        return []
    try:
        item = ask.neighbours.item(photo.item_id)
    except Missing:
        return []
    # A person's correction says another kind: then it is not that item.
    return [item] if item.category == photo.waste_type else []


def _said_type(text: str) -> str | None:
    """The last kind of waste that a text names: "플라스틱 아닌데? 유리야"."""
    found = [(match.end(), len(match[0]), name) for name, words in MATERIAL_WORDS.items() for match in words.all(text)]
    return max(found)[2] if found else None


def about_something_else(ask: Asking) -> Understood | None:
    """Cooking, buying, repairing and the like, or a price: none of our business unless it is to be thrown away as well."""
    fact, scene = ask.scene.facts, ask.scene
    money = fact.money and not (scene.leans and not scene.named)
    if (fact.elsewhere or money) and not fact.disposal:
        return ask.understood("about_something_else", on_topic=False)
    return None


def named_in_passing(ask: Asking) -> Understood | None:
    """A thing of ours alone makes no question of ours; after a question of ours it does ("두유팩도 똑같아?")."""
    scene = ask.scene
    if not (scene.named or scene.both) or scene.on_topic:
        return None
    if scene.facts.said and scene.facts.short and ask.topic():
        return None
    return ask.understood("named_in_passing", on_topic=False)


def part_of_a_thing(ask: Asking) -> Understood | None:
    """A part of a thing named here or before: the part's own item, or the thing's lines about it."""
    scene = ask.scene
    whole = [one.item for one in scene.named] or _meant(ask)
    if scene.part is None and scene.both is None:
        return None
    if scene.part is None or not (whole or scene.leans or scene.plainly):
        return None
    topic = whole or ask.topic()
    if not topic:
        return None
    named = scene.both[0].item if scene.both else None
    if named is None and scene.leans and scene.first and not scene.named:
        named = scene.first[0].item
    aspect = ASPECT_OF_PART[scene.part[0]]
    if "stuck" in scene.facts.cases and len(whole) == 1 and not naming.is_part(plain(whole[0].name)):
        # "배터리 분리 안 되는 무선이어폰": the whole thing goes.
        return ask.understood("part_of_a_thing", whole)
    if len(topic) == 1 and aspect in topic[0].answers and _to_be_done(scene):
        # "페트병 라벨 떼야 해?" is answered by the bottle; "라벨은 어디에?" by the label.
        return ask.understood("part_of_a_thing", topic, aspects=(aspect,))
    if scene.facts.still_on and len(topic) == 1:
        return ask.understood("part_of_a_thing", topic, part=scene.part)
    items, part = _parted(topic[0], scene.part, named, ask.neighbours)
    if part is not None and scene.facts.polar and "separate" in scene.aspects and "separate" in items[0].answers:
        # "쇼핑백 끈 떼야 돼?"
        return ask.understood("part_of_a_thing", items, aspects=("separate",))
    if whole and not scene.facts.polar and naming.joined(scene.named[-1:], scene.part[1], scene.facts.text):
        # "컵라면 용기랑 뚜껑 어디에": both are asked for.
        return ask.understood("part_of_a_thing", [*whole, *(one for one in items if one not in whole)], aspects=())
    return ask.understood("part_of_a_thing", [*items, *topic[1:]] if len(topic) > 1 else items, part=part)


def _to_be_done(scene: Scene) -> bool:
    """Whether it is asked what to do with a part, rather than where it goes."""
    what_if = _WHAT_IF.search(scene.facts.text) is not None
    return (scene.facts.state or scene.facts.polar or what_if) and not scene.facts.asks_where


_WHAT_IF = re.compile(r"면요?[\s?!.~]*$")


def _is_bin(words: str) -> bool:
    return TOPICS.collections.is_all(words) or any(bins.is_all(words) for bins in BINS.values())


def what_is_not_taken(ask: Asking) -> Understood | None:
    """ "의류수거함에 못 넣는 게 뭐예요": what a collection does not take."""
    scene = ask.scene
    kind = scene.bin or _said_type(scene.facts.text)
    words = [scene.facts.text[one.start : one.end] for one in _things(scene)]
    if not scene.facts.not_taken or kind is None or not all(_is_bin(word) for word in words):
        return None
    category = ask.neighbours.category(kind)
    return ask.understood("what_is_not_taken", category=category, not_taken=True) if category else None


def food_waste_itself(ask: Asking) -> Understood | None:
    """ "음식물 쓰레기 물기 빼야 해?": the bin's name is the thing, where more is asked of it than whether it goes there."""
    scene = ask.scene
    more = set(scene.facts.aspects) - {"food", "bag", "recycle"}
    if scene.named or scene.leans or "food" not in scene.facts.aspects or not (more and scene.mentioned):
        return None
    items = ask.called("음식물 쓰레기")
    return ask.understood("food_waste_itself", items) if items else None


def things_named(ask: Asking) -> Understood | None:
    """The things that the text names."""
    items = [one.item for one in ask.scene.named]
    return ask.understood("things_named", items) if items else None


def thing_meant(ask: Asking) -> Understood | None:
    """No name as ours are written, but a search that is sure."""
    items = _meant(ask)
    return ask.understood("thing_meant", items) if items else None


def _meant(ask: Asking) -> list[Item]:
    scene = ask.scene
    best = scene.found[0] if scene.found and scene.found[0].score >= MEANT else None
    if naming.only_bins(scene.mentioned, scene.facts.text):
        return []
    own = scene.about or scene.facts.state or not scene.leans
    if scene.facts.language == "en" and scene.facts.open and not (scene.about or scene.facts.state or scene.leans):
        # "How to tie a tie".
        return []
    if best is None or scene.named or (scene.part and scene.leans) or not own or (scene.leans and scene.plainly):
        return []
    return [best]


def what_was_spoken_of(ask: Asking) -> Understood | None:
    """A question that leans on the conversation, or holds nothing but asking."""
    scene = ask.scene
    if not (scene.leans or scene.plainly):
        return None
    items = ask.topic()
    if items and scene.facts.kind:
        items = _of_kind(items[0], scene.facts.kind, ask.neighbours)
    return ask.understood("what_was_spoken_of", items) if items else None


def name_alone(ask: Asking) -> Understood | None:
    """A question of ours whose thing the search finds once all that is asked about it is left out."""
    scene = ask.scene
    ours = scene.about or scene.facts.state or scene.facts.polar
    if scene.facts.elsewhere or not (ours or scene.facts.asks_where):
        return None
    name = naming.name_alone(scene.facts.text)
    if len(name) < _NAME or name == scene.facts.text or (scene.facts.said and _is_bin(name)):
        return None
    found = ask.neighbours.search(name, 5)
    word = name.split()[0]
    if word != name and (heard := ask.neighbours.search(word, 1)) and naming.sounds_like(word, heard[0].names()):
        # "밥솟 고장났어요": the name comes first.
        return ask.understood("name_alone", heard)
    if found and ((found[0].score >= MEANT and ours) or naming.nearly(name, found[0].names())):
        return ask.understood("name_alone", found[:1])
    return None


_NAME = 2


def asked_of_what_was_spoken_of(ask: Asking) -> Understood | None:
    """ "비닐에 싸서 버려도 돼?" after a thing: it is asked whole, and names nothing but what is done with a thing."""
    scene = ask.scene
    left = naming.name_alone(scene.facts.text).split()
    if not (scene.facts.said and scene.facts.short and scene.about) or any(
        len(word) > 1 and not _is_bin(word) for word in left
    ):
        return None
    items = ask.topic()
    return ask.understood("asked_of_what_was_spoken_of", items) if items else None


def unclear(ask: Asking) -> Understood | None:
    """A question of ours about a thing that we don't know: ask back."""
    scene = ask.scene
    guesses = tuple(item for item in scene.found[:3] if item.score >= GUESSED)
    if scene.about or (guesses and " " not in scene.facts.text):
        return ask.understood("unclear", guesses=guesses)
    return None


def off_topic(ask: Asking) -> Understood:
    """Nothing of ours."""
    return ask.understood("off_topic", on_topic=False, near=False)


RULES: tuple[Callable[[Asking], Understood | None], ...] = (
    gives_orders,
    thrown_away_in_words,
    greeted,
    in_danger,
    not_ours_to_know,
    about_the_photo,
    about_something_else,
    named_in_passing,
    what_is_not_taken,
    food_waste_itself,
    part_of_a_thing,
    things_named,
    thing_meant,
    what_was_spoken_of,
    name_alone,
    asked_of_what_was_spoken_of,
    unclear,
    off_topic,
)


def understand(question: Question, neighbours: Neighbours) -> Understood:
    """Read a question with its history and photo. One search as a rule; a follow-up costs one or two more.

    Raises:
        Unavailable: recycle-info is away.
    """
    ask = Asking(question, neighbours)
    return next(found for rule in RULES if (found := rule(ask)) is not None)


# --- parts and kinds of things -----------------------------------------------------------------------------------------


def _parted(
    whole: Item, wanted: tuple[str, str], named: Item | None, neighbours: Neighbours
) -> tuple[tuple[Item, ...], tuple[str, str] | None]:
    """The item that is the part itself, where there is one; else the thing, of which only the part's lines are said.

    `named` is an item that goes by the part's name, which may be another thing altogether (a cap is headgear too).
    """
    part, word = wanted
    if any(naming.speaks_of(name, part) for name in (whole.name, whole.name_en or "")):
        return (whole,), None
    # A bottle of glass has another cap than one of plastic: the thing's own collection first.
    found = sorted(neighbours.search(f"{whole.name} {word}", 8), key=lambda item: item.category != whole.category)
    for item in found:
        parts_name = any(naming.speaks_of(name, part) for name in (item.name, item.name_en or ""))
        if parts_name and item.score >= PART and _kin(whole, item):
            return (item,), None
    if named is not None and named.category == whole.category:
        return (named,), None
    return (whole,), wanted


def _kin(whole: Item, part: Item) -> bool:
    """Whether the part's names speak of the whole thing: 페트병 뚜껑 of 생수병, by a name they share a beginning with."""
    words = {word for name in whole.names() for word in plain(name).split()} - KINLESS
    return any(word in plain(name) for name in part.names() for word in words if len(word) > 1)


def _of_kind(topic: Item, kind: str, neighbours: Neighbours) -> list[Item]:
    """The thing of another kind than the one named before, where there is such an item; else that one."""
    for base in reversed(topic.name.split()):
        for item in neighbours.search(f"{kind} {base}", 5):
            if any(name.startswith(kind) and base in name for name in item.names()):
                return [item]
    return [topic]
