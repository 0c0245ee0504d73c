"""What a question is about: an ordered list of named rules over facts that are computed once. The first that fits decides."""

import re
from collections.abc import Callable

from msgspec.structs import replace

from functions.ai import bins, parts, rest, roles, sounds, topic
from functions.ai.asking import Asking
from functions.ai.collection_rules import another_bag, bag_itself, collection_itself, food_waste_itself
from functions.ai.danger_rules import in_danger
from functions.ai.follow_rules import (
    asked_of_what_was_spoken_of,
    bin_of_its_part,
    both_spoken_of,
    data_of_what_was_spoken_of,
    likewise,
    of_some_stuff,
    of_what_was_spoken_of,
    part_of_what_was_spoken_of,
    turned_to_something_else,
    whatever_was_spoken_of,
)
from functions.ai.interfaces import Question
from functions.ai.part_rules import part_of_a_thing
from functions.ai.photo_rules import about_the_photo
from functions.ai.retrieval import Item, Neighbours, Once
from functions.ai.scene import MEANT
from functions.ai.understood import Understood
from functions.ai.unknown_rules import not_ours_to_know
from functions.ai.vocabulary import DOWN, GRAMMAR, ROLES, TOPICS
from shared.messages import Photo

# A search score from which an item may be meant: it is offered when we ask back.
_GUESSED = 0.35


def gives_orders(ask: Asking) -> Understood | None:
    """A text that tells us how to work asks for nothing, unless it asks how to throw a thing away as well."""
    scene = ask.scene
    if scene.facts.orders and not (scene.named and scene.facts.whole):
        return ask.understood("gives_orders", on_topic=False, near=False)
    return None


def despairs(ask: Asking) -> Understood | None:
    """ "내 인생이 쓰레기 같아": whoever speaks so of themselves, whatever they name."""
    return ask.understood("despairs", on_topic=False, near=False) if ask.scene.facts.despairs else None


def thrown_away_in_words(ask: Asking) -> Understood | None:
    """ "나쁜 습관을 버리는 법": nothing that a bin takes; food waste is meant as it is said."""
    if ask.scene.facts.figurative and not (ask.scene.named or "food" in ask.scene.aspects):
        return ask.understood("thrown_away_in_words", on_topic=False, near=False)
    return None


def greeted(ask: Asking) -> Understood | None:
    """ "안녕?": a greeting without a thing."""
    scene = ask.scene
    says_more = scene.named or scene.about or scene.aspects or scene.facts.cases or scene.facts.refers
    fact = scene.facts
    asks = scene.named or scene.aspects or fact.polar or fact.open or fact.asks_where or fact.refers
    if fact.thanks and not asks:
        # "덕분에 잘 버렸어요"
        return ask.understood("thanked", on_topic=False, near=False)
    if fact.greets and (not says_more or TOPICS.greetings.is_all(fact.text.rstrip("?!.~ "))):
        return ask.understood("greeted", on_topic=False, near=False)
    return None


def said_again(ask: Asking) -> Understood | None:
    """ "다시 말해줘", "영어로": the answer of before, in the language that is asked for."""
    scene, text = ask.scene, ask.scene.facts.text
    english, korean = GRAMMAR.in_english.within(text), GRAMMAR.in_korean.within(text)
    again = scene.facts.said and scene.facts.short and (english or korean or GRAMMAR.repeat.within(text))
    if not again or scene.first:
        return None
    turns = ask.question.history
    last = max(number for number, turn in enumerate(turns) if turn.role == "user")
    before = Question(turns[last].content, turns[:last], photo=_photo_of_before(ask.question.photo))
    language = "en" if english else "ko" if korean else scene.facts.language
    return replace(understand(before, ask.neighbours), language=language)


def _photo_of_before(photo: Photo | None) -> Photo | None:
    return replace(photo, turns_ago=max(0, photo.turns_ago - 1)) if photo else None


def about_something_else(ask: Asking) -> Understood | None:
    """Cooking, buying, repairing and the like, or a price: none of our business unless it is to be thrown away as well."""
    fact, scene = ask.scene.facts, ask.scene
    money = fact.money and not (scene.leans and not scene.named)
    other_world = TOPICS.other_world.within(rest.without(fact.text, scene.named))
    if not (scene.elsewhere or money or other_world):
        return None
    # "Tell me a joke about trash": the word alone makes no question of ours.
    alone = scene.elsewhere and not (fact.whole or scene.named or scene.leans or scene.part)
    # "쓰레기통 드라마에 나온 배우": what a thing is called says nothing of throwing away.
    disposal = any(
        all(said.end() <= one.start or one.end <= said.start() for one in scene.named)
        for said in TOPICS.disposal.all(fact.text)
    )
    # "화장실 청소하는데요, 물티슈 변기에 내려보내도 됩니까"
    disposal = disposal or bool(fact.polar and fact.state and scene.things and DOWN & set(scene.aspects))
    # "홍합탕 끓이고 껍데기만 한 냄비": what was cooked is told of.
    told = bool(scene.mentioned) and not (fact.wants_else or other_world)
    ours = told and topic.surely_about_waste(ask.question.text)
    if not ours and (alone or not disposal):
        return ask.understood("about_something_else", on_topic=False)
    return None


def named_in_passing(ask: Asking) -> Understood | None:
    """A thing of ours alone makes no question of ours, unless the text is rather about waste by how it is written ("유행 지난
    넥타이 여섯 개"); after a question of ours it does ("두유팩도 똑같아?").
    """
    scene = ask.scene
    if not (scene.named or scene.both) or scene.on_topic:
        return None
    if scene.facts.said and scene.facts.short and ask.topic:
        return None
    if topic.about_waste(ask.question.text):
        return None
    return ask.understood("named_in_passing", on_topic=False)


def what_is_not_taken(ask: Asking) -> Understood | None:
    """ "의류수거함에 못 넣는 게 뭐예요": what a collection does not take."""
    scene = ask.scene
    kind = scene.bin or bins.said_type(scene.facts.text)
    words = [one.words(scene.facts.text) for one in scene.things]
    if not scene.facts.not_taken or kind is None or not all(bins.is_bin(word) for word in words):
        return None
    category = ask.neighbours.category(kind)
    return ask.understood("what_is_not_taken", category=category, not_taken=True) if category else None


def things_named(ask: Asking) -> Understood | None:
    """The things that the text names."""
    named = ask.scene.named
    items = [one.item for one in named]
    if len(items) == 1 and _beside_it(ask, named[0].end) and (before := ask.topic):
        # "유리병이랑 같이?" after a thing
        return ask.understood("things_named", [*before[:1], *items], together=True, polar=True)
    alone = len(named) == 1 and not parts.AT_END.search(named[0].words(ask.scene.facts.text))
    kind = ask.scene.of_kind(named[0]) if alone else None
    if named and all(bins.is_where(one, ask.scene.facts.text) for one in named):
        # "플라스틱 옷겉이": a material before a misspelt name.
        name = rest.name_alone(ask.scene.facts.text)
        items = next(([item] for item in ask.scene.found[:5] if sounds.nearly(name, item.names())), items)
    if kind and not any(name.startswith(kind) for name in items[0].names()):
        # "투명한 커피컵"
        items = ask.of_kind(items[0], kind, named[0].words(ask.scene.facts.text))
    return ask.understood("things_named", items) if items else None


def _beside_it(ask: Asking, end: int) -> bool:
    """Whether it is asked if a thing goes where the one of before does."""
    fact = ask.scene.facts
    return bool(fact.said) and fact.short and not fact.whole and _BESIDE_IT.match(fact.text, end) is not None


def _with(ask: Asking) -> list[Item]:
    """The thing that English says after "with"."""
    text = ask.scene.facts.text
    named = (one for one in ask.scene.mentioned if text.isascii() and _WITH.search(text, 0, one.start))
    return [one.item for one in named if roles.is_thing(one, text)]


# A search score of words that say which thing is meant.
_WHICH = 0.5
_WITH = re.compile(r"\bwith (?:the |my |a |an )?$")
_BESIDE_IT = re.compile(r"(?:이?랑|하고|와|과) (?:같이|함께)")


def thing_meant(ask: Asking) -> Understood | None:
    """No name as ours are written, but a search that is sure."""
    items = ask.meant()
    return ask.understood("thing_meant", items) if items else None


def what_was_spoken_of(ask: Asking) -> Understood | None:
    """A question that leans on the conversation, or holds nothing but asking."""
    scene = ask.scene
    if not (scene.leans or (scene.plainly and scene.facts.says)):
        return None
    items = ask.topic
    if len(items) == 1 and scene.facts.together and (with_it := _with(ask)):
        # "together with plastic bags?"
        return ask.understood("what_was_spoken_of", [*items, *with_it], together=True, polar=True)
    if len(items) == 1 and roles.says_which(scene.facts.text):
        # "건전지 들어가는 거" after a toy: the toy of that kind, where there is such an item.
        noun = items[0].name.split()[-1]
        items = [*(one for one in scene.found[:3] if one.score >= _WHICH and one.name.endswith(noun)), *items][:1]
    if items and scene.facts.kind:
        items = ask.of_kind(items[0], scene.facts.kind)
    if items and (cases := ask.as_before()):
        # "그럼 신문지에 싸면 되나요?" after a broken bottle
        return ask.understood("what_was_spoken_of", items, cases=cases, aspects=ask.scene.as_it_is)
    return ask.understood("what_was_spoken_of", items) if items else None


def name_alone(ask: Asking) -> Understood | None:
    """A question of ours whose thing the search finds once all that is asked about it is left out."""
    scene = ask.scene
    ours = scene.about or scene.facts.state or scene.facts.polar
    if scene.elsewhere or not (ours or scene.facts.asks_where):
        return None
    name = rest.name_alone(scene.facts.text)
    only_bin = scene.facts.said and (bins.is_bin(name) or bins.is_bin(name.split(" ")[0]))
    if len(name) < _NAME or name == scene.facts.text or only_bin:
        return None
    found = ask.neighbours.search(name, 5)
    word = name.split()[0]
    if word != name and (heard := ask.neighbours.search(word, 1)) and sounds.sounds_like(word, heard[0].names()):
        # "밥솟 고장났어요": the name comes first.
        return ask.understood("name_alone", heard)
    if found and ((found[0].score >= MEANT and ours) or sounds.nearly(name, found[0].names())):
        return ask.understood("name_alone", found[:1])
    return None


_NAME = 2


def plant_of_some_kind(ask: Asking) -> Understood | None:
    """ "제라늄 줄기랑 잎은 어디에 버리나요": of the many plants that have no item."""
    scene = ask.scene
    if scene.first or not scene.about or not ROLES.of_plants.within(scene.facts.text):
        return None
    items = ask.called("화초")
    return ask.understood("plant_of_some_kind", items) if items else None


def unclear(ask: Asking) -> Understood | None:
    """A question of ours about a thing that we don't know: ask back."""
    scene = ask.scene
    guesses = tuple(item for item in scene.found[:3] if item.score >= _GUESSED)
    if scene.about or (guesses and _ONE_WORD.fullmatch(scene.facts.text)):
        return ask.understood("unclear", guesses=guesses)
    if scene.facts.as_bin and scene.facts.polar and not scene.elsewhere:
        # "오란다 포장지 일반이야?": ours, by the bin that it asks for.
        return ask.understood("unclear")
    return None


_ONE_WORD = re.compile(r"\w+[?!.~]*")


def off_topic(ask: Asking) -> Understood:
    """Nothing of ours."""
    return ask.understood("off_topic", on_topic=False, near=False)


RULES: tuple[Callable[[Asking], Understood | None], ...] = (
    despairs,
    gives_orders,
    thrown_away_in_words,
    greeted,
    said_again,
    in_danger,
    not_ours_to_know,
    about_the_photo,
    about_something_else,
    named_in_passing,
    both_spoken_of,
    data_of_what_was_spoken_of,
    turned_to_something_else,
    what_is_not_taken,
    food_waste_itself,
    bag_itself,
    another_bag,
    part_of_what_was_spoken_of,
    bin_of_its_part,
    of_some_stuff,
    of_what_was_spoken_of,
    part_of_a_thing,
    likewise,
    things_named,
    thing_meant,
    what_was_spoken_of,
    name_alone,
    asked_of_what_was_spoken_of,
    whatever_was_spoken_of,
    collection_itself,
    plant_of_some_kind,
    unclear,
    off_topic,
)


def understand(question: Question, neighbours: Neighbours) -> Understood:
    """Read a question with its history and photo. One search as a rule; a follow-up costs one or two more.

    Raises:
        Unavailable: recycle-info is away.
    """
    ask = Asking(question, Once(neighbours))
    return next(found for rule in RULES if (found := rule(ask)) is not None)
