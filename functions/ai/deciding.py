"""From confidences to an answer: which type, whether it is sure enough, and what to ask back. The same for every provider."""

from collections.abc import Sequence

from shared.item_ids import item_id
from shared.messages import Candidate, Classification

THRESHOLD = 0.43
"""Least confidence of an answer; under it the type is `unknown`, with the candidates. Chosen as docs/AI.md says."""

LEAST = {"general": 0.55}
"""Types that need more where no item is named: what looks like rubbish is often recycled, and half of such answers were wrong."""

RIVAL = 0.7
"""Where the second type has more than this share of the first's confidence the type is `unknown` as well: the person is asked."""

SURE = 0.8
"""From here on nothing is asked back, and a wrong answer counts as a sure one."""

CANDIDATES = 3
"""Most candidates of an answer."""

_LEAST = 0.01
# Two types are close when both together have most of the confidence and the second at least this share of the first's.
_TOGETHER = 0.5
_SHARE = 0.4


def answer(
    confidences: Sequence[tuple[str, float]], provider: str, model: str, item: tuple[str, str] | None = None
) -> Classification:
    """The answer of these types' confidences (in any order, maybe none); `item` is a slug and its waste type.

    The item stays where the answer is of its type: else its guide would contradict the answer.
    """
    order = sorted(confidences, key=lambda one: -one[1])[:CANDIDATES]
    candidates = [Candidate(kind, round(confidence, 4)) for kind, confidence in order if confidence >= _LEAST]
    best, confidence = order[0] if order else ("unknown", 0.0)
    rival = order[1][1] if len(order) > 1 else 0.0
    least = THRESHOLD if item and item[1] == best else max(THRESHOLD, LEAST.get(best, 0.0))
    waste_type = best if confidence >= least and rival <= RIVAL * confidence else "unknown"
    return Classification(
        waste_type=waste_type,
        confidence=round(confidence, 4),
        candidates=candidates,
        provider=provider,
        model=model,
        item_id=item_id(item[0]) if item and item[1] == waste_type else None,
        ask=close(candidates),
    )


def close(candidates: list[Candidate]) -> list[str]:
    """The two first types, where neither is sure and the second is nearly as likely; else nothing."""
    if len(candidates) < 2:
        return []
    first, second = candidates[:2]
    near = second.confidence >= _SHARE * first.confidence and first.confidence + second.confidence >= _TOGETHER
    return [first.waste_type, second.waste_type] if near and first.confidence < SURE else []
