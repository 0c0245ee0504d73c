"""What the API reference says of errors, and where its assets come from."""

from html.parser import HTMLParser
from typing import Any

import pytest

from runtime.http import reference
from shared.errors import Problem
from tests.contract import client


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return client.document()


class Ids(HTMLParser):
    """The ids of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name == "id" and value]


def test_each_error_of_the_system_has_an_anchor_a_meaning_and_a_remedy(document: dict[str, Any]) -> None:
    known = {error.type: error for error in reference.known_errors(document)}
    # The document was made by loading every function, so every kind of theirs is a subclass by now.
    wanted = {kind.type for kind in reference._kinds(Problem) if kind.__module__.startswith(("shared.", "functions."))}
    assert wanted - set(known) <= {"urn:eco2:auth:provider-failed"}, "what no answer to a client is alone"
    page = reference.answer("/errors", "", document)
    assert page is not None
    ids = Ids()
    ids.feed(page[2].decode())
    assert set(known) <= set(ids.found)
    for error in known.values():
        assert len(error.meaning) > 10, error
        assert len(error.remedy) > 10, error
    assert set(reference._REMEDIES) <= {error.status for error in known.values()}, "a remedy of what is never answered"
    for error in known.values():
        places = len(error.operations)
        row = page[2].decode().partition(f'<tr id="{error.type}">')[2].partition("</tr>")[0]
        assert (f"<summary>{reference._count(error.operations)}</summary>" in row) == (places > 0), error
        assert row.count("<li>") == places
    taken = known["urn:eco2:auth:username-taken"]
    assert (taken.status, taken.meaning, taken.remedy) == (
        409,
        "This username belongs to somebody.",
        "Choose another.",
    )
    assert taken.operations == ["POST /api/v1/auth/register"]


def test_the_script_comes_from_an_installed_package(document: dict[str, Any]) -> None:
    script = reference.answer("/scalar.js", "", document)
    assert script is not None
    assert b"createApiReference" in script[2]
    assert reference.answer("/../reference.py", "", document) is None


def test_without_the_package_the_page_says_what_to_install(
    document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "PACKAGE", "eco2_no_such_package")
    reference.script_file.cache_clear()
    try:
        page = reference.answer("", "", document)
        assert page is not None
        assert b"pip install --no-deps flask-openapi-scalar" in page[2]
        assert reference.answer("/scalar.js", "", document) is None
    finally:
        reference.script_file.cache_clear()
