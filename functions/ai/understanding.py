"""What a person asks, read from the text alone: the language, the things named, parts of things, and what is wanted."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal

from msgspec import Struct

from functions.ai.retrieval import Item

Language = Literal["ko", "en"]

# Longest text that is looked at: a question is at most 4000 characters, and only its beginning is about anything.
LONGEST = 600


def plain(text: str) -> str:
    """One line, of compatible characters, in lower case."""
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())[:LONGEST]


# "요거트 먹고 난 통" asks for the 요거트 통: what was done with the thing before stands between the two words of its name.
_AFTER_USE = re.compile(
    r"(?<=[가-힣])\s+(?:다\s*)?(?:시켜\s*|까\s*|사\s*)?"
    r"(?:(?:먹|마시|쓰|바르|사용하)고(?:\s*(?:나서|난|나온|남은|생긴))?|(?:먹|쓰)다\s*남은|먹은|마신|쓴|(?:먹었|마셨|썼)는데)\s+(?:빈\s*)?"
    r"(?=(?:플라스틱\s*|유리\s*|종이\s*)?(?:통|병|컵|용기|그릇|봉지|봉투|껍질|껍데기|뼈|씨|캔|팩|상자|박스|곽|튜브|케이스|국물|가시|뚜껑))"
)


def asked(text: str) -> str:
    """A question as the rest of this module reads it."""
    return _AFTER_USE.sub(" ", plain(text))


_HANGUL = re.compile(r"[가-힣ㄱ-ㆎ]")


def language(text: str, before: Sequence[str] = ()) -> Language:
    """Korean where there is Hangul, English where there are letters only, else what was spoken before."""
    for said in (text, *before):
        if _HANGUL.search(said):
            return "ko"
        if re.search(r"[a-zA-Z]{2}", said):
            return "en"
    return "ko"


class Mention(Struct, frozen=True):
    """An item named in a text, and where: offsets into the plain text."""

    item: Item
    start: int
    end: int


def mentions(text: str, items: Iterable[Item]) -> list[Mention]:
    """The items whose names stand in the (plain) text, longest names first served, in the order of the text."""
    letters = _Letters(text)
    found = [Mention(item, *span) for item in items for name in item.names() for span in letters.find(plain(name))]
    # Longer names say more ("페트병 뚜껑" before "페트병"); among equals the search's order holds (sort is stable).
    found.sort(key=lambda mention: mention.start - mention.end)
    taken: list[Mention] = []
    for mention in found:
        free = all(mention.end <= other.start or mention.start >= other.end for other in taken)
        if free and all(mention.item.id != other.item.id for other in taken):
            taken.append(mention)
    return sorted(taken, key=lambda mention: mention.start)


# Words that are written as a name and are none: "can they be recycled", "비행기 못 가져가는데".
_NO_NAME = re.compile(
    r"cans? (?:i|we|you|they|it|he|she|one|this|that|these|those|be|go|a|an|the|my)\b|못\s(?!버리|하나|몇)[가-힣]"
)


_MEASURE = re.compile(r"박스|상자|봉지|봉투|병|캔|통|컵|팩|개")
_COUNTED = re.compile(r"(?:한|두|세|네|다섯|몇|\d)\s*$")


class _Letters:
    """A text without blanks and signs, in which names are looked for: people write "페트병뚜껑" and "페트병 뚜껑"."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.places = [place for place, letter in enumerate(text) if letter.isalnum()]
        self.squeezed = "".join(text[place] for place in self.places)
        # Whether a word of the text begins here; one more for the end.
        self.begins = [
            number == 0 or self.places[number - 1] != place - 1 for number, place in enumerate(self.places)
        ] + [True]

    def find(self, name: str) -> Iterable[tuple[int, int]]:
        """Where a name stands, as offsets into the text."""
        name = "".join(letter for letter in name if letter.isalnum())
        start = self.squeezed.find(name) if name else -1
        while start >= 0:
            end = start + len(name)
            if self._whole(name, start, end) and not self._otherwise(self.places[start], self.places[end - 1] + 1):
                yield self.places[start], self.places[end - 1] + 1
            start = self.squeezed.find(name, start + 1)

    def _otherwise(self, start: int, end: int) -> bool:
        """Whether the letters are another word, two things of a list ("식탁, 의자"), or a measure ("한 박스")."""
        return bool(
            _NO_NAME.match(self.text, start)
            or re.search(r"[,/·;]", self.text[start:end])
            or (_MEASURE.fullmatch(self.text[start:end]) and _COUNTED.search(self.text[:start]))
        )

    def _whole(self, name: str, start: int, end: int) -> bool:
        """Whether it is the name there, and not letters in the middle of other words."""
        word_end = next(number for number in range(end, len(self.begins)) if self.begins[number])
        rest = self.squeezed[end:word_end]
        if name.isascii():
            return self.begins[start] and (rest in ("", "s", "es") or not rest[0].isascii())
        # Short Korean names are syllables of many other words: 병 in 생수병, 김치 in 김치찌개.
        if len(name) <= 2:
            return self.begins[start] and (not rest or _PARTICLE.fullmatch(rest) is not None or rest.startswith("수거"))
        return self.begins[start] or len(name) >= 4


_PARTICLES = (
    r"(?:은요|는요|이요|은|는|이|가|을|를|도|만|과|와|랑|이랑|하고|의|에|에서|로|으로|들|들은|들을"
    r"|이나|나|인데|이고|에는|부터|까지)"
)

_PARTICLE = re.compile(_PARTICLES)

# Parts that come with things: as people call them in either language.
PARTS: dict[str, tuple[str, ...]] = {
    "cap": ("병뚜껑", "뚜껑", "마개", "caps?", "lids?", "bottle tops?"),
    "label": ("라벨", "상표", "스티커", "라벨지", "labels?", "stickers?"),
    "straw": ("빨대", "straws?"),
    "pump": ("펌프", "pumps?"),
    "ring": ("고리", "rings?"),
    "handle": ("손잡이", "handles?"),
    "tape": ("테이프", "tapes?"),
    "film": ("비닐", "랩", "films?", "wraps?", "wrapping"),
    "cord": ("전선", "코드", "cords?", "cables?"),
    "spring": ("스프링", "springs?"),
    "staple": ("스테이플러", "철심", "심", "staples?"),
    "battery": ("배터리", "batteries", "battery"),
    "tray": ("트레이", "trays?"),
    "peel": ("껍질", "껍데기", "peels?", "shells?", "skins?"),
    "bone": ("뼈", "bones?"),
    "seed": ("씨앗", "씨", "seeds?", "pits?", "stones?"),
    "zipper": ("지퍼", "zippers?"),
    "button": ("단추", "buttons?"),
    "sleeve": ("홀더", "슬리브", "sleeves?"),
    "contents": ("내용물", "국물", "contents"),
}


def part(text: str, outside: Sequence[Mention] = ()) -> tuple[str, str] | None:
    """The part that a text asks about and the word for it; words inside of mentions are names, no parts."""
    for kind, words in PARTS.items():
        for word in words:
            pattern = (
                rf"(?<![a-z]){word}(?![a-z])" if word.isascii() else rf"{word}(?!으?로)(?={_PARTICLES}?(?![가-힣]))"
            )
            for match in re.finditer(pattern, text):
                if all(match.end() <= mention.start or match.start() >= mention.end for mention in outside):
                    return kind, match[0]
    return None


# Materials and bins: where something goes, not what is thrown away, as soon as something else is named.
_WHERE = re.compile(
    r"플라스틱|유리|종이|비닐|고철|철|금속|알루미늄|캔|스티로폼|나무|목재|일반\s?쓰레기|쓰레기|음식물|음식물\s?쓰레기|음식\s?쓰레기|쓰레기통|휴지통"
    r"|대형\s?폐기물|대형\s?쓰레기|폐기물|변기|하수구|싱크대|헌\s?옷|옷|의류|헌옷\s?수거함|의류\s?수거함|화분"
    r"|plastics?|glass|paper|metals?|vinyl|cans?|food waste|general (?:waste|trash)|e-?waste|food"
    r"|trash|garbage|trash cans?|bins?|toilets?|sinks?|clothes"
)
# What follows a thing that is not the one thrown away: dirt on it, what it is wrapped in, what it came with.
_DIRT = re.compile(
    r"[이가을도만]?\s*물?[이가]?\s*(?:좀|조금|많이|너무|다|잔뜩|심하게)?\s*(?:묻|낀|끼었|꼈|배어|배었|뱄|들었|물들|범벅|튀었|튄|젖|안\s?지워|닦)"
    r"|\s*(?:stains?|residue)\b"
)
_TOOL = re.compile(r"(?:으로|로|에)\s*(?:잘\s*)?(?:싸|감싸|말아|덮|포장해|묶|모아|모았|담아|담았)")
_WITH = re.compile(r"(?:이랑|랑|하고|과|와|에|으로|로|처럼)(?![가-힣])")
_WITH_A = re.compile(r"\bwith (?:an?|the|its|some)?\s*$")
_ORIGIN = re.compile(
    r"\s*하고\s*(?:난|남은|나온)|\s*(?:포장|봉지|상자)?\s*(?:안|속)에\s*(?:들|있)|\s*[이가]?\s*(?:담겼|담긴|담았|담아|들었)"
    r"|\s*(?:에|에서|이랑|랑|과|와|안에|속에)\s*(?:같이\s*)?(?:딸려|따라\s?온|온|나온|들어\s?있|들었|있던)"
)
_MADE_OF = re.compile(r"(?:인데|이라서?|라서|이니까|니까)(?![가-힣])")


def things(named: Sequence[Mention], text: str, *, follows: bool = False) -> list[Mention]:
    """The mentions that are to be thrown away: "빨대는 플라스틱인가요?" is about the straw, "피자박스 기름 묻었으면" the box.

    The others stay when nothing else is named, or when a list names them ("페트병, 캔, 종이컵"). With `follows`, something
    was said before that the text may be about: then dirt and wrappings are not what it is about, even alone.
    """
    beside = [
        one
        for one in named
        if _WITH_A.search(text, 0, one.start)
        or _DIRT.match(text, one.end)
        or _TOOL.match(text, one.end)
        or (follows and _WHERE.fullmatch(text[one.start : one.end]) and _WITH.match(text, one.end))
    ]
    if len(beside) < len(named) or follows:
        named = [one for one in named if one not in beside]
    # "콜라 페트병": what was in it says which bottle.
    contents = [
        one
        for one, other in pairs(named)
        if text[one.end : other.start] == " "
        and one.item.category == "food" != other.item.category
        and not _WHERE.fullmatch(text[other.start : other.end])
    ]
    kept = [
        one
        for one in named
        if not _WHERE.fullmatch(text[one.start : one.end])
        and not _MADE_OF.match(text, one.end)
        and not (_ORIGIN.match(text, one.end) and one is not named[-1])
        and one not in contents
    ]
    if not kept:
        return list(named)
    listed = {one.start for one, other in pairs(named) if _AND.fullmatch(text[one.end : other.start])} | {
        other.start for one, other in pairs(named) if _AND.fullmatch(text[one.end : other.start])
    }
    return [mention for mention in named if mention in kept or mention.start in listed]


_AND = re.compile(r"\s*(?:,|/|·|와|과|랑|이랑|하고|및|and|or|&|\+|그리고|이나|나)(?:\s*(?:,|a|an|the|and))*\s*")
# What stands between a thing and its part: "샴푸통의 펌프", "상자에 붙은 테이프", "cap of a bottle".
_OF = re.compile(r"\s*(?:의|에|에\s?붙은|에\s?있는|안의|안에\s?있는)?\s*")
_PART_OF = re.compile(r"s?\s*(?:of|from|on)\s*(?:a|an|the|my)?\s*")


def pairs(named: Sequence[Mention]) -> list[tuple[Mention, Mention]]:
    return list(pairwise(named))


_BIN = re.compile(r"(?:일반|음식물?)?\s?쓰레기|쓰레기통|휴지통|general (?:waste|trash)|trash(?: cans?)?|garbage|bins?")


def only_bins(named: Sequence[Mention], text: str) -> bool:
    """Whether all that is named is what something is thrown into: the thing itself has no name of ours."""
    return bool(named) and all(_BIN.fullmatch(text[one.start : one.end]) for one in named)


def part_and_whole(named: Sequence[Mention], text: str) -> tuple[Mention, Mention] | None:
    """Two neighbouring mentions of which one is a part of the other: (part, whole)."""
    for one, other in pairs(named):
        between = text[one.end : other.start]
        if is_part(text[other.start : other.end]) and _OF.fullmatch(between):
            return other, one
        if is_part(text[one.start : one.end]) and _PART_OF.fullmatch(between):
            return one, other
    return None


# What a part may be made of.
_STUFF = r"(?:metal|plastic|paper|glass|rubber) |(?:금속|플라스틱|종이|유리|고무|비닐|쇠|철)\s?"


def is_part(text: str) -> bool:
    """Whether a text is nothing but a word for a part."""
    return any(re.fullmatch(rf"(?:{_STUFF})?{word}", text) for words in PARTS.values() for word in words)


# What makes another thing of a thing that was named before: "그럼 색깔 있는 건?"
_KINDS = (
    (re.compile(r"유색|색깔|색\s?있|컬러|\bcolou?r"), "유색"),
    (re.compile(r"투명|무색|\bclear\b|transparent"), "투명"),
    (re.compile(r"깨진|깨졌|깨지|broken|smashed|cracked"), "깨진"),
)


def kind(text: str) -> str | None:
    """The word that a name of that kind of thing begins with."""
    return next((word for pattern, word in _KINDS if pattern.search(text)), None)


def speaks_of(line: str, kind: str) -> bool:
    """Whether a rule's line is about that part."""
    return any(re.search(rf"(?<![a-z]){word}" if word.isascii() else word, plain(line)) for word in PARTS[kind])


_DISPOSAL = re.compile(
    # Not the verb that says something is done for good: 잊어버렸어.
    r"(?<![어아해])버(?:리|려|릴|림|렸|린)|분리|재활용|재사용|배출|처리|처분|수거|폐기|헹구|헹궈|씻어|씻고|씻나|떼어|떼고|떼야|떼나|뗄|쓰레기|종량제|봉투에|넣어|넣으|넣나"
    r"|내놓|내놔|모아|내다"
    r"|\b(dispos\w*|recycl\w*|throw\w*|thrown|trash|garbage|bins?|rubbish|waste|get(ting)? rid|rinse\w*"
    r"|put (it|them|this|that|out)?|discard\w*|separat\w*|sort(ed|ing)?"
    r"|toss\w*|dump\w*|dropp?(ed|ing)? ?off|compost\w*|landfill|flush\w*)\b"
)
# How things are that one wants to be rid of, what is done with them then, and the collections by their names. Each may stand
# in another question too, so it counts where a thing is named and nothing else is asked for.
_WASTE = re.compile(
    r"깨졌|깨진|깨뜨|깨트|금\s?간|부서|부러|찢어|터졌|터진|터져|부풀|부푼|망가|낡은|고장|유통\s?기한|유효\s?기간|상했|상한|쉬었|쉬어서|썩|곰팡이"
    r"|묻었|묻은|묻어|얼룩|젖은|젖었|젖어|다\s?쓴|다\s?썼|다\s?먹|다\s?마|남은\s?(?:거|것|채)|남았|(?:쓰|먹|마시|입|신)고\s?(?:난|남은|나서)|안\s?쓰|안\s?입|못\s?쓰|필요\s?없"
    r"|부어|부으|붓|흘려|흘리|쏟|내려도|내려보|내놓|내놔|내면|내야|내도|갖다|가져가|가져다|보내|맡기|받아|치우|치워|두고|놔둬|놔두|부분[은을]|태워|태우|싸서|싸면|묶어"
    r"|어디에|어디다|어디로|뭘로|뭐로|무슨\s?쓰레기|구멍|뚫|빼야|빼고|빼서|제거|찌그러|찌그려|밟아|접어|펴서|헹|씻|비우|비워|떼|뜯어|벗겨|벗기|잘라|분해|기부|공병|보증금|환급|돈\s?(?:줘|주|받|내|드)"
    r"|(?:음식물|일반|종이|플라스틱|비닐|캔|유리|고철|병|재활용|불연성|종량제)\s?(?:쓰레기|류|봉투|통|함)?(?:이야|야|인가|인지|임|맞|일까|이에요|예요|이죠|로\s?분류)"
    r"|(?:종이|폐지|플라스틱|비닐|캔|유리|고철|헌옷|일반|음식물|재활용)(?:으로|로)?\s?(?:안\s?)?(?:되|돼|될|내|분류|가|봐)"
    r"|\b(broke|broken|cracked|scratched|swollen|expired|ripped|torn|worn|outgrew|outgrown|leftovers?|half[- ](full|empty)"
    r"|greasy|rusty|no longer|don't need|(where|which bin|what bin) (do|does|should|can|would)|what happens with|what now"
    r"|what (do|should|can|to do) (i )?(do )?with|(go|goes|belong|belongs) (in|into|to|with)|pour\w*|drain|sink|food waste"
    r"|general waste|counts? as|peel off|take (\w+ ){0,3}(off|out)|remov\w*|detach\w*|crush\w*|deposit|burn|bury"
    r"|pick(ed)? ?up|collect\w*|donate\w*)\b"
)
# What a place is for, so that the nearest one is our business.
_PLACE = re.compile(
    r"수거|분리|재활용|배출|버리|버릴|버려|쓰레기|거점|의류함|헌옷함|집하|받아|갖다|반납"
    r"|\b(recycl\w*|drop[- ]?off|collection|bins?|dispos\w*|throw\w*|waste|trash|rid)\b"
)
_NEAR = re.compile(
    r"가까운|가까이|근처|근방|주변|인근|동네에|수거함[은이을]?\s*(?:어디|어딨)|거점|센터[은는이가]?\s*어디|어디\s*있|어디있|어딨|위치|갈\s*수\s*있는"
    r"|\b(near(est|by)?|closest|close to me|around (me|here)|in my (area|neighbou?rhood)|drop[- ]?off (point|location|place)s?"
    r"|where is the|where are the|collection (point|cent(er|re))s?|recycling cent(er|re)s?)\b"
)
_FOLLOW = re.compile(
    r"^(?:아|음|네|응|어)?[,.\s]*(?:그럼|그러면|그렇다면|그건|그거|그것|그게|이건|이거|이것|그리고|아까|방금|거기|또)"
    r"|^(?:ok(?:ay)?|and|so|then|but)?[,\s]*(?:then|what about|how about|and|what if|does it|do i|should i|is it|can it|it|that"
    r"|those|them|they)\b"
)
_REFERS = re.compile(
    r"(?:^|\s)(?:그거|그것|그걸|그건|그게|이거|이건|이걸|저거|둘\s*다)|\b(?:it|that|them|those|they|both|this|one)\b"
)


# What people ask chat assistants about instead, whatever thing of ours they name along with it.
_ELSE = re.compile(
    r"추천|레시피|요리|만드는|만들기|맛있|맛집|타는\s?법|타기|섞는|비율|날씨|번역|시를|시\s한|농담|소설|노래|영화|드라마|게임|뉴스|주가|주식|투자|경기|점수"
    r"|고르|삶는|삶아|끓이|끓여|굽는|구워|볶는|볶아|빨래|세탁\s?(?:방법|법|하는)|고치|수리|시동|방전|칼로리|알레르기|알러지|오래\s?쓰|관리|키우|기르|심는|심기|파는|싸게|구매|구입|사는\s?곳|살까|사고\s?싶"
    r"|삼켰|삼킨|먹지(?!\s?(?:않|못|말))|먹을까|감기\s?걸|(?<!다\s)(?<!다)먹었|마셔도|차이|느려|느리|사이즈|안\s?켜|충전이|소독|온도(?!계)|브랜드|요약|비밀번호|몇\s?시|몇\s?위|영업|청소하는|청소\s?(?:방법|법)|칠하|만들"
    r"|코드|코딩|파이썬|프로그램|누구|몇\s?살|나이는|수도는|역사|유래|발명|먹어야|먹으면|아파|아픈|두통|증상|여행|예측|사주|운세|연애|숙제|계산"
    r"|\b(cook\w*|boil\w*|bak(e|ing)|grill\w*|recipes?|recommend\w*|suggest|buy\w*|weather|jokes?|poems?|stor(y|ies)|songs?|translate|code|python|program"
    r"|president|capital|play\w*|ride|riding|learn|invest\w*|stocks?|movies?|games?|gaming"
    r"|who (is|was|invented)|history|invented|drink\w*"
    r"|fix|repair\w*|reset|grow\w*|best|password|clean an?|how (to|do i|can i) clean|(to|i) microwave|safe to|won|win|what time"
    r"|leak\w*|allerg\w*|explain|bedtime|good|swallow\w*|ate|eat|calories"
    r"|tastes?|tasty|delicious|pairs?|solve|write|draw|headache|symptoms?|travel|horoscope|homework|calculate)\b"
)


_MONEY = re.compile(r"가격|얼마|비용|\b(prices?|costs?|expensive|cheap)\b")


def about_something_else(text: str, *, follows: bool = False) -> bool:
    """Whether a text asks for what is none of our business, unless it asks how to throw something away as well.

    With `follows`, something was said before, and money may be what throwing it away costs.
    """
    other = _ELSE.search(text) or (not follows and _MONEY.search(text))
    return bool(other) and not _DISPOSAL.search(text)


def about_disposal(text: str) -> bool:
    return bool(_DISPOSAL.search(text))


def about_waste(text: str) -> bool:
    """Whether a text speaks of a thing as of one to be rid of: in a state, in a bin, down the drain."""
    return bool(_WASTE.search(text))


_END = re.compile(rf"(?:{_PARTICLES})?[\s?!.~ㅠㅜㅎㅋ]*")
_PART_AT_END = re.compile(
    rf"(?:{'|'.join(word for words in PARTS.values() for word in words if not word.isascii())}){_END.pattern}$"
)


def only_names(named: Sequence[Mention], text: str) -> bool:
    """Whether a text only names what to be rid of: a list of things, or Korean that ends with a thing or a part of it.

    English questions about anything end with a name ("how do I boil eggs").
    """
    if any(_AND.fullmatch(text[one.end : other.start]) for one, other in pairs(named)):
        return True
    ends = bool(named) and (_END.fullmatch(text, named[-1].end) or _PART_AT_END.search(text, named[-1].end))
    return bool(ends) and bool(_HANGUL.search(text))


_COMPLETE = re.compile(
    r"버리|버려|버릴|배출|분리\s?수거|수거함|\b(dispos\w*|throw\w*|recycl\w*|get(ting)? rid|nearest)\b"
)


def stands_alone(text: str) -> bool:
    """Whether a text asks its question whole: "테이프는 어떻게 버려요?", unlike "테이프는 떼야 해?"."""
    return bool(_COMPLETE.search(text))


def about_a_way(text: str) -> bool:
    """Whether a text asks where the nearest place is, rather than which bin."""
    return bool(_NEAR.search(text))


def about_our_place(text: str) -> bool:
    """Whether the place that a text asks for is one that takes waste."""
    return bool(_PLACE.search(text))


def follows(text: str) -> bool:
    """Whether a text leans on what was said before it."""
    return bool(_FOLLOW.search(text) or _REFERS.search(text))


# What may stand beside a thing in a question that is only about how to throw it away.
_FILLER = re.compile(
    r"어떻게|어떡해|어떡하|어쩌|어디에?다?|어느|무슨|뭐|무엇|언제|왜|혹시|그냥|그럼|그러면|그리고|그거|그건|그것|이거|이건|이것|저거|제가|저는|나는|우리|집에|있는|있어"
    r"|같은|같이|함께|따로|전부|다|쓴|먹은|마신|남은|빈|오래된|낡은|헌|깨진|부서진|고장난|고장|난|안|못|되는|되나|될까|돼|되|요|해|해야|하나|하나요|하죠|하지|할까"
    r"|하면|한가요|인가요|일까|이요|죠|나요|까요|방법|법|알려|줘|주세요|줄래|궁금|가능|질문|경우|때|것|건|거|은|는|이|가|을|를|도|만|과|와|랑|이랑|의|에서?|로|으로|들|좀|더|및"
    r"|큰|작은|새|중고|유통기한|지난|더러운|깨끗한|묻은|젖은|색깔|색|투명|사용|쓰던|다쓴|필요|없는|한|두|세|개|병|통|봉지|상자|여러|많이|조금"
    r"|\b(?:how|what|where|which|when|why|who|can|could|should|would|may|must|do|does|did|is|are|was|be|i|you|we|it|they|them|this|that|these"
    r"|those|a|an|the|my|our|your|some|any|to|in|into|on|of|for|with|from|at|out|and|or|about|then|if|have|has|got|old|new|used|empty|broken"
    r"|dirty|clean|expired|leftover|unused|whole|big|small|large|please|tell|me|know|way|ok|okay|so|go|goes|here|away|korea|seoul|same|together"
    r"|separately|need|want|both|also|too|still|not|no|left|over)\b"
)
_STRAY = {"ko": 1, "en": 3}


def plainly_about(text: str, named: Sequence[Mention]) -> bool:
    """Whether hardly a letter of a text is neither a thing's name nor what a question about throwing it away may hold."""
    rest = list(text)
    for mention in named:
        rest[mention.start : mention.end] = " " * (mention.end - mention.start)
    line = "".join(rest)
    for words in PARTS.values():
        for word in words:
            line = re.sub(rf"(?<![a-z]){word}(?![a-z])" if word.isascii() else word, " ", line)
    for expected in (_DISPOSAL, _NEAR, _WHERE, _FILLER):
        line = expected.sub(" ", line)
    return sum(letter.isalnum() for letter in line) <= _STRAY[language(text)]
