"""Whether the words that questions are read by fit together: `python -m functions.ai.checker`, a part of `make check`.

A phrase that can never be found does no harm that anyone sees, so a program looks for it. What the words do is the evaluation's
business (`make eval`).
"""

import re
import string
import sys
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import Any

from functions.ai.phrases import FOLDER
from functions.ai.vocabulary import LISTS, MISSPELT, SPELLINGS, TEXTS

_PHRASES = ("ko", "en", "unless", "lines")
_MARKS = re.compile(r"<\w+>|[\^$*]|\.\.\.")


def problems() -> list[str]:
    """What is wrong with the files of `words/`, a line each."""
    found = [*_texts(), *_lists()]
    for path in sorted(FOLDER.glob("*.toml")):
        for name, table in tomllib.loads(path.read_text(encoding="utf-8")).items():
            if isinstance(table, dict) and path.stem != "lines":
                found += [f"words/{path.name} [{name}]: {problem}" for problem in _table(table)]
    for wrong, right in SPELLINGS.items():
        if MISSPELT.search(right):
            found.append(f"words/spellings.toml: {right}, put in place of {wrong}, is misspelt too")
    return found


def _table(table: dict[str, Any]) -> Iterator[str]:
    lists = [table[name] for name in _PHRASES if isinstance(table.get(name), list)] + list(table.get("all", ()))
    for phrases in lists:
        for phrase, count in Counter(phrases).items():
            if count > 1:
                yield f"{phrase} is there {count} times"
        for phrase in phrases:
            yield from _phrase(phrase)
    yield from (f"{name} is written in one language alone" for name in _one_language(table))


def _phrase(phrase: str) -> Iterator[str]:
    bare = _MARKS.sub("", phrase)
    if phrase != unicodedata.normalize("NFKC", phrase).lower() or "  " in phrase:
        yield f"{phrase!r} is not written as questions are read: small letters, single blanks"
    if MISSPELT.search(bare):
        yield f"{phrase} can't be found: words/spellings.toml puts another spelling in its place"


def _one_language(table: dict[str, Any]) -> Iterator[str]:
    for name in table:
        if name.endswith("_ko") and not (table[name] and table.get(f"{name[:-3]}_en")) and not table.get("helper"):
            yield name


def _texts() -> Iterator[str]:
    """The fixed sentences: the same ones with the same blanks to fill in, in both languages."""
    korean, english = TEXTS["ko"], TEXTS["en"]
    for name in sorted(set(korean) ^ set(english)):
        yield f"words/lines.toml: {name} is written in one language alone"
    for name in sorted(set(korean) & set(english)):
        if _blanks(korean[name]) != _blanks(english[name]):
            yield f"words/lines.toml: {name} has other blanks to fill in in the other language"


def _lists() -> Iterator[str]:
    """The lists that a file has and no program reads, or a program and no file."""
    program = "".join(path.read_text(encoding="utf-8") for path in sorted(FOLDER.parent.glob("*.py")))
    for file in LISTS:
        written = (FOLDER / f"{file}.toml").read_text(encoding="utf-8")
        read = {*re.findall(rf"\b{file.upper()}\.(\w+)", program), *re.findall(r"<(\w+)>", written)}
        for name in sorted(read ^ set(tomllib.loads(written))):
            yield f"words/{file}.toml [{name}]: in the file or in the program alone"


def _blanks(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def main() -> int:
    found = problems()
    print("\n".join(found) or "the words of functions/ai fit together", file=sys.stderr if found else sys.stdout)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
