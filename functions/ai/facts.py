"""What is known of a question from its text alone: computed once, before anything is looked up."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from functions.ai import clauses
from functions.ai.interfaces import Question
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

_HANGUL = re.compile(r"[가-힣ㄱ-ㆎ]")
# "요거트 먹고 난 통" asks for the 요거트 통: what was done with the thing before is between the two words of its name.
_AFTER_USE = re.compile(
    rf"(?<=[가-힣])\s+(?:{ROLES.before_use.source}\s*)?{ROLES.after_use.source}\s+(?:빈\s*)?"
    rf"(?=(?:{ROLES.stuff.source}\s*)?(?:{ROLES.holders.source}|종이(?!컵)|비닐|포장[지재]?)(?!으?로\s))"
)
# "마라탕 시켜 먹고 기름 범벅인 그릇": what delivered food came in.
_DELIVERED = re.compile(rf"({ROLES.delivered.source}.*?)(?<![가-힣])(?:플라스틱\s?|일회용\s?)?(?:그릇|용기)(?!\s?뚜껑)")
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
# "and wet wipes?"
_AND_THIS = re.compile(r"(?:and|even|also)\s")
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
    return _DELIVERED.sub(r"\1배달 용기", _LACKING.sub("", _AFTER_USE.sub(" ", korean)))


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


class Facts(Struct, frozen=True):
    """A question's text and what its words say. Each truth is one list of `words/` found in the text, or not."""

    text: str
    language: Language
    said: tuple[str, ...]
    """What the person said before, oldest first."""
    short: bool
    disposal: bool
    whole: bool
    state: bool
    as_bin: bool
    """Whether a bin is the answer that it asks for."""
    elsewhere: bool
    wants_else: bool
    """Whether it asks how to do something that is no way to be rid of a thing."""
    money: bool
    near: bool
    together: bool
    apart: bool
    """Whether it asks if things go apart."""
    not_taken: bool
    """Whether it asks what a collection does not take."""
    place: bool
    follows: bool
    refers: bool
    orders: bool
    why: bool
    isnt: bool
    turns: bool
    asks_where: bool
    still_on: bool
    polar: bool
    """Whether it wants yes or no, and nothing more."""
    asks_from: int
    """Where the clause begins that asks, behind what is only told; 0 where all of it may ask."""
    either: bool
    """Whether it asks which of two ways."""
    open: bool
    """Whether it wants more than yes or no."""
    figurative: bool
    greets: bool
    described: bool
    """Whether it ends with what a thing is like, and asks nothing."""
    told: bool
    """Whether it tells how somebody came to have a thing, and asks nothing."""
    negated: bool
    omitted: bool
    """Whether it asks what is when something is not done with the thing."""
    may: bool
    """Whether it asks if something may be done, rather than must."""
    reason: bool
    barred: bool
    """Whether it asks if something is not allowed."""
    every: bool
    again: bool
    """Whether it asks of another thing what was asked before."""
    says: bool
    """Whether any of its words is one that is looked for: a picture or letters at random say nothing."""
    aspects: tuple[str, ...]
    cases: tuple[str, ...]
    kind: str | None
    situation: Situation | None
    unknown: Unknown | None


def facts(question: Question) -> Facts:
    """Read a question; nothing is looked up."""
    text = asked(question.text)
    said = tuple(turn.content for turn in question.history if turn.role == "user")
    follows = _FOLLOWS.match(text) is not None
    refers = GRAMMAR.refers.within(text)
    as_bin = TOPICS.as_bin.within(text)
    is_open = TOPICS.open.within(text) or _REMARKS.search(text) is not None
    polar = _yes_or_no(text) and not is_open
    return Facts(
        text=text,
        language=language(question.text, said[::-1]),
        said=said,
        short=len(text) <= _REMARK,
        disposal=TOPICS.disposal.within(text),
        whole=TOPICS.complete.within(text),
        state=as_bin or TOPICS.state.within(text) or TOPICS.handling.within(text),
        as_bin=as_bin,
        elsewhere=TOPICS.elsewhere.within(text),
        wants_else=_wants_else(text),
        money=TOPICS.money.within(text),
        near=TOPICS.near.within(text),
        together=TOPICS.together.within(text),
        apart=TOPICS.apart.within(text),
        not_taken=TOPICS.not_taken.within(text) and TOPICS.which_things.within(text),
        place=TOPICS.place.within(text),
        follows=follows or refers,
        refers=refers,
        orders=TOPICS.orders.within(text),
        why=TOPICS.why.within(text),
        isnt=TOPICS.isnt.within(text),
        turns=TOPICS.beside_photo.within(text),
        still_on=TOPICS.still_on.within(text),
        asks_where=TOPICS.asks_where.within(text),
        polar=polar,
        asks_from=clauses.asks_from(text) if polar else 0,
        either=clauses.asks_which(text),
        open=is_open,
        figurative=TOPICS.figurative.within(text),
        greets=TOPICS.greetings.within(text),
        described=_DESCRIBED.search(text) is not None,
        told=TOPICS.told.within(text) and not is_open and not text.endswith("?"),
        negated=_negated(text),
        omitted=_omitted(text),
        may=TOPICS.may.within(text),
        reason=TOPICS.reason.within(text),
        barred=_barred(text),
        every=GRAMMAR.every.within(text),
        again=_AGAIN.search(text) is not None or _AND_THIS.match(text) is not None,
        says=_says(text),
        aspects=aspects(text),
        cases=_cases(text),
        kind=next((name for words, name in KINDS.values() if words.within(text)), None),
        situation=next((one for one in SITUATIONS if one.there(text)), None),
        unknown=next((one for one in UNKNOWNS if one.there(text)), None),
    )


def _wants_else(text: str) -> bool:
    """ "캔버스 그림 배우려면 어떻게 해": somebody wants to do something that is no way to be rid of a thing."""
    ways = (TOPICS.disposal, TOPICS.handling, TOPICS.ways)
    return any(not any(words.within(match[0]) for words in ways) for match in _WANTS.finditer(text))


def _says(text: str) -> bool:
    """Whether a text has a syllable, or an English word of those that questions hold."""
    if re.search("[가-힣]", text):
        return True
    lists = (
        *ASPECTS.values(),
        *CASES.values(),
        *BINS.values(),
        TOPICS.disposal,
        TOPICS.handling,
        TOPICS.state,
        GRAMMAR.filler,
    )
    return any(words.within(text) for words in lists)


def _cases(text: str) -> tuple[str, ...]:
    """How the thing is; what does not come off is dirt, unless it is a part."""
    found = [name for name, words in CASES.items() if words.within(text)]
    return tuple(found if "dirty" in found or "stuck" in found or "stays" not in found else [*found, "dirty"])


def _barred(text: str) -> bool:
    found = {match.span() for match in GRAMMAR.negated.all(text)}
    return any(match.span() in found for match in GRAMMAR.barred.all(text))


def _negated(text: str) -> bool:
    """Whether it is asked the other way round; "조율 안 되는 거 기증" tells how a thing is."""
    return sum(_DESCRIBES.match(text, match.end()) is None for match in GRAMMAR.negated.all(text)) % 2 == 1


def _omitted(text: str) -> bool:
    """Whether it asks what is when something is left out; "안 떼고 놔뒀는데 다 떼야 하나요" only tells that."""
    said = list(GRAMMAR.omitted.all(text))
    # "안 떼고 그냥 둬도" says it twice.
    left_out = [match.end() for match in said if not match[0].startswith("그냥")] or [match.end() for match in said]
    return len(left_out) % 2 == 1 and _MUST.search(text, left_out[-1]) is None


def _yes_or_no(text: str) -> bool:
    asked = any(asks.search(text) for asks in (_ASKS, _YES_OR_NO, _AUXILIARY))
    return TOPICS.polar.within(text) or asked or (_BIN_ASKED.search(text) is not None and not TOPICS.near.within(text))


# "설거지하던 고무장갑", "변기 닦던 솔": what it was used for.
_USED_TO = re.compile(rf"(?:{ROLES.fixtures.source}[을를]?\s)?[가-힣]+던(?=\s)")


def aspects(text: str) -> tuple[str, ...]:
    """What is asked about a thing, in the order of `words/aspects.toml`; how it is already is not asked."""
    for done in (*GRAMMAR.done.all(text), *_USED_TO.finditer(text)):
        text = text[: done.start()] + " " * len(done[0]) + text[done.end() :]
    return tuple(name for name, words in ASPECTS.items() if words.within(text))
