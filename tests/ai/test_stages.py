"""How far a photo is looked at."""

import numpy as np
import pytest

from functions.ai import judging, stages
from functions.ai.judging import Look
from functions.ai.labels import CLASSES
from functions.ai.stages import FIRST, MIDDLE, REST, WHOLE
from functions.ai.variants import FEATURES, VARIANTS

BOTTLE, CAT, HAMMER = 440, 281, 587


class Networks:
    """Networks that see what they are told to, and remember what they were asked."""

    def __init__(self, shown: dict[tuple[int, int], dict[int, float]]) -> None:
        self.shown = shown
        self.asked: list[tuple[int, int]] = []

    def see(self, network: int, view: int) -> Look:
        self.asked.append((network, view))
        logits = np.full(CLASSES, -9, np.float32)
        for index, value in self.shown[network, view].items():
            logits[index] = value
        return Look(network, np.zeros(FEATURES, np.float32), logits)


def everywhere(sight: dict[int, float]) -> dict[tuple[int, int], dict[int, float]]:
    return dict.fromkeys([*FIRST, *REST], sight)


def test_every_network_looks_at_every_view_once_at_most() -> None:
    assert sorted([*FIRST, *REST]) == [(n, view) for n in range(len(VARIANTS)) for view in (MIDDLE, WHOLE)]
    assert {network for network, _ in FIRST} == {network for network, _ in REST} == set(range(len(VARIANTS)))
    assert {view for _, view in FIRST} == {MIDDLE, WHOLE}


@pytest.mark.parametrize("sight", [{HAMMER: 9.0}, {CAT: 9.0}], ids=["sure of a thing", "sure of nothing"])
def test_two_looks_are_enough_where_they_leave_no_doubt(sight: dict[int, float]) -> None:
    networks = Networks(everywhere(sight))
    found, _ = stages.judged(judging.read_judge(), networks.see)
    assert networks.asked == [*FIRST]
    assert found == judging.read_judge().types([Networks(everywhere(sight)).see(*look) for look in FIRST])


def test_looks_that_do_not_agree_are_followed_by_the_others() -> None:
    shown = everywhere({HAMMER: 9.0}) | {FIRST[1]: {HAMMER: 7.0, BOTTLE: 8.0}}
    networks = Networks(shown)
    found, item = stages.judged(judging.read_judge(), networks.see)
    assert networks.asked == [*FIRST, *REST]
    assert found == judging.read_judge().types([Networks(shown).see(*look) for look in (*FIRST, *REST)])
    assert item == judging.item([Networks(shown).see(*look) for look in (*FIRST, *REST)])


def test_the_larger_networks_map_counts_twice_in_every_look() -> None:
    judge = judging.read_judge()
    sure, other = {HAMMER: 9.0}, {BOTTLE: 9.0}
    large = judge.types([Networks({(0, 0): sure}).see(0, 0), Networks({(1, 0): other}).see(1, 0)])
    small = judge.types([Networks({(0, 0): other}).see(0, 0), Networks({(1, 0): sure}).see(1, 0)])
    assert large.confidences["metal"] > small.confidences["metal"]
