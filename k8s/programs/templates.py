"""Fills in the YAML files of k8s/templates: each reads as what it makes, with `$words` where a value belongs."""

import functools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]

FOLDER = Path(__file__).parents[1] / "templates"
HEADER = "# Written by `eco2 render` from the service.toml files and k8s/templates: change those, and run it.\n"
_WORD = re.compile(r"\$(\w+)")


# libyaml's is eight times as fast, and every wheel has it.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Dumper(yaml.SafeDumper):
    """Writes lists below their key, and shares nothing by anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        del indentless
        super().increase_indent(flow, False)


def dump(documents: Iterable[Document], header: str = HEADER) -> str:
    """Documents as one YAML file."""
    return header + yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def read(text: str) -> list[Document]:
    """The documents of a YAML text, without the empty ones.

    Raises:
        yaml.YAMLError: it is none.
    """
    return [found for found in yaml.load_all(text, Loader=_Loader) if found]


def fill(name: str, /, **values: Any) -> list[Document]:
    """The documents of a template. A scalar that is one `$word` becomes the value, of any type; an item of a list that is one
    whose value is a list becomes its items.

    Raises:
        KeyError: the template has a word that is not among the values.
    """
    return [_fill(found, values) for found in _template(name)]


def fill_one(name: str, /, **values: Any) -> Document:
    """The only document of a template."""
    (found,) = fill(name, **values)
    return found


@functools.lru_cache(maxsize=128)
def _template(name: str) -> list[Document]:
    """A template as it was read once: who fills it in makes every map and list anew."""
    return read((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


def _fill(node: Any, values: dict[str, Any]) -> Any:
    match node:
        case dict():
            return {key: _fill(value, values) for key, value in node.items()}
        case list():
            found: list[Any] = []
            for item in node:
                made = _fill(item, values)
                found += made if isinstance(made, list) and isinstance(item, str) else [made]
            return found
        case str() if whole := _WORD.fullmatch(node):
            return values[whole[1]]
        case str():
            return _WORD.sub(lambda word: str(values[word[1]]), node)
        case _:
            return node
