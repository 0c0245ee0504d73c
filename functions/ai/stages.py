"""In which order the networks look at a photo, and when that is enough: the same in the worker and where it is measured.

Each network sees one view first, and each another one. Where these two looks are far apart from any rival, or so doubtful that no
more of them would make an answer, the other two are left out: six photos in ten cost half. Order and bounds were
chosen as docs/EVALUATION.md says.
"""

from collections.abc import Callable

from functions.ai import deciding, judging
from functions.ai.judging import Judge, Judged, Look

MIDDLE, WHOLE = 0, 1
"""Views of a photo."""

FIRST = ((0, WHOLE), (1, MIDDLE))
"""Network and view of the looks that every photo gets."""

REST = ((0, MIDDLE), (1, WHOLE))

FIRM = 0.40
"""From this lead on (`deciding.lead`) the first looks are an answer."""

DOUBTFUL = 0.04
"""Under this lead they are none, and the others would hardly change that."""


def judged(judge: Judge, see: Callable[[int, int], Look]) -> tuple[Judged, tuple[str, str] | None]:
    """What a photo shows, and its item; `see` lets one network look at one view."""
    looks = [see(network, view) for network, view in FIRST]
    found = judge.types(looks)
    if DOUBTFUL <= deciding.lead(deciding.ordered(found.confidences.items()), found.least) < FIRM:
        looks += [see(network, view) for network, view in REST]
        found = judge.types(looks)
    return found, judging.item(looks)
