"""What a reader of the document learns of each body: its words, its fields' words, and which fields are always there"""

from typing import Annotated, Any, Generic, Literal, TypeVar

import pytest
from litestar.typing import FieldDefinition
from msgspec import UNSET, Meta, Struct, UnsetType

from runtime.http.openapi_schemas import _MARK, Bodies, write

T = TypeVar("T")


class Base(Struct):
    """What all have.

    Attributes:
        id: its name
            in two lines.
        made, seen: a moment.
    """

    id: int
    made: int
    seen: int = 0


class Thing(Base, kw_only=True):
    """One thing,
    in two lines.

    Attributes:
        word: what it says.
        id: its own name.
    """

    word: Annotated[Literal["a", "b"], Meta(title="Word")] = "a"
    more: str | UnsetType = UNSET


class Listed(Struct, Generic[T]):
    """Some."""

    items: list[T]


class Loose(Struct):
    """Nothing is needed."""

    word: Annotated[Literal["a", "b"], Meta(title="Word")] = "a"


@pytest.fixture
def document() -> dict[str, Any]:
    """As Litestar leaves it, with a mark where a body's schema belongs."""
    places = {f"/{number}": {"post": {"schema": {"title": f"{_MARK}{number}"}}} for number in range(3)}
    made: dict[str, Any] = {"paths": places}
    write(made, [Thing, Listed[Thing], Loose])
    return made


def test_a_body_is_named_where_it_is_used_and_described_once(document: dict[str, Any]) -> None:
    bodies = [document["paths"][f"/{number}"]["post"]["schema"] for number in range(3)]
    names = ["Thing", "ListedOfThing", "Loose"]
    assert [body["$ref"] for body in bodies] == [f"#/components/schemas/{name}" for name in names]
    schemas = document["components"]["schemas"]
    assert list(schemas) == sorted([*names, "Word"])
    assert schemas["ListedOfThing"]["properties"]["items"]["items"] == {"$ref": "#/components/schemas/Thing"}


def test_its_words_are_those_of_its_docstrings_its_own_before_its_base_s(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["Thing"]["description"] == "One thing, in two lines."
    words = {name: field.get("description") for name, field in schemas["Thing"]["properties"].items()}
    assert words["id"] == "Its own name."
    assert words["made"] == words["seen"] == "A moment."
    assert words["more"] is None
    assert "What it says." in str(schemas["Thing"]["properties"]["word"])


def test_what_need_not_be_sent_is_not_required_and_no_list_of_nothing_is_written(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert sorted(schemas["Thing"]["required"]) == ["id", "made"]
    assert "required" not in schemas["Loose"]
    assert sorted(schemas["Thing"]["x-always"]) == ["id", "made", "seen", "word"]
    assert "more" not in schemas["Thing"]["x-always"]


def test_an_enum_of_two_bodies_is_written_once_under_its_title(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert sorted(schemas["Word"]["enum"]) == ["a", "b"]
    for name in ("Thing", "Loose"):
        assert "#/components/schemas/Word" in str(schemas[name]["properties"]["word"])
        assert "enum" not in schemas[name]["properties"]["word"]


@pytest.mark.parametrize(
    ("kind", "ours"), [(Thing, True), (Listed[Thing], True), (Thing | None, False), (int, False), (list[Thing], False)]
)
def test_bodies_alone_are_written_anew(kind: Any, ours: bool) -> None:
    assert Bodies().is_plugin_supported_field(FieldDefinition.from_annotation(kind)) is ours
