"""From confidences to an answer: which type, whether it is sure enough, and what to ask back. The same for every provider."""

from collections.abc import Iterable, Mapping, Sequence

from shared.item_ids import item_id
from shared.messages import Candidate, Classification

LEAD = 0.16
"""How far the first type has to be ahead of the second to be the answer: else it is `unknown`, with the candidates. Where a photo
was seen in several views, the first counts half by all of them and half by the one that is least sure of it: views that
disagree make no answer. Chosen as docs/EVALUATION.md says."""

THRESHOLD = 0.25
"""Least confidence of an answer, however far ahead."""

SURE = 0.8
"""From here on nothing is asked back, and a wrong answer counts as a sure one."""

CANDIDATES = 3
"""Most candidates of an answer."""

_LEAST = 0.01
# Two types are close when both together have most of the confidence and the second at least this share of the first's.
_TOGETHER = 0.5
_SHARE = 0.4


def answer(
    confidences: Sequence[tuple[str, float]],
    provider: str,
    model: str,
    item: tuple[str, str] | None = None,
    least: Mapping[str, float] | None = None,
    told: Mapping[str, float] | None = None,
) -> Classification:
    """The answer of these types' confidences (in any order, maybe none).

    `item` is a slug and its waste type; it stays where the answer is of its type: else its guide would contradict the answer.
    `least` is each type's confidence in the view that is least sure of it, where there are several. `told` is what the answer
    says of each type, in the same order, where that is not what it is decided by.
    """
    order = ordered(confidences)
    said = [(kind, told[kind] if told else confidence) for kind, confidence in order]
    best, confidence = order[0] if order else ("unknown", 0.0)
    waste_type = best if confidence >= THRESHOLD and lead(order, least) >= LEAD else "unknown"
    return Classification(
        waste_type=waste_type,
        confidence=round(said[0][1], 4) if said else 0.0,
        candidates=[Candidate(kind, round(confidence, 4)) for kind, confidence in said if confidence >= _LEAST],
        provider=provider,
        model=model,
        item_id=item_id(item[0]) if item and item[1] == waste_type else None,
        ask=close(order),
    )


def ordered(confidences: Iterable[tuple[str, float]]) -> list[tuple[str, float]]:
    """The likeliest types, in that order."""
    return sorted(confidences, key=lambda one: -one[1])[:CANDIDATES]


def lead(order: Sequence[tuple[str, float]], least: Mapping[str, float] | None = None) -> float:
    """How far the first type is ahead of the second: see LEAD."""
    best, confidence = order[0]
    rival = order[1][1] if len(order) > 1 else 0.0
    return ((confidence + least[best]) / 2 if least else confidence) - rival


def close(order: Sequence[tuple[str, float]]) -> list[str]:
    """The two first types, where neither is sure and the second is nearly as likely; else nothing."""
    if len(order) < 2:
        return []
    (first, confidence), (second, rival) = order[:2]
    near = rival >= _SHARE * confidence and confidence + rival >= _TOGETHER
    return [first, second] if near and confidence < SURE else []
