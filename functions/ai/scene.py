"""What the rules look at: a question's facts, and what the search adds to them."""

import re

from msgspec import Struct

from functions.ai import asides, bins, lists, parts, rest, roles, topic, wrapped
from functions.ai import aspects as judge
from functions.ai import facts as reading
from functions.ai.facts import Facts
from functions.ai.mentions import Mention, mentions
from functions.ai.retrieval import Item, Neighbours
from functions.ai.vocabulary import ASPECTS, DOWN, KINDS, ROLES, TOPICS, WHERE

MOST_ITEMS = 4
"""Things answered at once; a longer list is no one's question."""
# Items looked at for the things that a question names: a short name in a long question has a small score.
MANY = 40
# Letters beside a name in which it is said what the thing is of.
_NEAR = 10
# A search score from which a thing is meant though its name is not written as ours are ("패트병", "frying pans").
MEANT = 0.62


class Scene(Struct, frozen=True):
    """The facts, and what the search adds to them."""

    facts: Facts
    found: list[Item]
    mentioned: list[Mention]
    first: list[Mention]
    """The things named, parts among them."""
    named: list[Mention]
    """The things named that are asked about."""
    both: tuple[Mention, Mention] | None
    part: tuple[str, str] | None
    near: bool
    about: bool
    """Whether the text speaks of throwing away, or of a route."""
    leans: bool
    """Whether it leans on what was said before."""
    plainly: bool
    on_topic: bool
    elsewhere: bool
    """Whether it asks for cooking, buying, repairing and the like, outside of the things' names."""
    bin: str | None
    choice: bool
    """Whether it asks which of several bins."""
    aspects: tuple[str, ...]
    """What is asked about the things, outside of their names."""

    @property
    def outcome(self) -> tuple[str, ...]:
        """The aspects; where it goes comes before what is only done on the way: "씻어서 플라스틱으로 내?"."""
        asked = tuple(one for one in self.aspects if one in _ENDS)
        if self.bin and set(self.aspects) <= {"recycle"}:
            return ("bin",)
        if self.bin and self.aspects and self._all_is_done:
            # "털어서 깨끗하거든요 비닐에 내도 되죠": what is told is not asked.
            return ("bin", *self.aspects)
        if not ROLES.on_the_way.within(self.facts.text) or not (asked or self.bin):
            return self.aspects
        return (*(("bin",) if self.bin else ()), *asked, *(one for one in self.aspects if one not in asked))

    @property
    def as_it_is(self) -> tuple[str, ...]:
        """The aspects of a thing that is broken or dirty: what that changes says itself how it is wrapped."""
        return tuple(one for one in self.outcome if one != "wrapped")

    @property
    def _all_is_done(self) -> bool:
        """Whether a text tells that all was done of which it speaks, before it asks."""
        fact = self.facts
        left = fact.omitted or fact.negated or fact.cases or reading.aspects(fact.text[fact.asks_from :])
        return bool(fact.asks_from) and set(self.aspects) <= _DONE and not left

    def of_kind(self, one: Mention) -> str | None:
        """What a thing is said to be of, right before its name or after it: "투명한 커피컵", "수세미 철로 된 거"."""
        text = self.facts.text
        before, after = text[max(0, one.start - _NEAR) : one.start], text[one.end : one.end + _NEAR]
        return next((name for name, said, after_it in _KINDS if said.search(before) or after_it.match(after)), None)

    @property
    def things(self) -> list[Mention]:
        """The things named that are more than a material or a bin."""
        return [one for one in self.named if not bins.is_where(one, self.facts.text)]


def scene(fact: Facts, neighbours: Neighbours) -> Scene:
    """Look for the things that a text names. One search.

    Raises:
        Unavailable: recycle-info is away.
    """
    text = fact.text
    found = neighbours.search(text, MANY)
    mentioned = _mentioned(fact, found, neighbours)
    said = bool(fact.said)
    first = asides.asked(mentioned, roles.things(mentioned, text, follows=said), text, follows=said)
    first = lists.come_back_to(first, text)[:MOST_ITEMS]
    if said and fact.short and fact.polar and all(_goes_down(one, fact) for one in first):
        first = []
    near = fact.near and bool(first or fact.place)
    leans = _leans(fact, first, mentioned)
    # "And the cap?" after a bottle asks for no headgear.
    named = [one for one in first if not (leans and _of_it(one.words(text), text))]
    named = [one for one in named if not bins.as_bin(one, named, text)]
    plainly = rest.plainly_about(text, named)
    if bins.only_bins(named, text) and (leans or not plainly):
        named = []
    if leans and (fact.refers or fact.kind) and all(bins.is_where(one, text) for one in named):
        # "plastic one", "isn't it paper?" after a thing.
        named = []
    both = parts.part_and_whole(named, text)
    kept = parts.wholes([one for one in named if both is None or one is not both[0]], text)
    asked_bins = bins.asked_for(text, kept)
    aspects = _aspects(fact, kept, mentioned, near=near)
    taken = [*_paid(text), *(bins.spans(text) if asked_bins else ())]
    return Scene(
        facts=fact,
        found=found,
        mentioned=mentioned,
        first=first,
        named=kept,
        both=both,
        part=parts.part(text, [*kept, *wrapped.beside(mentioned, text)], taken),
        near=near,
        about=fact.disposal or near,
        leans=leans,
        plainly=plainly,
        on_topic=bool(fact.disposal or near or plainly or both or fact.state or asked_bins)
        or rest.only_names(named, text)
        or (bool(kept) and _of_things(fact, kept, aspects)),
        elsewhere=fact.wants_else or (fact.elsewhere and _elsewhere(text, mentioned)),
        bin=next(iter(asked_bins), None),
        choice=fact.either or len(asked_bins) > 1 or (" or " in text and bool(asked_bins or WHERE & set(aspects))),
        aspects=aspects,
    )


def _mentioned(fact: Facts, found: list[Item], neighbours: Neighbours) -> list[Mention]:
    """The items that a text names, or means by a name that is put together of its words."""
    text = fact.text
    mentioned = _held(mentions(text, found), text, neighbours)
    tools = [one for one in mentioned if wrapped.as_tool(one, text) or lists.taken_off(one, text)]
    if tools and all(one in tools or bins.is_where(one, text) for one in mentioned):
        mentioned = [*(_shorter(tools, text, found) or tools), *(one for one in mentioned if one not in tools)]
    if any(one.item.category == "electronics" for one in mentioned):
        # "외장하드 안에 파일 지워야 해?"
        mentioned = [one for one in mentioned if not ROLES.stored.is_all(one.words(text))]
    if "full" in fact.cases:
        mentioned = [_left_over(one, text, neighbours) for one in mentioned]
    best = found[0] if found and found[0].score >= _NAMED else None
    if best and _nothing_but_a_name(fact) and all(one.item != best for one in mentioned):
        # "스마트폰 케이스": the search knows the whole name in other words.
        mentioned = [Mention(best, 0, len(text))]
    if len(mentioned) == 1:
        mentioned = _before_a_bin(mentioned[0], text, found)
    if collected := [one for one in mentioned if bins.collected(one, text)]:
        # "옷걸이랑 옷 같이 의류수거함에": the bin bears another name of a thing.
        mentioned = sorted(
            [*mentioned, *mentions(rest.without(text, mentioned), (one.item for one in collected))],
            key=lambda one: one.start,
        )
    things = [one for one in mentioned if not bins.collected(one, text)]
    # "만두 유리병 수거함에 넣어도 돼?", and after a thing "유리병 수거함에 넣으면 안 돼?".
    return things if things or (fact.said and fact.short) else mentioned


def _goes_down(one: Mention, fact: Facts) -> bool:
    """ "변기는 안 되는 거죠?" after a thing: down which it may go, and no toilet to throw away."""
    return ROLES.fixtures.is_all(one.words(fact.text)) and not DOWN.isdisjoint(fact.aspects)


def _leans(fact: Facts, first: list[Mention], mentioned: list[Mention]) -> bool:
    """Whether it leans on what was said before: a remark that names nothing new ("기름이 많이 묻었으면?"), or a part."""
    if not fact.said:
        return False
    says = fact.says or parts.part(fact.text) is not None
    whole = fact.whole and "absent" not in fact.aspects
    remark = not first and says and fact.short and (not whole or rest.plainly_about(fact.text, mentioned))
    whole = fact.whole and "separate" not in fact.aspects
    only_parts = bool(first) and not whole and all(_of_it(one.words(fact.text), fact.text) for one in first)
    return remark or fact.follows or only_parts


def _of_it(word: str, text: str) -> bool:
    """Whether a word is for a part of what was spoken of: "뚜껑은?", "쇠 스프링 든 펌프는?", "뚜껑이랑 용기 둘 다?"."""
    beside = ROLES.stuff.is_all(word) or ROLES.holders.is_all(word)
    return parts.is_part(word) or (beside and parts.part(text.replace(word, " ", 1)) is not None)


def _of_things(fact: Facts, things: list[Mention], aspects: tuple[str, ...]) -> bool:
    """Whether a text that names things asks about throwing them away, though it has no word for that."""
    return (
        fact.described
        or (fact.told and not topic.about_something_else(fact.text))
        or (not (fact.polar or fact.open or fact.elsewhere) and rest.is_phrase(fact.text, things))
        or not _TROUBLES.isdisjoint(fact.cases)
        or (fact.short and not (fact.polar or fact.open) and lists.listed(things, fact.text))
        or (fact.polar and not set(aspects) <= _ELSEWHERE_TOO)
        or ("safe" in aspects and not fact.elsewhere and any(one.item.answer("safe", "ko") for one in things))
        or ("dirty" in fact.cases and not fact.open and not fact.elsewhere)
        or (fact.together and fact.polar and len(things) > 1)
        or (fact.reason and not WHERE.isdisjoint(aspects))
        or _OF_STUFF.search(fact.text) is not None
        or any(TOPICS.at_hand.is_all(fact.text[one.end :].rstrip(" .~!ㅠㅜ")) for one in things)
    )


def _aspects(fact: Facts, things: list[Mention], mentioned: list[Mention], *, near: bool) -> tuple[str, ...]:
    """What is asked about the things, outside of their names; first of all a place that they are brought to."""
    line = rest.without(fact.text, parts.without_parts(things, fact.text))
    asked, asks = reading.aspects(line), fact.asks_from
    unasked = (_BEFOREHAND if fact.asks_where else set()) | ({"handed"} if near or fact.open else set())
    first = {"handed"} if _HANDED_IN.search(fact.text) else set(reading.aspects(line[asks:])) if asks else set()
    heard = sorted((one for one in asked if one not in unasked), key=lambda one: one not in first)
    starts = {one.start for one in things}
    names = [(one.start, one.end, one.start not in starts) for one in mentioned]
    return judge.asked(heard, fact.text, names, follows=bool(fact.said))


def _elsewhere(text: str, mentioned: list[Mention]) -> bool:
    """Whether what asks for something else is more than a piece of a thing's name: "의류관리기"."""
    spans = [(one.start, one.end) for one in mentioned]
    found = (match.span() for match in TOPICS.elsewhere.all(text))
    return any(all(not (a <= start and end <= b) or (a, b) == (start, end) for a, b in spans) for start, end in found)


def _held(mentioned: list[Mention], text: str, neighbours: Neighbours) -> list[Mention]:
    """The mentions, with what a thing was in instead of the thing, where there is such an item."""
    for one in mentioned:
        if (holder := roles.held(one, text)) is None:
            continue
        name, end = holder
        inside = [other for other in mentioned if one.start <= other.start < end]
        if any(other.end < end for other in inside if other is not one):
            continue
        best = next(iter(neighbours.search(name, 1)), None)
        if best and best.score >= _HELD and best != one.item:
            merged = Mention(best, one.start, end)
            return sorted(
                [merged, *(other for other in mentioned if other not in inside and other.item.id != best.id)],
                key=lambda other: other.start,
            )
    return mentioned


def _before_a_bin(one: Mention, text: str, found: list[Item]) -> list[Mention]:
    """The thing that is asked about as well, where the bin bears its name: "색깔 있는 페트병은 투명페트 아니죠?"."""
    if not _TOPIC.search(text, 0, one.start) or (one.start, one.end) not in bins.spans(text):
        return [one]
    return [*mentions(text[: one.start], found), one]


def _shorter(tools: list[Mention], text: str, found: list[Item]) -> list[Mention]:
    """The things with which the names of tools begin: "신발 끈으로 묶어서" is about shoes, "빵 봉지째" about bread."""
    taken = {one.item.id for one in tools}
    starts = {one.start for one in tools}
    others = mentions(text, (item for item in found if item.id not in taken))
    return [one for one in others if one.start in starts and text[one.end : one.end + 1] == " "]


def _left_over(one: Mention, text: str, neighbours: Neighbours) -> Mention:
    """ "반 남은 락스" is what was in the bottle, where that is an item of its own."""
    name = "남은 " + one.words(text)
    said = name.replace(" ", "")
    left = (item for item in neighbours.search(name, 3) if said in (other.replace(" ", "") for other in item.names()))
    return Mention(next(left, one.item), one.start, one.end)


# Where a thing goes, or who gets it: "빨아서 기부해도 돼?"
_ENDS = {*WHERE, "reuse"}
# A search score of a name that is put together of two words.
_HELD = 0.9
# "씻어서 어디에 넣어요?" asks for the bin.
_BEFOREHAND = {"rinse", "crush", "moisture"}
_DONE = {*_BEFOREHAND, "empty", "separate", "tied"}
# "유리병 뚜껑이 안 빠져요" tells enough.
_TROUBLES = {"stuck", "stays", "swollen", "leaking"}
# What a thing is of, as it is said right before its name and right after it.
_KINDS = [
    (name, re.compile(rf"(?:{words.source}|{name})한?\s?$"), re.compile(rf"\s?{words.source}"))
    for key, (words, name) in KINDS.items()
    if key != "broken"
]
# "약국에 가져가면 돼요?": brought there, and not picked up.
_HANDED_IN = re.compile(ASPECTS["handed"].source + r"(?:에다?가?|으?로)\s?(?:가져|갖다|가지고|내|맡|반납|주|줘)")
_TOPIC = re.compile(r"[은는]\s$")
# A search score of the whole of what is typed, in other words.
_NAMED = 0.75


def _nothing_but_a_name(fact: Facts) -> bool:
    asks = fact.disposal or fact.state or fact.polar or fact.open or fact.elsewhere or fact.near or fact.cases
    return fact.short and not (asks or fact.said or fact.aspects)


# "알은 플라스틱인데": what a thing is made of is told for one reason.
_OF_STUFF = re.compile(
    rf"(?:{ROLES.stuff.source}|나무|스티로폼|천|가죽|실리콘|도자기)(?:인데|이에요|예요|이야|이?거든)요?[\s?!.~]*$"
)
# "전자레인지에 넣어도 안전해?": asked of things that stay, too.
_ELSEWHERE_TOO = {"safe"}


def _paid(text: str) -> list[tuple[int, int]]:
    """Where a text asks for a pickup: the sticker of "스티커 붙여야 해?" is no part of a thing."""
    return [match.span() for match in ASPECTS["pickup"].all(text)]
