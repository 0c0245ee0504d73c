"""What may come next on a command line, read from the parsers themselves: the words that `eco2 completion` offers to a shell."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping

from runtime import cli

# What a parser's `metavar` calls a thing, and where its names come from. What is not here is a file or free text.
Names = Mapping[str, Callable[[], Iterable[str]]]


def candidates(words: list[str], names: Names) -> list[str]:
    """The words that may stand in the place of the last of `words`, which follow `eco2`; none where a file or free text belongs.

    Args:
        names: by metavar, such as PART, the names of such things.
    """
    *before, begun = words or [""]
    commands = cli.available()
    if not before:
        return _beginning(begun, ["--help", "--version"] if begun.startswith("-") else [*commands, "help"])
    if before[0] == "help":
        return _beginning(begun, commands)
    if before[0] not in commands:
        return []
    return _beginning(begun, _next(cli.manual(before[0]), before[1:], begun, names))


def _beginning(begun: str, words: Iterable[str]) -> list[str]:
    return sorted({word for word in words if word.startswith(begun)})


def _next(parser: argparse.ArgumentParser, before: list[str], begun: str, names: Names) -> Iterable[str]:
    """As argparse would take the words one after another: options with their values, sub-commands, then what has a place."""
    places = [action for action in parser._actions if not action.option_strings]
    options = parser._option_string_actions
    wanting: argparse.Action | None = None
    for number, word in enumerate(before):
        if wanting is not None:
            wanting = None
        elif word in options:
            wanting = options[word] if options[word].nargs != 0 else None
        elif not word.startswith("-") and places:
            if isinstance(places[0], argparse._SubParsersAction):
                inner = places[0].choices.get(word)
                return _next(inner, before[number + 1 :], begun, names) if inner else []
            if places[0].nargs not in ("*", "+", argparse.REMAINDER):
                places.pop(0)
    if wanting is not None:
        return _values(wanting, names)
    if begun.startswith("-"):
        return options
    return _values(places[0], names) if places else options


def _values(action: argparse.Action, names: Names) -> Iterable[str]:
    if action.choices is not None:
        return [str(choice) for choice in action.choices]
    called = action.metavar if isinstance(action.metavar, str) else ""
    # `snapshot` has the metavar NAME on some pages: its place in the result says what it is.
    for word in (*called.split("|"), action.dest.upper()):
        if word in names:
            return names[word]()
    return []
