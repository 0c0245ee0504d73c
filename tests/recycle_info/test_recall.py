"""How well the search finds what was meant, on queries that it was not tuned on."""

import pytest

from functions.recycle_info import dataset
from shared.db import Database
from tests.eval import search


@pytest.mark.parametrize("name", search.SETS)
async def test_the_item_meant_is_found_first_and_nearly_always_among_five(database: Database, name: str) -> None:
    answers = await search.evaluate(database, search.cases(name))
    unseen = [answer for answer in answers if answer.case.held_out]
    for k, goal in search.GOALS.items():
        assert search.recall(unseen, k) >= goal, search.table(answers)


@pytest.mark.parametrize("name", search.SETS)
def test_the_test_set_is_large_and_a_part_of_it_is_held_out(name: str) -> None:
    cases = search.cases(name)
    assert len(cases) == len({case.query for case in cases}) >= 150
    assert 0.25 < sum(case.held_out for case in cases) / len(cases) < 0.40


def test_every_query_wants_an_item_that_there_is() -> None:
    slugs = {entry.slug for file in dataset.read_files() for entry in file.items}
    assert {slug for name in search.SETS for case in search.cases(name) for slug in case.wanted} <= slugs


def test_a_query_stands_in_one_set_alone() -> None:
    queries = [case.query for name in search.SETS for case in search.cases(name)]
    assert len(queries) == len(set(queries))
