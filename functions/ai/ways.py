"""Which way a question asks: whether its yes would say that a thing is done, or that it is left undone.

"테이프 붙어 있어도 돼?" is answered by no where the tape comes off, and "뜯고 버려요?" by yes. What the end of a text speaks
for, with what is asked about, is in `ways.json`, in hundredths; `python -m tests.eval.ways` trains it. What the rules
hear (`understood.py`) counts with it.
"""

from itertools import combinations
from pathlib import Path

from functions.ai import forms
from functions.ai.linear import read
from functions.ai.understood import Understood
from functions.ai.vocabulary import DOWN, GRAMMAR, TOPICS, WAYS, WHERE

FILE = Path(__file__).with_name("ways.json")

# Letters at the end of a text in which words are looked for, and of which runs count.
_WORDS_WITHIN = 40
_RUNS_WITHIN = 14
_RUNS = (1, 2, 3, 4)
_LONGEST_END = 9
# How sure it must be, and what the rules' word adds to its odds; they know no way in which a lid stays on.
_SURE = 0.5
_RULES = 0.5
_RULES_OF_PLACES = 0.8


def does(aspect: str, understood: Understood) -> bool | None:
    """Whether a yes would say that it is done, or goes there; None where that is not sure."""
    place = aspect in _PLACES
    if _allowed(understood.text) and not understood.negated:
        if place:
            return True
        if aspect != "wrapped" and _left(understood.text):
            return False
    turned = understood.negated if place else understood.negated != understood.omitted
    rules = _RULES_OF_PLACES if place or aspect == "wrapped" else _RULES if aspect != "lid" else 0
    odds = read(FILE).odds(held(understood.text, aspect)) + (rules if turned else -rules)
    return None if abs(odds) < _SURE else odds < 0


def _allowed(text: str) -> bool:
    """Whether a text ends by asking if it may go there: "그냥 쓰레기통에 버려도 괜찮아?"."""
    end = text[-_RUNS_WITHIN:]
    return TOPICS.may.within(end) and not (WAYS.negation.within(end) or WAYS.bad.within(end))


def _left(text: str) -> bool:
    """Whether a text ends by asking if a thing may go as it is, with nothing done to it."""
    return WAYS.leave.within(text[-_RUNS_WITHIN:]) and not WAYS.deed.within(text[-_WORDS_WITHIN:])


def held(text: str, aspect: str) -> set[str]:
    """What a question holds: runs of letters at its end, and the words that tell which way it asks."""
    kind = "bin" if aspect in _PLACES else aspect
    text = forms.asking(text)
    end, near = f" {text}".rstrip(" .!~ㅠㅜㅋㅎ")[-_RUNS_WITHIN:], text[-_WORDS_WITHIN:]
    runs = [end[start : start + length] for length in _RUNS for start in range(len(end) - length + 1)]
    counts = [words.count(near) % 2 for words in (GRAMMAR.negated, GRAMMAR.omitted, WAYS.negation)]
    # "봉지째 넣어도 돼?": that it stays wrapped is what is done.
    told = [name for name in _TELLING if name != "leave"] if kind == "wrapped" else _TELLING
    words = [name for name in told if _TELLING[name].within(near)]
    turned, odd = counts[0] != (counts[1] and kind != "bin"), counts[2]
    return {
        f"a:{kind}",
        f"turned:{turned}",
        f"turned:{turned}|{kind}",
        f"counts:{counts}",
        f"odd:{odd}",
        f"odd:{odd}|{kind}",
        f"words:{'+'.join(words)}{odd}",
        *(f"with:{one}+{other}" for one, other in combinations(words, 2)),
        *(
            f"with:{one}+{name}|{odd}"
            for one in words
            for name in ("leave", "kept", "deed")
            if name in words and name != one
        ),
        *runs,
        *(f"{kind}|{run}" for run in runs if 1 < len(run) < _RUNS[-1]),
        *(f"$:{end[-length:]}" for length in range(1, _LONGEST_END + 1)),
        *(f"count:{number}{count}|{kind}" for number, count in enumerate(counts)),
        *(f"word:{name}" for name in words),
        *(f"word:{name}{odd}" for name in words),
        *(f"word:{name}|{kind}" for name in words),
    }


# Where a thing may go, or who may get it: that it is left as it is says nothing of that.
_PLACES = {*WHERE, *DOWN, "bin", "outdoors", "rain", "together", "handed", "reuse"}
_TELLING = {
    "leave": WAYS.leave,
    "must": WAYS.must,
    "may": WAYS.may,
    "bad": WAYS.bad,
    "deed": WAYS.deed,
    "kept": WAYS.kept,
    "allowed": TOPICS.may,
    "barred": GRAMMAR.barred,
}
