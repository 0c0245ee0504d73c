"""Templates filled in with values of any kind, and documents written so that two readers read the same"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s.programs import templates
from k8s.programs.templates import HEADER, dump, fill, fill_one, read


@pytest.fixture
def template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(templates, "FOLDER", tmp_path)
    templates._template.cache_clear()
    return tmp_path / "one.yaml"


@pytest.mark.parametrize(
    ("text", "values", "made"),
    [
        ("a: $x", {"x": "1"}, {"a": "1"}),
        ("a: $x", {"x": 1}, {"a": 1}),
        ("a: $x", {"x": {"b": None}}, {"a": {"b": None}}),
        ("a: $x", {"x": [1]}, {"a": [1]}),
        ("a: http://$x:$y/", {"x": "h", "y": 1}, {"a": "http://h:1/"}),
        ("a: $x-$x", {"x": 1}, {"a": "1-1"}),
        ("a: {b: [$x, c]}", {"x": 1}, {"a": {"b": [1, "c"]}}),
        # A word's list becomes items; a list that stands there itself, or a text that only holds a word, stays one.
        ("a: [0, $x, 3]", {"x": [1, 2]}, {"a": [0, 1, 2, 3]}),
        ("a: [$x]", {"x": []}, {"a": []}),
        ("a: [[$x]]", {"x": [1, 2]}, {"a": [[1, 2]]}),
        ("a: [$x]", {"x": "text"}, {"a": ["text"]}),
        ("a: [$x]", {"x": {"b": 1}}, {"a": [{"b": 1}]}),
        ("a: [{b: $x}]", {"x": [1]}, {"a": [{"b": [1]}]}),
        ("a: 1\nb: true\nc: null", {}, {"a": 1, "b": True, "c": None}),
    ],
)
def test_a_word_becomes_its_value(template: Path, text: str, values: dict[str, Any], made: Any) -> None:
    template.write_text(text)
    assert fill_one("one", **values) == made
    assert fill("one", **values) == [made]


def test_a_word_that_has_no_value_is_a_fault(template: Path) -> None:
    for text in ("a: $x", "a: b-$x"):
        template.write_text(text)
        templates._template.cache_clear()
        with pytest.raises(KeyError, match="x"):
            fill("one")


def test_who_changes_what_was_made_changes_no_one_else_s(template: Path) -> None:
    template.write_text("a: {b: []}\n---\n---\nc: $x\n")
    first = fill("one", x=1)
    first[0]["a"]["b"].append("mine")
    assert fill("one", x=2) == [{"a": {"b": []}}, {"c": 2}]
    with pytest.raises(ValueError, match="too many"):
        fill_one("one", x=1)


def test_what_is_written_is_read_as_it_was_in_its_order_without_anchors() -> None:
    shared = {"한글": ["b", "a"]}
    documents = [{"z": shared, "a": shared, "line": "x" * 100 + " y" * 7}, {"n": None, "on": "on", "t": "a\nb"}]
    text = dump(documents)
    assert read(text) == documents
    assert text.startswith(HEADER)
    assert dump(documents, header="") == text.removeprefix(HEADER)
    assert text.removeprefix(HEADER).startswith("z:\n  한글:\n    - b\n    - a\na:\n  한글:\n    - b\n")
    assert "&" not in text
    assert f"line: {'x' * 100}{' y' * 7}\n" in text, "a line of 120 is not broken"


def test_empty_documents_are_none_and_what_is_no_yaml_is_told() -> None:
    assert read("---\n---\na: 1\n---\n") == [{"a": 1}]
    with pytest.raises(yaml.YAMLError):
        read("a: [")
