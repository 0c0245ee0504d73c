"""How well the search finds what was meant, and how seldom it answers what is in no list."""

import pytest

from functions.recycle_info.search_rules import RULES
from shared.db import Database
from tests import items
from tests.eval import search


@pytest.mark.parametrize("name", search.SETS)
async def test_the_item_meant_is_found_first_and_nearly_always_among_five(database: Database, name: str) -> None:
    answers = await search.evaluate(database, search.cases(name))
    for k, goal in search.GOALS.items():
        assert search.recall(answers, k) >= goal, search.table(answers)


async def test_a_name_that_is_in_no_list_hardly_ever_meets_an_item(database: Database) -> None:
    answers = await search.evaluate(database, search.strangers())
    met = sum(bool(answer.found) for answer in answers) / len(answers)
    assert met <= search.MOST_STRANGERS, search.strangers_table(answers)


def test_the_sets_are_large() -> None:
    assert all(len(search.cases(name)) >= 150 for name in search.SETS)
    assert len(search.strangers()) >= 300


def test_every_query_wants_an_item_that_there_is() -> None:
    slugs = {entry.slug for file in items.files() for entry in file.items}
    assert {slug for name in search.SETS for case in search.cases(name) for slug in case.wanted} <= slugs


def test_a_word_that_is_several_things_leads_to_names_that_there_are() -> None:
    entries = [entry for file in items.files() for entry in file.items]
    names = {name for entry in entries for name in (entry.name, *entry.synonyms)}
    assert {name for named in RULES.several.values() for name in named} <= names


def test_a_query_is_in_one_set_alone() -> None:
    queries = [case.query for name in search.SETS for case in search.cases(name)]
    queries += [case.query for case in search.strangers()]
    assert len(queries) == len(set(queries))
