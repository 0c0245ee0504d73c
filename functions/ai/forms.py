"""Whether a text wants yes or no: a linear classifier of its end, beside the endings and words that rules know (`facts.py`).

"고물로 치오", "받아주는지 아시오", "음쓰 ㄱㄴ?" ask for it in endings of which no list has all, and "필요한 데가 있을까요" ends
as they do and wants a place. `forms.json` says what the last runs of letters and what the rules hear speak for, in hundredths;
`python -m tests.eval.forms` trains it.
"""

from collections.abc import Collection
from itertools import combinations
from pathlib import Path

from functions.ai.linear import read

FILE = Path(__file__).with_name("forms.json")

# Letters at the end of a text of which runs count, how long they are, and how long an end is looked at as a whole.
_RUNS_WITHIN = 14
_RUNS = (1, 2, 3)
_LONGEST_END = 9


def wants_yes_or_no(text: str, heard: Collection[str]) -> bool:
    """Whether it rather wants yes or no than more, or nothing; `heard` is what the rules hear in it."""
    return read(FILE).odds(held(text, heard)) > 0


def asking(text: str) -> str:
    """A text up to its last question: "음식물인가요? 시어머니랑 내기했어요"."""
    return text[: text.rfind("?") + 1] or text


def held(text: str, heard: Collection[str]) -> set[str]:
    """What a text holds: runs of letters at its end, how it ends, and what rules hear."""
    end = f" {asking(text)}".rstrip(" .!~ㅠㅜㅋㅎ^;")[-_RUNS_WITHIN:]
    return {
        *(end[start : start + length] for length in _RUNS for start in range(len(end) - length + 1)),
        *(f"$:{end[-length:]}" for length in range(1, _LONGEST_END + 1)),
        *(f"hears:{one}" for one in heard),
        *(f"both:{one}+{other}" for one, other in combinations(sorted(heard), 2)),
    }
