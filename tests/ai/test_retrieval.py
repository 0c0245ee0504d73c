"""What is asked of recycle-info and location"""

from types import SimpleNamespace
from typing import Any

from functions.ai.retrieval import LONGEST_QUERY, Neighbours
from shared.messages import Place


class Asked:
    """Stands for the calls, and keeps what they ask."""

    def __init__(self) -> None:
        self.params: list[dict[str, Any]] = []

    def get_blocking(self, service: str, path: str, kind: Any, params: dict[str, Any]) -> Any:
        self.params.append(params)
        return SimpleNamespace(items=[])


def test_location_learns_no_more_than_about_where_somebody_is() -> None:
    asked: Any = Asked()
    Neighbours(asked).nearest(Place("home", 37.123456, 127.987654), None)
    Neighbours(asked).nearest(Place("home", 37.123456, 127.987654), "metal", limit=1)
    assert asked.params == [
        {"lat": 37.123, "lon": 127.988, "limit": 3},
        {"lat": 37.123, "lon": 127.988, "limit": 1, "item": "metal"},
    ]


def test_a_question_is_searched_for_as_far_as_the_search_takes_it() -> None:
    asked: Any = Asked()
    Neighbours(asked).search("가\x00나 \n 다" + "라" * 600)
    Neighbours(asked).search(" \x00 ")
    assert [params["q"] for params in asked.params] == [("가 나 다" + "라" * 600)[:LONGEST_QUERY]]
