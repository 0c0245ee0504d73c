"""What the rules look at: a question's facts, and what the search adds to them."""

import re

from msgspec import Struct

from functions.ai import asides, bins, lists, parts, rest, roles, wrapped
from functions.ai import aspects as judge
from functions.ai import facts as reading
from functions.ai.facts import Facts, plain
from functions.ai.mentions import HELD, Mention, mentions
from functions.ai.retrieval import Item, Neighbours
from functions.ai.vocabulary import ASPECTS, KINDS, ROLES, TOPICS, WHERE

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
        if not ROLES.on_the_way.within(self.facts.text) or not (asked or self.bin):
            return self.aspects
        return (*(("bin",) if self.bin else ()), *asked, *(one for one in self.aspects if one not in asked))

    @property
    def as_it_is(self) -> tuple[str, ...]:
        """The aspects of a thing that is broken or dirty: what that changes says itself how it is wrapped."""
        return tuple(one for one in self.outcome if one != "wrapped")

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
    if said and fact.polar and all(ROLES.fixtures.is_all(one.words(text)) for one in first):
        # "변기는 안 되는 거죠?" after a thing: down which it may go, and no toilet to throw away.
        first = []
    near = fact.near and bool(first or fact.place)
    leans = _leans(fact, first)
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
    aspects = _aspects(fact, kept, mentioned)
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
        or (bool(kept) and (fact.told or (fact.polar and not set(aspects) <= _ELSEWHERE_TOO)))
        # "ramen cup with soup stains"
        or (bool(kept) and "dirty" in fact.cases and text.isascii() and not fact.open),
        elsewhere=fact.wants_else or (fact.elsewhere and _elsewhere(text, mentioned)),
        bin=next(iter(asked_bins), None),
        choice=fact.either or len(asked_bins) > 1 or (" or " in text and bool(asked_bins or WHERE & set(aspects))),
        aspects=aspects,
    )


def _mentioned(fact: Facts, found: list[Item], neighbours: Neighbours) -> list[Mention]:
    """The items that a text names, or means by a name that is put together of its words."""
    text = fact.text
    mentioned = _of_a_pair(_held(mentions(text, found), text, neighbours), text, neighbours)
    tools = [one for one in mentioned if wrapped.as_tool(one, text) or lists.taken_off(one, text)]
    if tools and all(one in tools or bins.is_where(one, text) for one in mentioned):
        mentioned = [*(_shorter(tools, text, found) or tools), *(one for one in mentioned if one not in tools)]
    if any(one.item.category == "electronics" for one in mentioned):
        # "외장하드 안에 파일 지워야 해?"
        mentioned = [one for one in mentioned if not ROLES.stored.is_all(one.words(text))]
    if "full" in fact.cases:
        mentioned = [_left_over(one, text, neighbours) for one in mentioned]
    best = found[0] if found and found[0].score >= _NAMED else None
    if (
        best
        and _nothing_but_a_name(fact)
        and all(one.item != best for one in mentioned)
        # "의자 다리" is no "의자 다리 커버".
        and not any(plain(name).startswith(f"{text} ") for name in best.names())
        and len(lists.runs(mentioned, text)) == len(mentioned)
    ):
        # "스마트폰 케이스": the search knows the whole name in other words.
        mentioned = [Mention(best, 0, len(text))]
    if collected := [one for one in mentioned if bins.collected(one, text)]:
        # "옷걸이랑 옷 같이 의류수거함에": the bin bears another name of a thing.
        mentioned = sorted(
            [*mentioned, *mentions(rest.without(text, mentioned), (one.item for one in collected))],
            key=lambda one: one.start,
        )
    things = [one for one in mentioned if not bins.collected(one, text)]
    # "만두 유리병 수거함에 넣어도 돼?", and after a thing "유리병 수거함에 넣으면 안 돼?".
    return things if things or (fact.said and fact.short) else mentioned


def _leans(fact: Facts, first: list[Mention]) -> bool:
    """Whether it leans on what was said before: a remark that names nothing new ("기름이 많이 묻었으면?"), or a part."""
    names_parts = all(_of_it(one.words(fact.text), fact.text) for one in first)
    return bool(fact.said) and (fact.follows or (names_parts and (bool(first) or (fact.says and fact.short))))


def _of_it(word: str, text: str) -> bool:
    """Whether a word is for a part of what was spoken of: "뚜껑은?", "쇠 스프링 든 펌프는?", "뚜껑이랑 용기 둘 다?"."""
    beside = ROLES.stuff.is_all(word) or ROLES.holders.is_all(word)
    return parts.is_part(word) or (beside and parts.part(text.replace(word, " ", 1)) is not None)


def _aspects(fact: Facts, things: list[Mention], mentioned: list[Mention]) -> tuple[str, ...]:
    """What is asked about the things, outside of their names; first of all a place that they are brought to."""
    line = rest.without(fact.text, parts.without_parts(things, fact.text))
    first = set(reading.aspects(line[fact.asks_from :])) if fact.asks_from else set[str]()
    unasked = set[str]()
    if fact.asks_where:
        unasked = _BEFOREHAND | (_TAKEN_OFF if _OFF_FIRST.search(line) else set[str]())
    asked = (one for one in reading.aspects(line) if one not in unasked)
    heard = sorted(asked, key=lambda one: one not in first)
    starts = {one.start for one in things}
    names = [(one.start, one.end, one.start not in starts) for one in mentioned]
    return judge.asked(heard, fact, names, follows=bool(fact.said))


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
            # "케이크 먹고 남은 초랑 종이상자": another thing stands between.
            continue
        if best := neighbours.named(name):
            merged = Mention(best, one.start, end)
            return sorted(
                [merged, *(other for other in mentioned if other not in inside)],
                key=lambda other: other.start,
            )
    return mentioned


def _of_a_pair(mentioned: list[Mention], text: str, neighbours: Neighbours) -> list[Mention]:
    """The mentions, with what a list joins to a thing as that thing's: "아이스크림 통이랑 막대기", "생수병이랑 병뚜껑"."""
    for one in mentioned:
        if (joined := lists.next_word(one, text)) is None:
            continue
        word, start = joined
        end = start + len(word)
        beside = [other for other in mentioned if other.start < end and start < other.end]
        if any(other.item.category == "bulky" or not start <= other.start < other.end <= end for other in beside):
            # "식탁이랑 의자": furniture is a thing of its own; "와인병하고 코르크 마개": so is a longer name.
            continue
        part = all(parts.is_part(other.words(text)) for other in beside)
        name = one.words(text)
        own = word.removeprefix(name[-1:])
        for whole in dict.fromkeys((name, HELD.sub("", name).strip(), one.item.name)):
            best = neighbours.named(f"{whole} {own}")
            if best is None or best.id == one.item.id:
                continue
            if any(own in said if part else f"{whole}{own}" == said.replace(" ", "") for said in best.names()):
                others = [other for other in mentioned if other not in beside and other.item.id != best.id]
                return sorted([*others, Mention(best, start, end)], key=lambda other: other.start)
    return mentioned


def _shorter(tools: list[Mention], text: str, found: list[Item]) -> list[Mention]:
    """The things with which the names of tools begin: "신발 끈으로 묶어서" is about shoes, "빵 봉지째" about bread."""
    others = mentions(text, (item for item in found if all(item != one.item for one in tools)))
    starts = {one.start for one in tools}
    return [one for one in others if one.start in starts and text[one.end : one.end + 1] == " "]


def _left_over(one: Mention, text: str, neighbours: Neighbours) -> Mention:
    """ "반 남은 락스" is what was in the bottle, where that is an item of its own."""
    name = "남은 " + one.words(text)
    said = name.replace(" ", "")
    left = (item for item in neighbours.search(name, 3) if said in (other.replace(" ", "") for other in item.names()))
    return Mention(next(left, one.item), one.start, one.end)


# "전자레인지에 넣어도 안전해?": asked of things that stay, too.
_ELSEWHERE_TOO = {"safe"}
# "씻어서 어디에 넣어요?" asks for the bin.
_BEFOREHAND = {"rinse", "crush", "moisture"}
# "건전지 빼고 어디에": what came off is done with.
_OFF_FIRST = re.compile(r"[빼떼]고\s")
_TAKEN_OFF = {"battery", "label", "lid", "separate"}
# Where a thing goes, or who gets it: "빨아서 기부해도 돼?"
_ENDS = {*WHERE, "reuse"}
# What a thing is of, as it is said right before its name and right after it.
_KINDS = [
    (name, re.compile(rf"(?:{words.source}|{name})한?\s?$"), re.compile(rf"\s?{words.source}"))
    for key, (words, name) in KINDS.items()
    if key != "broken"
]
# A search score of the whole of what is typed, in other words.
_NAMED = 0.75


def _nothing_but_a_name(fact: Facts) -> bool:
    return not (fact.disposal or fact.state or fact.polar or fact.open or fact.elsewhere)


def _paid(text: str) -> list[tuple[int, int]]:
    """Where a text asks for a pickup: the sticker of "스티커 붙여야 해?" is no part of a thing."""
    return [match.span() for match in ASPECTS["pickup"].all(text)]
