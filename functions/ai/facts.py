"""What is known of a question from its text alone: computed once, before anything is looked up."""

import re
import unicodedata
from collections.abc import Sequence
from functools import cached_property
from typing import Literal

from msgspec import Struct

from functions.ai import clauses, forms
from functions.ai.interfaces import Question
from functions.ai.phrases import Words
from functions.ai.vocabulary import (
    ASPECTS,
    BINS,
    CASES,
    GRAMMAR,
    KINDS,
    KOREAN_OF,
    MISSPELT,
    MIXED,
    PARTS,
    ROLES,
    SITUATIONS,
    SPELT,
    TOPICS,
    UNKNOWNS,
    Situation,
    Unknown,
)

Language = Literal["ko", "en"]

# Longest text that is looked at: a question is at most 4000 characters, and only its beginning is about anything.
LONGEST = 600
# Letters of a remark: a longer text says itself what it is about.
_REMARK = 60
# Letters at the end of a text, where it says how it asks.
_END = 16

_HANGUL = re.compile(r"[가-힣ㄱ-ㆎ]")
# "요거트 먹고 난 통" asks for the 요거트 통: what was done with the thing before is between the two words of its name.
_AFTER_USE = re.compile(
    rf"(?<=[가-힣])\s+(?:{ROLES.before_use.source}\s*)?{ROLES.after_use.source}\s+(?:빈\s*)?"
    rf"(?=(?:{ROLES.stuff.source}\s*)?(?:{ROLES.holders.source}|종이(?!컵)|비닐|포장[지재]?)(?!으?로\s))"
)
# "마라탕 시켜 먹고 기름 범벅인 그릇": what delivered food came in.
_DELIVERED = re.compile(rf"({ROLES.delivered.source}.*?)(?<![가-힣])(?:플라스틱\s?|일회용\s?)?(?:그릇|용기)(?!\s?뚜껑)")
# "양념 묻은 봉투": a bag that held something is no bin.
_HELD_IT = re.compile(rf"({ROLES.soiled.source}\s)봉[투지](?![가-힣]*째)")
# "라벨 없는 페트병" is a bottle, and asks nothing about its label.
_LACKING = re.compile(
    rf"(?<![가-힣])(?:{'|'.join(words.source for words in PARTS.values())})[이가은도]?\s?{TOPICS.lacking.source}\s+(?=[가-힣])"
)
# A sentence with a question mark: "닫아서 내놔?", and not "뚜껑은?".
_ASKS = re.compile(r"[가-힣](?<![은는도])(?<![은는도]요)\?+$")


def ending_in(final: int) -> str:
    """The syllables with a final consonant, by its number."""
    return "[" + "".join(chr(code) for code in range(ord("가") + final, ord("힣") + 1, 28)) + "]"


_N, _L, _M, _B = map(ending_in, (4, 8, 16, 17))
# The endings with which Korean asks for yes or no: "넣을까", "되려나", "큰가", "되는지 궁금해요", "세척 여부", "라벨 제거 필수?"
_YES_OR_NO = re.compile(
    rf"(?:{_L}(?:까|지|는지|런지)|려나|{_N}(?:가|지)|{_B}니까|겠[네다지]|[려둬놔내어아해워여]도(?=\?)|(?:류|이)지|[가-힣][나냐니죠]|[되있맞하]남|잖아|여부|필수|{_M}\?)요?[가은는를]?"
    rf"(?:\s*(?:좀\s*)?{TOPICS.wonders.source}[가-힣\s]*)?[\s?!.~ㅠㅜㅎㅋ]*$"
)
# "Do egg shells count as food waste?"
_AUXILIARY = re.compile(
    r"(?:^|[.,;!?]\s)(?:so |and |but |then )?(?:do|does|did|can|could|may|should|must|will|would|is|are)\s"
    r"|\s(?:first|fine|bad|right|yes|legal|illegal|allowed|wrong|matter)\?$"
)
# "What about a milk carton, does it go with paper?"
_WHAT_ABOUT = re.compile(r"^(?:and |so )?(?:what|how) about [^,?]+[,?] (?=(?:do|does|is|are|can|should|must|may)\b)")
# "old keyboard, e-waste?", "newspaper and books, same bin?", "wet wipes, flush?"
_PLACES = (*BINS.values(), TOPICS.together, *(ASPECTS[name] for name in ("toilet", "drain", "bag", "food", "recycle")))
_BIN_ASKED = re.compile(rf"(?:{'|'.join(words.source for words in _PLACES)})(?: ok| okay| right| or not)?\?+$")
# "더러우면 어디에 버려?" asks of that state, and "의자 버리려면 어떻게 해" of none.
_WHAT_IF = re.compile(r"(?<!려)면요?(?:\s(?:어디|어떻게|어떡|어째|뭘로)[가-힣\s]*)?[\s?!.~]*$")
_WANTS = re.compile(r"(?<![가-힣])[가-힣]+(?:으?려면|고 싶)")
# "뚜껑은요?", "젖었으면?"
_REMARKS = re.compile(r"[가-힣][은는면]요?[\s?!.~]*$")
# "휴지도 돼?", and not "버려도 돼?".
_AGAIN = re.compile(
    rf"(?:(?<![어아여려겨해와워져춰러써펴내줘둬놔봐따싸떼빼서켜]){GRAMMAR.again.source}[가-힣]{{0,4}}|[가-힣][도은는]요?)[\s?!.~]*$"
)
# "베란다 낙엽 쓸어 모은 거": Korean that ends with what a thing is like.
_DESCRIBED = re.compile(rf"{TOPICS.described.source}(?:요|임|들)?[\s?.!~]*$")
_DESCRIBES = re.compile(r"(?<=는)\s?[거것건걸]\s(?![가-힣]*(?:맞|아니|뭐|알|모르))")
_MUST = re.compile(r"(?<!버려)(?<!내)(?<!넣어)야\s?(?:하|해|돼|되|될|됨|함)")
_FOLLOWS = re.compile(rf"(?:{GRAMMAR.openers.source}[,.!\s]*)*{GRAMMAR.leads.source}")


def plain(text: str) -> str:
    """One line, of compatible characters, in lower case."""
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())[:LONGEST]


def asked(text: str) -> str:
    """A question as the rules read it: plain, spelt as names are, without what was done with a thing before and what it lacks."""
    spelt = MISSPELT.sub(lambda match: SPELT.get(match[0].replace(" ", ""), match[0]), plain(text))
    korean = MIXED.sub(lambda match: match[1] + KOREAN_OF[match[0].strip()], spelt)
    held = _HELD_IT.sub(r"\1비닐봉투", _LACKING.sub("", _AFTER_USE.sub(" ", korean)))
    return _DELIVERED.sub(r"\1배달 용기", held)


def what_if(text: str) -> bool:
    """Whether a text ends with a condition: "더러우면?"."""
    return _WHAT_IF.search(text) is not None


def language(text: str, before: Sequence[str] = ()) -> Language:
    """Korean where there is Hangul, English where there are letters only, else what was spoken before."""
    for said in (text, *before):
        if _HANGUL.search(said):
            return "ko"
        if re.search(r"[a-zA-Z]{2}", said):
            return "en"
    return "ko"


def _told(words: Words) -> "cached_property[bool]":
    """Whether one list of `words/` is found in the text."""
    return cached_property(lambda facts: words.within(facts.text))


class Facts(Struct, frozen=True, dict=True):
    """A question's text and what its words say, each found when a rule first asks for it."""

    text: str
    language: Language
    said: tuple[str, ...]
    """What the person said before, oldest first."""

    disposal = _told(TOPICS.disposal)
    whole = _told(TOPICS.complete)
    as_bin = _told(TOPICS.as_bin)
    """Whether a bin is the answer that it asks for."""
    elsewhere = _told(TOPICS.elsewhere)
    money = _told(TOPICS.money)
    near = _told(TOPICS.near)
    together = _told(TOPICS.together)
    apart = _told(TOPICS.apart)
    """Whether it asks if things go apart."""
    place = _told(TOPICS.place)
    refers = _told(GRAMMAR.refers)
    orders = _told(TOPICS.orders)
    why = _told(TOPICS.why)
    isnt = _told(TOPICS.isnt)
    turns = _told(TOPICS.beside_photo)
    asks_where = _told(TOPICS.asks_where)
    still_on = _told(TOPICS.still_on)
    figurative = _told(TOPICS.figurative)
    greets = _told(TOPICS.greetings)
    thanks = _told(TOPICS.thanks)
    despairs = _told(TOPICS.despair)
    may = _told(TOPICS.may)
    """Whether it asks if something may be done, rather than must."""
    reason = _told(TOPICS.reason)
    every = _told(GRAMMAR.every)

    @property
    def short(self) -> bool:
        return len(self.text) <= _REMARK

    @cached_property
    def state(self) -> bool:
        return self.as_bin or TOPICS.state.within(self.text) or TOPICS.handling.within(self.text)

    @cached_property
    def wants_else(self) -> bool:
        """Whether it asks how to do something that is no way to be rid of a thing: "캔버스 그림 배우려면 어떻게 해"."""
        ways = (TOPICS.disposal, TOPICS.handling, TOPICS.ways)
        return any(not any(words.within(match[0]) for words in ways) for match in _WANTS.finditer(self.text))

    @cached_property
    def not_taken(self) -> bool:
        """Whether it asks what a collection does not take."""
        return TOPICS.not_taken.within(self.text) and TOPICS.which_things.within(self.text)

    @cached_property
    def follows(self) -> bool:
        return self.refers or _FOLLOWS.match(self.text) is not None

    @cached_property
    def open(self) -> bool:
        """Whether it wants more than yes or no."""
        return TOPICS.open.within(_WHAT_ABOUT.sub("", self.text)) or _REMARKS.search(self.text) is not None

    @cached_property
    def polar(self) -> bool:
        """Whether it wants yes or no, and nothing more: rules hear it, and a judge of its end has the last word."""
        return not _REMARKS.search(self.text) and forms.wants_yes_or_no(self.text, self.heard)

    @cached_property
    def sounds_polar(self) -> bool:
        """Whether the rules alone hear a yes or no asked for."""
        return not self.open and (
            TOPICS.polar.within(self.text)
            or any(asks.search(self.text) for asks in (_ASKS, _YES_OR_NO, _AUXILIARY))
            or (_BIN_ASKED.search(self.text) is not None and not self.near)
        )

    @cached_property
    def heard(self) -> frozenset[str]:
        """What rules hear of how it asks."""
        text, end = self.text, self.text[-_END:]
        heard = {
            "sounds polar": self.sounds_polar,
            "open": TOPICS.open.within(text),
            "open at last": TOPICS.open.within(end),
            "polar": TOPICS.polar.within(text),
            "polar at last": TOPICS.polar.within(end),
            "wonders": TOPICS.wonders.within(end),
            "remark": _REMARKS.search(text),
            "what if": what_if(text),
            "asks": _ASKS.search(text),
            "ends": _YES_OR_NO.search(text),
            "auxiliary": _AUXILIARY.search(text),
            "bin": _BIN_ASKED.search(text),
            "mark": text.endswith("?"),
            "near": self.near,
            "where": self.asks_where,
            "why": self.why,
            "may": self.may,
            "told": self.told,
            "described": self.described,
            "either": self.either,
            "disposal": self.disposal,
            self.language: True,
        }
        return frozenset(name for name, is_heard in heard.items() if is_heard)

    @cached_property
    def asks_from(self) -> int:
        """Where the clause begins that asks, behind what is only told; 0 where all of it may ask."""
        return clauses.asks_from(self.text) if self.sounds_polar else 0

    @cached_property
    def either(self) -> bool:
        """Whether it asks which of two ways."""
        return clauses.asks_which(self.text)

    @cached_property
    def described(self) -> bool:
        """Whether it ends with what a thing is like, and asks nothing."""
        return _DESCRIBED.search(self.text) is not None

    @cached_property
    def told(self) -> bool:
        """Whether it tells how somebody came to have a thing, and asks nothing."""
        return TOPICS.told.within(self.text) and not self.open and not self.text.endswith("?")

    @cached_property
    def negated(self) -> bool:
        """Whether it is asked the other way round; "조율 안 되는 거 기증" tells how a thing is."""
        return sum(_DESCRIBES.match(self.text, one.end()) is None for one in GRAMMAR.negated.all(self.text)) % 2 == 1

    @cached_property
    def omitted(self) -> bool:
        """Whether it asks what is when something is left out; "안 떼고 놔뒀는데 다 떼야 하나요" only tells that."""
        said = list(GRAMMAR.omitted.all(self.text))
        # "안 떼고 그냥 둬도" says it twice.
        left_out = [match.end() for match in said if not match[0].startswith("그냥")] or [one.end() for one in said]
        return len(left_out) % 2 == 1 and _MUST.search(self.text, left_out[-1]) is None

    @cached_property
    def barred(self) -> bool:
        """Whether it asks if something is not allowed."""
        found = {match.span() for match in GRAMMAR.negated.all(self.text)}
        return any(match.span() in found for match in GRAMMAR.barred.all(self.text))

    @cached_property
    def again(self) -> bool:
        """Whether it asks of another thing what was asked before."""
        return _AGAIN.search(self.text) is not None or GRAMMAR.and_this.at(self.text, 0) is not None

    @cached_property
    def says(self) -> bool:
        """Whether it has a syllable, or an English word that is looked for: a picture or letters at random say nothing."""
        lists = (*ASPECTS.values(), *CASES.values(), *BINS.values(), TOPICS.disposal, TOPICS.handling, TOPICS.state)
        return re.search("[가-힣]", self.text) is not None or any(
            words.within(self.text) for words in (*lists, GRAMMAR.filler)
        )

    @cached_property
    def aspects(self) -> tuple[str, ...]:
        return aspects(self.text)

    @cached_property
    def cases(self) -> tuple[str, ...]:
        """How the thing is; what does not come off is dirt, unless it is a part."""
        found = [name for name, words in CASES.items() if words.within(self.text)]
        return tuple(found if "dirty" in found or "stuck" in found or "stays" not in found else [*found, "dirty"])

    @cached_property
    def kind(self) -> str | None:
        return next((name for words, name in KINDS.values() if words.within(self.text)), None)

    @cached_property
    def situation(self) -> Situation | None:
        return next((one for one in SITUATIONS if one.there(self.text)), None)

    @cached_property
    def unknown(self) -> Unknown | None:
        return next((one for one in UNKNOWNS if one.there(self.text)), None)


def facts(question: Question) -> Facts:
    """Read a question; nothing is looked up."""
    said = tuple(turn.content for turn in question.history if turn.role == "user")
    return Facts(asked(question.text), language(question.text, said[::-1]), said)


# "설거지하던 고무장갑", "변기 닦던 솔": what it was used for.
_USED_TO = re.compile(rf"(?:{ROLES.fixtures.source}[을를]?\s)?[가-힣]+던(?=\s)")


def aspects(text: str) -> tuple[str, ...]:
    """What is asked about a thing, in the order of `words/aspects.toml`; how it is already is not asked."""
    for done in (*GRAMMAR.done.all(text), *_USED_TO.finditer(text)):
        text = text[: done.start()] + " " * len(done[0]) + text[done.end() :]
    return tuple(name for name, words in ASPECTS.items() if words.within(text))
