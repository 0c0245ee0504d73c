"""From the words of a public list to opening hours: one cell a day, in whatever way offices write it.

Apart from `hours.py`, for whoever serves hours reads none: the expressions alone take 10 ms of a start.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any

from functions.location.hours import ALWAYS, DAYS, KEYS, Span
from functions.location.letters import one_apart

# No cell of opening hours is longer; what is, is prose or a damaged file, and not worth a search.
_LONGEST = 300


@dataclass(frozen=True)
class Reading:
    """One day's text, read. `spans` is None where nothing in it was understood; `note` keeps what was not read.

    `repair` says in words what was put right before it could be read.
    """

    spans: list[Span] | None
    weeks: list[int] | None = None
    note: str = ""
    repair: str = ""


_NOON, _A_DAY = 12 * 60, 24 * 60
# Minutes of the longest break: «09:00~12:00, 13:00~18:00 점심시간» does not mean that the afternoon is one.
_LONGEST_BREAK = 180
_NAMES = {
    "mon": "월",
    "tue": "화",
    "wed": "수",
    "thu": "목",
    "fri": "금",
    "sat": "토",
    "sun": "일",
    "holiday": "공휴일",
}

_HALF = r"오전|오후|새벽|아침|낮|저녁|밤|am|pm|a\.m\.|p\.m\."
_TIME = (
    rf"(?:(?P<half{{0}}>{_HALF})\s*)?"
    r"(?:(?P<word{0}>정오|자정)|(?P<hour{0}>\d{{1,2}})(?:\s*:\s*(?P<min{0}>\d{{2}})(?:\s*:\s*\d{{2}})?(?:\s*시)?"
    r"|\s*시(?:간)?(?:\s*(?P<mins{0}>\d{{1,2}})\s*분|\s*(?P<thirty{0}>반))?|(?P<mil{0}>\d{{2}})(?=\D|$))?)"
    r"(?:\s*(?P<post{0}>am|pm|a\.m\.|p\.m\.))?"
)
_SPAN = re.compile(
    r"(?<![\d:])" + _TIME.format(1) + r"\s*(?:~|부터|에서|to\b)+\s*"
    r"(?P<next>익일|다음\s*날|다음날|명일|next\s*day)?\s*" + _TIME.format(2) + r"(?:\s*(?:까지|시))?(?![\d:])"
)
_ALWAYS = re.compile(r"24\s*시간|24/7|24\s*h(?:ours?|rs?)?\b|상시|항시|언제나|하루\s*종일|종일|always")
_CLOSED = re.compile(
    r"(?:전체|정기|전일|종일)?\s*(?:휴\s*무일?|휴\s*관일?|휴점|휴업일?|휴일|쉬는\s*날|쉼)"
    r"|미\s*운영|미\s*영업|운영\s*(?:안\s*함|하지\s*않음|없음)|영업\s*(?:안\s*함|하지\s*않음|없음)|closed|(?<!\w)x(?!\w)"
)
_ENDED = re.compile(r"(?:계약|운영|사업|영업)\s*(?:종료|만료|중단|중지)|폐점|폐쇄|폐업|철거")
_BREAK = re.compile(
    r"점심\s*시간|점심|중식\s*시간|중식|휴게\s*시간|휴게|쉬는\s*시간|브레이크\s*타임|브레이크|break(?:\s*time)?|lunch"
)
_NTH = r"(?:[1-5]|첫|둘|두|셋|세|넷|네|다섯)(?:\s*번?째)?(?:\s*주)?"
_WEEKS = re.compile(
    rf"(?:매\s*[월달])?\s*(?<![\d:])(?P<list>{_NTH}(?:\s*[,·./&~]\s*{_NTH})*)(?<=[주째])(?:\s*주)?차?(?![말년간민일])"
)
_WEEK = re.compile(r"[1-5]|첫|둘|두|셋|세|넷|네|다섯|~")
_WEEK_NUMBER = {"첫": 1, "둘": 2, "두": 2, "셋": 3, "세": 3, "넷": 4, "네": 4, "다섯": 5}
# Words that tie a span to some days of a month or to a season.
_ELSEWHEN = re.compile(
    r"하절기|동절기|여름|겨울|하계|동계|춘계|추계|방학|(?<!\d)\d{1,2}\s*월|(?<!\d)\d{1,2}\s*일(?!\w)|마지막|말주|[월달주]\s*\d\s*회"
    r"|매월|매달|격월|격주|격일|홀수|짝수"
)
_DAY = r"(?:평일|주중|주말|(?:법정)?공휴일|[월화수목금토일]요일|(?<![\w:])[월화수목금토일](?!\w))"
# «화», «월~금», «토·일·공휴일», «월,수,금요일»
_DAYS_NAMED = re.compile(rf"(?:매주\s*)?{_DAY}(?:\s*[~,·/및]\s*{_DAY})*")
_EXCEPT = re.compile(
    rf"[(\[,/※]*\s*(?P<days>{_DAYS_NAMED.pattern})\s*(?:은|는)?\s*(?:정기\s*)?(?:휴무일?|휴관일?|제외)\s*[)\]]?"
)
_COVERS = {
    "평일": DAYS[:5],
    "주중": DAYS[:5],
    "주말": DAYS[5:],
    "공휴일": ("holiday",),
    "법정공휴일": ("holiday",),
    **{f"{_NAMES[day]}요일": (day,) for day in DAYS},
    **{_NAMES[day]: (day,) for day in DAYS},
}
# Two syllables that are closed or always, but for one letter.
_SLIPS = ("휴무", "상시")
_FILLER = re.compile(
    r"(?:운영|영업|이용|개방|수거|접수|배출|가능|시간|업무|무인|매일|매주|연중무휴|연중|무휴|제외|까지|부터|요일|365일|open|hours?|and|및|그리고|은|는|:|"
    r"[\s()\[\]{}<>,./;|·~*\"'&+※■○●▶-])+"
)


@lru_cache(maxsize=4096)  # a list of ten thousand centers has a hundred different texts
def read(text: str, day: str | None = None) -> Reading:
    """One cell of the source. `day` (one of KEYS) lets words such as 평일 or 토요일 pass where they mean that day."""
    source = text.strip()
    if len(source) > _LONGEST:
        return Reading(None, note=source)
    written = _plain(source)
    if not written.strip(" ~.\"'`"):
        return Reading(None)
    plain, repair = _mend(written)
    if _ENDED.search(plain):
        return Reading([], note=source)
    reading = _read(plain, day, source)
    return replace(reading, repair=repair) if reading.spans is not None else reading


def _read(plain: str, day: str | None, source: str) -> Reading:
    whole, weeks = _take_weeks(plain)
    if _ELSEWHEN.search(whole):
        return Reading(None, note=source)
    rest, others = _take_day(whole, day)
    if rest is None:
        return Reading(None, note=source)

    found = [(match, _span(match)) for match in _SPAN.finditer(rest)]
    starts = [span[0] for _, span in found if span is not None]
    # «10:00~12:00, 02:00~04:00»: the second is in the afternoon, or is it?
    if len(starts) < len(found) or any(late < early and late < "07:00" for early, late in pairwise(starts)):
        return Reading(None, note=source)
    spans, breaks, rest = _sort_breaks(rest, [(match, span) for match, span in found if span is not None])

    if not spans:
        if breaks:
            return Reading(None, note=source)
        if always := _ALWAYS.search(rest):
            left = rest.replace(always.group(), " ")
            return Reading(list(ALWAYS), weeks, _unread(left, weeks, others, source))
        if closed := _CLOSED.search(rest):
            left = rest.replace(closed.group(), " ")
            # «공휴일 휴무» in Monday's cell does not say that Mondays are closed.
            return Reading([]) if _is_filler(left) and not weeks else Reading(None, note=source)
        bare = _bare(rest)
        return Reading(bare, note=source if bare is None or others else "")

    if (closed := _CLOSED.search(rest)) and _is_filler(rest.replace(closed.group(), " ")):
        return Reading(None, note=source)  # both hours and «closed», with nothing that says when which
    if any(_of_clock(end) - _of_clock(start) > _LONGEST_BREAK for start, end in breaks):
        return Reading(None, note=source)
    if any(a < c and d < b for a, b in spans for c, d in spans):
        return Reading(None, note=source)  # «09:00~18:00 (12:00~13:00)»: a break, or what?
    for pause in breaks:
        spans = _without(spans, pause)
    if not spans:
        return Reading(None, note=source)
    return Reading(_merged(spans), weeks, _unread(rest, weeks, others, source))


def compose(texts: Mapping[str, str]) -> dict[str, Any] | None:
    """The hours object of a center from its days' texts by KEYS (a missing key is empty); None if all are empty."""
    readings = {key: read(texts.get(key, ""), key) for key in KEYS}
    if all(reading.spans is None and not reading.note for reading in readings.values()):
        return None
    hours: dict[str, Any] = {key: [list(span) for span in readings[key].spans or []] for key in KEYS}
    notes: dict[str, list[str]] = {}
    for key in KEYS:
        if readings[key].note:
            notes.setdefault(readings[key].note, []).append(_NAMES[key])
    hours["note"] = "\n".join(f"{'·'.join(days)}: {note}" for note, days in notes.items())
    if weeks := {key: readings[key].weeks for key in KEYS if readings[key].weeks}:
        hours["weeks"] = weeks
    if unread := [key for key in KEYS if readings[key].spans is None]:
        hours["unread"] = unread
    return hours


def _plain(text: str) -> str:
    """Compatibility forms (`：`, `～`, full-width digits) and the many dashes and arrows to one spelling each; lower case."""
    text = unicodedata.normalize("NFKC", text).lower()
    return re.sub(r"\s*(?:[-=]+>|[~∼〜–—−‐‑―→⇒\u1173-]+|\.{2,})\s*", " ~ ", text).strip()


def _mend(text: str) -> tuple[str, str]:
    """Slips of the hand that leave no doubt, put right (`09;00`, `휴뮤`); and what was, in words."""
    if len(text) == 2:
        for word in _SLIPS:
            if text != word and one_apart(text, word):
                return word, f"«{text}» read as {word}"
    mended = re.sub(r"(?<![\d.;:])(\d{1,2})[.;](\d{2})(?!\d|[.;:]\d)", r"\1:\2", text)
    if apart := re.fullmatch(r"(\d{1,2}:\d{2})\s+(\d{1,2}:\d{2})", mended):
        mended = f"{apart[1]} ~ {apart[2]}"
    return mended, "" if mended == text else f"«{text[:60]}» read as {mended[:60]}"


def _take_weeks(text: str) -> tuple[str, list[int] | None]:
    match = _WEEKS.search(text)
    if match is None:
        return text, None
    weeks: set[int] = set()
    words = _WEEK.findall(match.group("list"))
    for before, word in zip(["", *words], words, strict=False):
        if word != "~":
            number = _WEEK_NUMBER.get(word) or int(word)
            weeks.update(range(max(weeks), number) if before == "~" else (), [number])
    return f"{text[: match.start()]} {text[match.end() :]}", sorted(weeks)


def _take_day(text: str, day: str | None) -> tuple[str | None, bool]:
    """What a text says of the day whose cell it is, and whether it speaks of other days too.

    «평일 09:00~18:00, 토요일 09:00~13:00» has a clause for each; of «09:00~18:00 (월요일 휴무)» all days but Monday have the
    first part. None where nothing says what holds for this day.
    """
    others = False
    for closed in list(_EXCEPT.finditer(text)):
        rest = text.replace(closed.group(), " ")
        if _is_filler(rest):
            break
        if day is None or day in _days(closed["days"]):
            return ("휴무" if day else None), True
        text, others = rest, True
    named = list(_DAYS_NAMED.finditer(text))
    if not named:
        return text, others
    if len(named) == 1 and day in _days(named[0].group()):
        return text.replace(named[0].group(), " "), others
    if not _is_filler(text[: named[0].start()]):
        return None, True
    ends = [match.start() for match in named[1:]] + [len(text)]
    clauses = [text[match.end() : end] for match, end in zip(named, ends, strict=True) if day in _days(match.group())]
    return (clauses[0] if len(clauses) == 1 else None), True


def _days(text: str) -> set[str]:
    """The keys that a list or range of days names."""
    words = re.findall(rf"{_DAY}|~", text)
    covered: set[str] = set()
    for before, word in zip(["", *words], words, strict=False):
        keys = _COVERS.get(word, ())
        if before == "~" and len(words) == 3 and keys and keys[0] in DAYS and (first := _COVERS[words[0]])[0] in DAYS:
            keys = DAYS[DAYS.index(first[0]) : DAYS.index(keys[0]) + 1]
        covered.update(keys)
    return covered


def _span(match: re.Match[str]) -> Span | None:
    """What a span says; None where it leaves a doubt."""
    start, end = _minutes(match, 1), _minutes(match, 2)
    if start is None or end is None or start >= _A_DAY:
        return None
    if not (_has_half(match, 1) or _has_half(match, 2) or "시" in match.group() or _has_minutes(match)):
        return None if _bare(match.group()) is None else (_clock(start), _clock(end))
    ends = _end(match, start, end)
    if ends is None or ends == start or ends > start + _A_DAY or ends > 36 * 60:
        return None
    return _clock(start), _clock(ends if ends <= _A_DAY else ends - _A_DAY)


def _end(match: re.Match[str], start: int, end: int) -> int | None:
    """The minute, from the first midnight on, at which a span ends; None where it may be another."""
    first, second = _has_half(match, 1), _has_half(match, 2)
    if first and not second:
        # «오후 1시~5시»: the half of the day carries over to the end; «9시~오후 6시» does not carry back.
        if end < _NOON <= start < end + _NOON:
            end += _NOON
        elif end <= start < _NOON or start >= _NOON == end:
            return None  # «오전 9시~6시»: morning or evening? «오후 1시~12시»: noon or midnight?
    elif not (first or second or match["next"]) and _is_ambiguous(match, start, end):
        return None
    if match["next"] and end < _A_DAY:
        return end + _A_DAY
    return _A_DAY if end == _A_DAY - 1 or (start, end) == (0, 0) else end


def _has_half(match: re.Match[str], i: int) -> bool:
    """Whether a time says in which half of the day it is."""
    return bool(match[f"half{i}"] or match[f"post{i}"] or match[f"word{i}"])


def _has_minutes(match: re.Match[str]) -> bool:
    """Whether one of the two times is more than a bare number."""
    return any(match[f"{part}{i}"] for part in ("min", "mins", "thirty", "mil") for i in (1, 2))


def _is_ambiguous(match: re.Match[str], start: int, end: int) -> bool:
    """Whether hours on a face of twelve may be meant: «10시~5시», «2시~4시», «09:00~06:00»; not «22시~5시», «11:00~02:00»."""
    past_midnight = 0 < end <= start
    if past_midnight and (end + 24 * 60 - start > 16 * 60 or (start < 18 * 60 and len(match["hour2"]) == 1)):
        return True
    return match["hour1"] in ("1", "2", "3", "4", "5", "6") and end <= 12 * 60


def _minutes(match: re.Match[str], i: int) -> int | None:
    """A time as minutes from midnight (24:00 and more where written so); None if there is no such time."""
    if word := match[f"word{i}"]:
        return 12 * 60 if word == "정오" else (0 if i == 1 else 24 * 60)
    hour = int(match[f"hour{i}"])
    minute = int(match[f"min{i}"] or match[f"mins{i}"] or match[f"mil{i}"] or (30 if match[f"thirty{i}"] else 0))
    half = (match[f"half{i}"] or match[f"post{i}"] or "").replace(".", "")
    if minute > 59 or hour > 36:
        return None
    if half in ("오후", "낮", "저녁", "pm") or (half == "밤" and 6 <= hour < 12):
        if hour > 12 and half == "pm":
            return None
        hour += 12 if hour < 12 and not (half == "낮" and hour >= 6) else 0  # no one's «낮 10시» is at night
    elif half in ("오전", "새벽", "아침", "am"):
        if hour > 12:
            return None
        hour = 0 if hour == 12 else hour
    elif half == "밤" and hour == 12:
        hour = 0 if i == 1 else 24
    return hour * 60 + minute


def _bare(text: str) -> list[Span] | None:
    """A cell of nothing but `9~18` is a working day; smaller numbers may be anything."""
    match = re.fullmatch(r"\s*(\d{1,2})\s*~\s*(\d{1,2})\s*", text)
    if match is None or not (5 <= int(match[1]) <= 12 <= int(match[2]) <= 24 and int(match[1]) < int(match[2])):
        return None
    return [(_clock(int(match[1]) * 60), _clock(int(match[2]) * 60))]


def _sort_breaks(text: str, found: list[tuple[re.Match[str], Span]]) -> tuple[list[Span], list[Span], str]:
    """Open spans, pauses, and the text left beside them.

    A word such as 점심시간 claims the next span of its own part of the text, or the one before it when none follows.
    """
    bounds = [0, *(m.end() for m in re.finditer(r"[\n,;/()\[\]|]", text)), len(text)]

    def part(position: int) -> int:
        return sum(1 for bound in bounds[1:-1] if bound <= position)

    pauses: set[int] = set()
    for i, (match, _) in enumerate(found):
        if re.match(r"\s*제외", text[match.end() :]):
            pauses.add(i)
    for label in _BREAK.finditer(text):
        before = [
            span for i, (match, span) in enumerate(found) if i in pauses and _joins(text, match.end(), label.start())
        ]
        after = [span for match, span in found if _joins(text, label.end(), match.start())]
        # «점심 12~13시 휴게 15~16시» has two, «점심 12~13시 휴게 09~18시» one within the hours.
        if before and (not after or _holds(after[0], before[0])):
            continue  # «점심 12~13시 휴게»: the same one, named twice
        after_bracket = [
            i for i, (match, _) in enumerate(found) if text[label.end() : match.start()].strip(" :") in ("(", "[")
        ]
        if after_bracket and after_bracket[0] not in pauses:  # «점심시간(12:00~13:00)»
            pauses.add(after_bracket[0])
            continue
        same = [
            i for i, (match, _) in enumerate(found) if part(match.start()) == part(label.start()) and i not in pauses
        ]
        if later := [i for i in same if found[i][0].start() >= label.end()]:
            pauses.add(later[0])
        elif same and (len(same) > 1 or len(found) > 1):
            pauses.add(same[-1])
    rest = _BREAK.sub(" ", text) if pauses else text
    for match, _ in found:
        rest = rest.replace(match.group(), " ", 1)
    spans = [span for i, (_, span) in enumerate(found) if i not in pauses]
    return spans, [found[i][1] for i in sorted(pauses)], rest


def _joins(text: str, end: int, start: int) -> bool:
    """Whether what starts there follows with nothing between."""
    return end <= start and not text[end:start].strip(" :\n")


def _holds(span: Span, other: Span) -> bool:
    return span[0] <= other[0] and other[1] <= span[1]


def _without(spans: list[Span], pause: Span) -> list[Span]:
    """Each span less the pause; a pause outside of a span leaves it whole."""
    if pause[1] <= pause[0]:
        return spans
    kept: list[Span] = []
    for start, end in spans:
        if end <= start or pause[1] <= start or end <= pause[0]:
            kept.append((start, end))
            continue
        if start < pause[0]:
            kept.append((start, pause[0]))
        if pause[1] < end:
            kept.append((pause[1], end))
    return kept


def _merged(spans: list[Span]) -> list[Span]:
    """In order, overlaps joined; a span past midnight stays as it is, at the end."""
    merged: list[Span] = []
    for start, end in sorted({span for span in spans if span[0] < span[1]}):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged + sorted({span for span in spans if span[1] <= span[0]})


def _unread(rest: str, weeks: list[int] | None, others: bool, source: str) -> str:
    return "" if _is_filler(rest) and not weeks and not others else source


def _is_filler(text: str) -> bool:
    return not text.strip() or _FILLER.fullmatch(text) is not None


def _of_clock(time: str) -> int:
    return int(time[:2]) * 60 + int(time[3:])


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
