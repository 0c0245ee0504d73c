"""Whether the items can be trusted: `python -m functions.recycle_info.checker`, a part of `make check`.

What a person does with a dangerous thing depends on these lines, so what a program can see about them is checked: no two items
go by one name, every category has items, every item's steps end at a bin or a service that there is, and English says what
Korean says: as many steps, the same bins, the same yes or no, which comes first where it is asked. A dangerous thing says what
to do first.
"""

import re
import sys
import unicodedata
from collections.abc import Iterator, Sequence

from functions.recycle_info import dataset
from functions.recycle_info.db import Said
from functions.recycle_info.vocabulary import bins_named

# A step that ends with one of these puts the thing somewhere, so it must say where.
_PUTS = re.compile(
    r"(배출|반납|신고|문의|예약|신청)(합니다|할 수(도)? 있습니다)\.$|(버립니다|넣습니다|맡깁니다|돌려줍니다)\.$"
)
# Putting something into itself or together is not putting it out: "뚜껑은 안에 넣습니다".
_PREPARES = re.compile(r"안에|함께|빼|통에|봉투에 담|캔이나 봉투|병에|상자에")
# What a line says where something can burn, burst, prick or poison: then what to do first is an answer of its own.
_DANGER = re.compile("터질|터집니다|불이 (날|납니다)|119|독한 가스|동상|찔린|찔립니다|찔려")
_YES = re.compile(r"(네|Yes)\b")
_NO = re.compile(r"(아니요|No|Not|Neither|Never)\b")
# Aspects that ask for more than yes or no: in which bag, who collects it, what is dangerous.
_OPEN = {"tell", "lid", "tied", "pickup", "safe", "local"}


def problems(files: Sequence[dataset.File]) -> list[str]:
    """What is wrong with the items, a line each; none when they may be loaded."""
    found = [f"no item is of the category {name}" for name in dataset.CATEGORIES if not _items_of(name, files)]
    owners: dict[str, str] = {}
    for file in files:
        for entry in file.items:
            found += [f"{file.category}/{entry.slug}: {problem}" for problem in _entry(entry)]
            for name in (entry.name, entry.name_en, *entry.synonyms, *entry.synonyms_en):
                owner = owners.setdefault(_folded(name), entry.slug)
                if owner != entry.slug:
                    found.append(f"{file.category}/{entry.slug}: {name} is {owner}'s name too")
    return found


def _items_of(category: str, files: Sequence[dataset.File]) -> bool:
    return any(file.items for file in files if file.category == category)


def _folded(name: str) -> str:
    """A name as the search compares it: the function fold() of the migrations."""
    return "".join(letter for letter in unicodedata.normalize("NFKC", name).lower() if letter.isalnum())


def _entry(entry: dataset.Entry) -> Iterator[str]:
    if not bins_named(" ".join(entry.how), "ko"):
        yield "its steps name no bin and no service (rules/bins.toml)"
    for step in entry.how:
        if _PUTS.search(step) and not _PREPARES.search(step) and not bins_named(step, "ko"):
            yield f"a step names no bin and no service: {step}"
    for what, korean, english in (("how", entry.how, entry.how_en), ("do_not", entry.do_not, entry.do_not_en)):
        if len(korean) != len(english):
            yield f"{what} has {len(korean)} lines in Korean and {len(english)} in English"
        for step, meant in zip(korean, english, strict=False):
            yield from _same_bins(what, step, meant)
    if not entry.answers:
        yield "it answers no question"
    elif "safe" not in entry.answers and _DANGER.search(" ".join((*entry.how, *entry.do_not))):
        yield "it can be dangerous, and no answer says what to do first (answers.safe)"
    for name, said in (*entry.answers.items(), *entry.exceptions.items()):
        yield from _said(name, said)
    for name, said in entry.answers.items():
        if name not in _OPEN and not (_YES.match(said["ko"]) or _NO.match(said["ko"])):
            yield f"{name} is asked with yes or no, and begins with neither: {said['ko']}"


def _said(name: str, said: Said) -> Iterator[str]:
    yield from _same_bins(name, said["ko"], said["en"])
    for word, pattern in (("yes", _YES), ("no", _NO)):
        if bool(pattern.match(said["ko"])) != bool(pattern.match(said["en"])):
            yield f"{name} begins with {word} in one language only: {said['ko']} | {said['en']}"


def _same_bins(what: str, korean: str, english: str) -> Iterator[str]:
    # A drain is named for what must not go down it, in a dozen ways; yes and no say what matters.
    both = (set(bins_named(korean, "ko")) ^ set(bins_named(english, "en"))) - {"drain"}
    if both:
        yield f"{what} names {', '.join(sorted(both))} in one language only: {korean} | {english}"


def main() -> int:
    """Print what is wrong; return 1 when something is."""
    try:
        found = problems(dataset.read_files())
    except dataset.DatasetError as error:
        found = str(error).splitlines()
    sys.stderr.writelines(f"{problem}\n" for problem in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
