"""A function as a part of its own: which requests are its, and what is said of one that there is not"""

import re

import pytest

from emulator.apart import apart
from emulator.process import CalledWrongly
from runtime.services import load_services

SERVICES = load_services()


@pytest.mark.parametrize(
    ("wanted", "method", "its", "others"),
    [
        ("waste/get_stats", "GET", ["/api/v1/waste/stats"], ["/api/v1/waste/stats/more", "/api/v1/waste"]),
        (
            "api-waste/get_analysis",
            "GET",
            ["/api/v1/waste/analyses/0190", "/api/v1/waste/analyses/{analysis_id}"],
            ["/api/v1/waste/analyses/0190/events", "/api/v1/waste/analyses/", "/api/v1/waste/analyses"],
        ),
    ],
)
def test_it_is_sent_its_own_path_with_whatever_id_and_nothing_below(
    wanted: str, method: str, its: list[str], others: list[str]
) -> None:
    found = apart(wanted, SERVICES)
    assert found.method == method
    assert [path for path in [*its, *others] if re.fullmatch(found.path, path)] == its
    assert found.target == f"waste/{wanted.partition('/')[2]}"
    assert found.service.name == f"api-waste-{wanted.partition('/')[2].replace('_', '-')}", "as in the cluster"
    assert found.service.folder == "waste"


def test_a_path_means_itself_and_not_a_pattern() -> None:
    path = apart("auth/jwks", SERVICES).path
    assert re.fullmatch(path, "/api/v1/auth/jwks.json")
    assert not re.fullmatch(path, "/api/v1/auth/jwksXjson")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("wast/get_stats", "there is no service wast: did you mean waste?"),
        ("waste/get_stat", "waste has no HTTP function get_stat: did you mean get_stats?"),
        ("waste/sweep_uploads", "waste has no HTTP function sweep_uploads; there are correct_analysis, "),
        ("ai/answer_question", "ai has no HTTP function answer_question"),
    ],
)
def test_one_that_is_not_asked_over_http_is_none_and_those_that_are_are_named(wanted: str, said: str) -> None:
    with pytest.raises(CalledWrongly) as told:
        apart(wanted, SERVICES)
    assert str(told.value).startswith(said)
    assert not str(told.value).endswith("there are ")
