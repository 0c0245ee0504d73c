"""How well the search finds what was meant, on queries that it was not tuned on."""

from shared.db import Database
from tests.eval import search


async def test_the_item_meant_is_found_first_and_nearly_always_among_five(database: Database) -> None:
    answers = await search.evaluate(database)
    unseen = [answer for answer in answers if answer.case.held_out]
    for k, goal in search.GOALS.items():
        assert search.recall(unseen, k) >= goal, search.table(answers)


def test_the_test_set_is_large_and_a_third_of_it_is_held_out() -> None:
    cases = search.cases()
    assert len(cases) == len({case.query for case in cases}) >= 150
    assert 0.28 < sum(case.held_out for case in cases) / len(cases) < 0.40
