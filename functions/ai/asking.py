"""A question as the rules ask about it: its scene, what they look up beyond that, and what they say."""

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from functions.ai import bins, rest, sounds, topic
from functions.ai.facts import facts
from functions.ai.interfaces import Question
from functions.ai.mentions import HELD
from functions.ai.retrieval import Item, Neighbours
from functions.ai.scene import MEANT, MOST_ITEMS, Scene, scene
from functions.ai.understood import Understood
from functions.ai.vocabulary import ROLES
from shared.calls import Missing
from shared.messages import Photo, Turn

# "소주병이 스무 개쯤 있음"
_HAS = re.compile(r"(?:있[음어는습]|많[아음은]|생겼|나왔)[가-힣]*[\s.!~]*$")
# "납작하게만 하면 돼?": that it is done is no yes to whether that is all.
_ALONE = re.compile(r"[가-힣]만\s(?:[가-힣]+면|해도)\s?[되돼됨될끝]")
_GOES_ON = re.compile(r"그럼|그러면|그래도|그냥|그대로")
# "ㅋㅋㅋ" is no word.
_SPELT = re.compile(r"[가-힣]|[a-z]{2}")


class Asking:
    """A question with its scene, and what some rules look up beyond it."""

    def __init__(self, question: Question, neighbours: Neighbours) -> None:
        self.question = question
        self.neighbours = neighbours
        self.scene = scene(facts(question), neighbours)
        self._said: dict[str, Scene] = {}

    def understood(self, rule: str, items: Sequence[Item] = (), **more: Any) -> Understood:
        """The answer of a rule, with what is asked of the items."""
        fact = self.scene.facts
        asked = self.asked_before if items and self._asks_again() else self.scene
        given: dict[str, Any] = {
            "near": self.scene.near,
            "aspects": asked.outcome,
            "bin": asked.bin,
            "negated": fact.negated,
            "omitted": fact.omitted,
            "may": fact.may,
            "reason": fact.reason,
            "barred": fact.barred,
            "polar": (fact.polar or (asked is not self.scene and not fact.open))
            and not (asked.choice or _ALONE.search(fact.text)),
            "open": (fact.open and not fact.polar) or asked.choice,
            "every": fact.every,
            "text": fact.text,
            "cases": fact.cases,
            "together": fact.together,
            "apart": fact.apart,
        } | more
        found = {item.id: item for item in items}
        return Understood(rule, fact.language, (*found.values(),)[:MOST_ITEMS], **given)

    def _asks_again(self) -> bool:
        """ "물약도?", "그럼 복숭아 씨는?": what was asked before is asked of another thing."""
        fact = self.scene.facts
        return fact.again and fact.short and bool(fact.said) and not (self.scene.aspects or fact.cases)

    @property
    def asked_before(self) -> Scene:
        """What was said right before."""
        return self._before(self.scene.facts.said[-1])

    def _before(self, text: str) -> Scene:
        """What was said before; searched for once, whichever rules look at it."""
        if text not in self._said:
            self._said[text] = scene(facts(Question(text)), self.neighbours)
        return self._said[text]

    def as_before(self) -> tuple[str, ...]:
        """How the thing was said to be, where the question goes on from that: "그래도 재활용돼요?"."""
        fact = self.scene.facts
        goes_on = fact.said and not fact.cases and _GOES_ON.match(fact.text)
        return facts(Question(fact.said[-1])).cases if goes_on else ()

    @cached_property
    def topic(self) -> list[Item]:
        """What the conversation is about, for a question that leans on it, whichever rules ask."""
        return next(self.topics(), [])

    def topics(self) -> Iterator[list[Item]]:
        """What was spoken of, the last first; each turn is a search."""
        turns = self.question.history
        for number in range(len(turns) - 1, max(-1, len(turns) - 9), -1):
            if turns[number].role == "user" and (items := self._spoken_of(number)):
                yield items

    def _spoken_of(self, number: int) -> list[Item]:
        """What a turn was about by itself: none where it leaned on an earlier one ("테이프 붙어 있으면?")."""
        turns = self.question.history
        text, after = turns[number].content, turns[number + 1 :]
        of_it = scene(facts(Question(text, turns[:number])), self.neighbours)
        before, found = of_it.facts, of_it.found
        named = [one for one in of_it.named if not bins.is_where(one, before.text)]
        of_before = of_it.leans or (before.said and before.short and of_it.named and not before.disposal)
        if of_before and all(ROLES.stored.is_all(one.words(before.text)) for one in named):
            # "색깔 있는 건?", "플라스틱이야" are about another thing, which their answer names.
            return self._answered(after) if before.kind or of_it.named else []
        named = named or of_it.first
        if (
            before.disposal
            or before.state
            or _HAS.search(before.text)
            or before.told
            or of_it.plainly
            or (named and topic.about_waste(text))
        ):
            if named and not bins.only_bins(named, before.text):
                return [mention.item for mention in named[:MOST_ITEMS]]
            if found and found[0].score >= MEANT:
                return [found[0]]
        return self._answered(after)

    def named_before(self) -> list[Item]:
        """The things that the person named last, whatever was said of them: "냉장고 새로 샀어"."""
        scenes = (self._before(said) for said in reversed(self.scene.facts.said))
        return next(([one.item for one in scene.first] for scene in scenes if scene.first), [])

    def _answered(self, after: Sequence[Turn]) -> list[Item]:
        """The item that the answer to a turn was about: it says its name before a colon ("이거 어떻게 버려?")."""
        for line in after[0].content.splitlines() if after and after[0].role == "assistant" else ():
            name, colon, _ = line.partition(":")
            if colon:
                found = self.neighbours.search(name, 3)
                return [item for item in found if name in (item.name, item.name_en)][:1]
        return []

    def names_a_thing(self, text: str) -> bool:
        """Whether something that was said names a thing."""
        return bool(self._before(text).things)

    def of_kind(self, topic: Item, kind: str, words: str = "") -> list[Item]:
        """The thing of another kind than the one named, where there is such an item; else that one."""
        holder = HELD.search(words)
        for base in (*reversed(topic.name.split()), *([holder[0]] if holder and holder[0] != "통" else [])):
            for item in self.neighbours.search(f"{kind} {base}", 5):
                if any(name.startswith(kind) and base in name for name in item.names()):
                    return [item]
        return [topic]

    def called(self, name: str) -> list[Item]:
        """The item of exactly that name."""
        return [item for item in self.neighbours.search(name, 5) if item.name == name][:1]

    def meant(self) -> list[Item]:
        """The item that the search is sure of, where the text has no name as ours are written."""
        scene = self.scene
        spelt = _SPELT.search(scene.facts.text) is not None
        best = scene.found[0] if spelt and scene.found and scene.found[0].score >= MEANT else None
        if bins.only_bins(scene.mentioned, scene.facts.text):
            return []
        own = scene.about or scene.facts.state or not scene.leans
        if scene.facts.language == "en" and scene.facts.open and not (scene.about or scene.facts.state or scene.leans):
            # "How to tie a tie".
            return []
        if best is None or scene.named or (scene.part and scene.leans) or not own:
            return []
        return [self._spelt_most_like(best)]

    def _spelt_most_like(self, best: Item) -> Item:
        """Of the items found, the one that a misspelt word means: "형광둥" is 형광등 before 형광등 기구."""
        found = self.scene.found[:3]
        words = rest.name_alone(self.scene.facts.text).split()
        for meant in ([best], found):
            for word in words:
                if any(sounds.nearly(word, item.names()) for item in meant):
                    near = [item for item in found if sounds.nearly(word, item.names())]
                    return near[sounds.closest(word, [item.names() for item in near])]
        return best

    def photographed(self, photo: Photo) -> list[Item]:
        """The item that a photo was found to show."""
        if photo.item_id is None or photo.status != "success":
            return []
        try:
            item = self.neighbours.item(photo.item_id)
        except Missing:
            return []
        # A person's correction says another kind: then it is not that item.
        return [item] if item.category == photo.waste_type else []
