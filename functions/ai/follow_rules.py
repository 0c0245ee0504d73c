"""The rules for what is said after a thing: it turns to something else, asks of its part, of another likewise, or of it again."""

import re
from itertools import islice

from functions.ai import bins, parts, rest, topic
from functions.ai.asking import Asking
from functions.ai.retrieval import Item
from functions.ai.understood import Understood
from functions.ai.vocabulary import ASPECT_OF_PART, GRAMMAR, ROLES

# Letters that a name has at least.
_NAME = 2
# What is done with a part of a thing, or with what is in it.
_DONE_WITH = {"separate", "data", "battery", "empty", "label", "lid"}
_ALSO = re.compile(r"도(?![가-힣])")
_TOPIC = re.compile(r"[은는]\s$")


def turned_to_something_else(ask: Asking) -> Understood | None:
    """ "정치 얘기 해줘" after a thing: it names nothing, and asks nothing of what was spoken of."""
    scene = ask.scene
    says_more = (
        scene.first or scene.about or scene.aspects or scene.facts.cases or scene.facts.polar or ask.question.photo
    )
    if not scene.leans or says_more or len(rest.name_alone(scene.facts.text)) < _NAME:
        return None
    if not _turns(ask):
        return None
    return ask.understood("turned_to_something_else", on_topic=False, near=False)


def part_of_what_was_spoken_of(ask: Asking) -> Understood | None:
    """ "사진은 다 지워야 돼?" after a phone, "끈이랑 종이는 떼요?" after a tea bag: what is done with a part of it."""
    scene, text = ask.scene, ask.scene.facts.text
    done = [one for one in scene.aspects if one in _DONE_WITH]
    if not (_remark(ask) and scene.first and done) or _ALSO.match(text, scene.first[-1].end):
        return None
    before = ask.topic[:1]
    if not before or not all(_belongs(one.words(text), one.item, before[0], done) for one in scene.first):
        return None
    if asked_bins := bins.asked_for(text, ()):
        # "유리는 빼서 유리병에 넣으면 되죠?"
        return ask.understood("part_of_what_was_spoken_of", before, aspects=("bin",), bin=asked_bins[-1])
    if any(one.item.category == "battery" for one in scene.first):
        done = ["battery"]
    answered = tuple(one for one in done if one in before[0].answers)
    return ask.understood("part_of_what_was_spoken_of", before, aspects=answered) if answered else None


def _belongs(word: str, named: Item, whole: Item, done: list[str]) -> bool:
    """Whether a word is for a part of that thing: as such, as what it is of, as its battery, or by the thing's own answer."""
    if named.id == whole.id:
        return False
    material = ROLES.where.is_all(word) or ROLES.stuff.is_all(word) or bins.is_bin(word)
    part = material or parts.is_part(word) or ROLES.belonging.is_all(word) or named.category == "battery"
    # A phone's photos, a laptop's files.
    data = "data" in done and whole.category == "electronics" != named.category
    return part or data or any(word in whole.answer(one, "ko") for one in done)


def bin_of_its_part(ask: Asking) -> Understood | None:
    """ "날개는 플라스틱이죠?" after a fan: a part that has no name of ours goes with the thing."""
    scene, fact = ask.scene, ask.scene.facts
    if not (_remark(ask) and scene.first and (fact.polar or scene.bin)):
        return None
    if not all(bins.is_where(one, fact.text) for one in scene.first):
        return None
    if not _TOPIC.search(fact.text, 0, scene.first[0].start):
        return None
    asked = bins.said_type(scene.first[0].words(fact.text))
    before = ask.topic
    return ask.understood("bin_of_its_part", before, aspects=("bin",), bin=asked) if before and asked else None


def data_of_what_was_spoken_of(ask: Asking) -> Understood | None:
    """ "안에 있는 사진은 어떡해?" after a laptop."""
    scene, text = ask.scene, ask.scene.facts.text
    if not _remark(ask) or not all(ROLES.stored.is_all(one.words(text)) for one in scene.first):
        return None
    if not ROLES.stored.within(text) or "data" in scene.aspects or not (before := ask.topic[:1]):
        return None
    ours = before[0].category == "electronics" and "data" in before[0].answers
    return ask.understood("data_of_what_was_spoken_of", before, aspects=("data",), polar=False) if ours else None


def of_some_stuff(ask: Asking) -> Understood | None:
    """ "플라스틱이야", "나무면?" after a thing: the one of that stuff, or what the thing's own lines say of it."""
    text = ask.scene.facts.text
    said = _OF_STUFF.fullmatch(text)
    if said is None or not _remark(ask) or len(before := ask.topic) != 1:
        return None
    word = said["word"]
    of_it = ask.of_kind(before[0], word)
    told = any(word in line for line in (before[0].described("ko"), *before[0].steps("ko")))
    if of_it == before and not told:
        return None
    return ask.understood("of_some_stuff", of_it, aspects=(), polar=False)


_OF_STUFF = re.compile(
    rf"(?P<word>{ROLES.stuff.source}|{ROLES.matter.source}|스티로폼)"
    r"(?:이?야|이?에요|예요|이면|면|은|는|인데|이라면|라면|으로 된 거|로 된 거)요?[\s?!.~]*"
)


def of_what_was_spoken_of(ask: Asking) -> Understood | None:
    """ "케이스는?" after a phone and its charger: the phone's, where there is such an item."""
    scene, fact = ask.scene, ask.scene.facts
    if not (_remark(ask) and (fact.again or _ITS.match(fact.text))) or fact.whole or len(scene.first) > 1:
        return None
    found = _ITS.match(fact.text)
    words = scene.first[0].words(fact.text) if scene.first else found[1] if found else ""
    if not words:
        return None
    for before in islice(ask.topics(), 2):
        names = before[0].names()
        wanted = {f"{name}{words}".replace(" ", "") for name in names}
        for name in [one for one in names if not one.isascii()][:_NAMES]:
            for item in ask.neighbours.search(f"{name}{words}", 3):
                if item.id != before[0].id and wanted & {one.replace(" ", "") for one in item.names()}:
                    return ask.understood("of_what_was_spoken_of", [item])
    return None


# Names of a thing that are tried with what is its own.
_NAMES = 2


_ITS = re.compile(r"(?:그럼 |그러면 |그리고 )?([가-힣a-z]{1,6}?)(?:은|는|도|만)요?[\s?!.~]*$")


def both_spoken_of(ask: Asking) -> Understood | None:
    """ "둘이 같이 내도 돼?": the two things that were spoken of last."""
    scene, fact = ask.scene, ask.scene.facts
    if not _remark(ask) or scene.things or scene.part or not (fact.together or GRAMMAR.both.within(fact.text)):
        return None
    if fact.together and (part := ask.asked_before.part) and (whole := ask.topic[:1]):
        # "같이 버려도 돼?" after its cap
        aspect = ASPECT_OF_PART[part[0]]
        return ask.understood("both_spoken_of", whole, aspects=(aspect,) if aspect else ())
    if not GRAMMAR.both.within(fact.text):
        return None
    before = list(islice(ask.topics(), 2))
    items = before[0] if before and len(before[0]) > 1 else [one for each in reversed(before) for one in each[:1]]
    return ask.understood("both_spoken_of", items) if len({item.id for item in items}) > 1 else None


def likewise(ask: Asking) -> Understood | None:
    """ "파인애플 껍질도 똑같이 하면 되죠?": whether another thing goes where the one that was spoken of does."""
    scene, fact = ask.scene, ask.scene.facts
    if not _remark(ask) or len(scene.things) != 1 or scene.aspects or scene.bin or fact.cases:
        return None
    one = scene.things[0]
    if not GRAMMAR.likewise.within(fact.text[one.end :]):
        return None
    before = ask.topic
    if len(before) != 1 or before[0].id == one.item.id:
        return None
    asked, wanted = ask.asked_before, before[0].category
    aspects = asked.outcome or ("bin",)
    both = wanted != one.item.category and set(before[0].bins) & set(one.item.bins)
    if "handed" in aspects or (both and not asked.outcome):
        # What is worn goes elsewhere than what is not: neither yes nor no.
        return ask.understood("likewise", [one.item], aspects=(), polar=False)
    return ask.understood("likewise", [one.item], aspects=aspects, bin=asked.bin or wanted, polar=True, open=False)


def asked_of_what_was_spoken_of(ask: Asking) -> Understood | None:
    """ "비닐에 싸서 버려도 돼?" after a thing: it is asked whole, and names nothing but what is done with a thing."""
    scene = ask.scene
    left = rest.name_alone(scene.facts.text).split()
    if not (scene.facts.said and scene.facts.short and scene.about) or any(
        len(word) > 1 and not bins.is_bin(word) for word in left
    ):
        return None
    items = ask.topic
    return ask.understood("asked_of_what_was_spoken_of", items) if items else None


def whatever_was_spoken_of(ask: Asking) -> Understood | None:
    """ "의류수거함 안 들어간다는 거지?", "기사님이 가져가나?" after a thing: short, names none, and about nothing else."""
    scene = ask.scene
    if not (scene.facts.said and scene.facts.short and scene.facts.says) or scene.things or scene.elsewhere:
        return None
    if _turns(ask):
        return None
    items = ask.topic or [one.item for one in scene.first] or ask.named_before()
    return ask.understood("whatever_was_spoken_of", items) if items else None


def _remark(ask: Asking) -> bool:
    return bool(ask.scene.facts.said) and ask.scene.facts.short


def _turns(ask: Asking) -> bool:
    """Whether a remark is about something else; "하드는 어떻게 해요?" asks of something in the thing."""
    return topic.about_something_else(ask.question.text) and _WHAT_OF.match(ask.scene.facts.text) is None


_WHAT_OF = re.compile(r"[가-힣]+[은는]\s(?:또\s)?(?:어떻게\s?(?:해|하|버|처리)|어디(?:에|로|다)|어떡|어쩌|어째)")
