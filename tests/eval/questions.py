"""How well the embedded provider answers: `python -m tests.eval.questions` prints what docs/EVALUATION.md sums up.

A set (`questions.jsonl`, `questions_everyday.jsonl`) holds a question a line: its kind, its text, what the person said before,
and the items wanted (slugs; several lists are alternatives). recycle-info runs as it does in production, with all its items,
on a PostgreSQL of this run. Of the first set a third of each kind is held out by the hash of the text. Of the second nothing
is: it was written and asked wave by wave, and showed what fails (docs/EVALUATION.md has what each wave found when it was new).

A question is right when exactly the items wanted are its sources. An answer is grounded when every line of it is an item's
own line or one of the provider's fixed sentences. Off topic is declined when there are no sources and the fixed sentence
says so.
"""

import argparse
import hashlib
import math
import re
import sys
import time
from collections import defaultdict
from pathlib import Path

import msgspec
from msgspec import Struct

from functions.ai.answers import FIXED, OFF_TOPIC
from functions.ai.interfaces import Answer, Question
from functions.ai.questions import EmbeddedQuestions
from functions.ai.retrieval import Neighbours
from functions.ai.vocabulary import SITUATIONS
from shared.item_ids import item_id
from shared.messages import Photo, Turn
from tests import items
from tests.eval import parts

SETS = (
    "questions",
    "questions_everyday",
    "questions_blind",
    "questions_after",
    "questions_newest",
    "questions_fresh",
    "questions_last",
    "questions_house",
    "questions_scenes",
    "questions_rooms",
    "questions_wave_a",
    "questions_wave_b",
    "questions_wave_c",
    "questions_follow",
    "questions_wave_d",
    "questions_wave_e",
    "questions_wave_f",
    "questions_follow_b",
    "questions_wave_g",
    "questions_wave_h",
    "questions_wave_i",
    "questions_follow_c",
    "questions_wave_j",
    "questions_wave_k",
    "questions_wave_l",
    "questions_wave_m",
    "questions_follow_d",
    "questions_wave_n",
    "questions_wave_o",
    "questions_wave_p",
    "questions_wave_r",
    "questions_wave_t",
    "questions_wave_u",
)
"""Files beside this one: the first was written with the rules, the second afterwards in people's everyday wording, the third
before the rules for aspects, dangers, photos and what we do not know were tried on anything; each later one when the rules
had been mended by the ones before it, and before they were tried on it."""
OFF = "off topic"


class Shown(Struct, frozen=True):
    """What a question's photo was classified as; `item` is a slug."""

    waste_type: str
    confidence: float
    item: str = ""

    def photo(self) -> Photo:
        return Photo("success", self.waste_type, self.confidence, item_id=item_id(self.item) if self.item else None)


class Asked(Struct, frozen=True):
    """A question of the set. `history` is what the person said before, oldest first."""

    kind: str
    text: str
    wanted: list[list[str]]
    history: list[str] = []
    first: str = ""
    """An expression that the answer's first line must hold."""
    photo: Shown | None = None

    def question(self) -> Question:
        turns = [turn for said in self.history for turn in (Turn("user", said), Turn("assistant", "…"))]
        return Question(self.text, tuple(turns), photo=self.photo.photo() if self.photo else None)


def read(name: str = SETS[0]) -> list[Asked]:
    lines = Path(__file__).with_name(f"{name}.jsonl").read_bytes().splitlines()
    return [msgspec.json.decode(line, type=Asked) for line in lines if line]


def held_out(asked: list[Asked]) -> set[str]:
    """The third of each kind whose texts (with what came before) have the smallest SHA-256."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for one in asked:
        kinds[one.kind].append(identity(one))
    held: set[str] = set()
    for texts in kinds.values():
        texts.sort(key=lambda text: hashlib.sha256(text.encode()).digest())
        held.update(texts[: math.ceil(len(texts) / 3)])
    return held


def identity(asked: Asked) -> str:
    return " / ".join([*asked.history, asked.text])


def slugs() -> dict[str, str]:
    """Slugs by the items' Korean names."""
    return {item.name: item.slug for file in items.files() for item in file.items}


def own_lines() -> set[str]:
    """Every line that an answer may be made of, without numbering."""
    lines: set[str] = set()
    for file in items.files():
        lines |= {f"{file.name_ko}:", f"{file.name_en}:", *file.how, *file.how_en, *file.do_not, *file.do_not_en}
        for item in file.items:
            for name, about in ((item.name, item.description), (item.name_en, item.description_en)):
                lines |= {name, f"{name}: {about}", str(about)}
            lines |= {*item.how, *item.how_en, *item.do_not, *item.do_not_en, item.why, item.why_en}
            for said in (*item.answers.values(), *item.exceptions.values()):
                lines |= {bare(said["ko"]), bare(said["en"])}
    lines |= _DANGERS
    return {line.casefold() for line in lines}


_DANGERS = {situation.line(language) for situation in SITUATIONS for language in ("ko", "en")}
_BEGINS_SAFELY = re.compile("|".join(re.escape(line) + " " for line in _DANGERS), re.I)
_YES_OR_NO = re.compile(r"^(?:네|아니요|안 돼요|돼요|Yes|No)\b[,.:;]? *", re.I)
_FORMS = [
    re.compile(re.sub(r"\\{\w+(?::\w+)?\\}", ".+", re.escape(text)), re.I) for text in FIXED if text != "{name}: {line}"
]


def bare(line: str) -> str:
    """A line without its yes or no: the same rule answers a question and the question turned round."""
    return _YES_OR_NO.sub("", line.strip())


def grounded(answer: Answer, lines: set[str]) -> bool:
    """Whether every line is an item's own, with another yes or no at most, or a fixed sentence."""
    said = [re.sub(r"^(?:\d+\.|-) ", "", line).strip() for line in answer.text.splitlines() if line.strip()]
    return all(_from_us(line.casefold(), lines) for line in said)


def _from_us(line: str, lines: set[str]) -> bool:
    begun = _BEGINS_SAFELY.match(line)
    line = line[begun.end() :] if begun else line
    own = line in lines or bare(line) in lines or bare(line.partition(": ")[2]) in lines
    return own or any(form.fullmatch(line) for form in _FORMS)


def right(asked: Asked, answer: Answer, names: dict[str, str]) -> bool:
    found = {names[source.name] for source in answer.record.sources}
    if asked.kind == OFF:
        return not found and declined(answer)
    line = answer.text.partition("\n")[0]
    return any(found == set(wanted) for wanted in asked.wanted or [[]]) and bool(re.search(asked.first, line))


def declined(answer: Answer) -> bool:
    return answer.text in OFF_TOPIC


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.eval.questions", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mistakes", action="store_true", help="list the wrong answers of the tuning part")
    parser.add_argument("sets", nargs="*", default=SETS, metavar="SET", help="which files; all of them by default")
    options = parser.parse_args()
    with parts.throwaway() as environment, parts.services(environment) as calls:
        for name in options.sets:
            print(f"\n### {name}\n")
            _report(name, EmbeddedQuestions(Neighbours(calls)), mistakes=options.mistakes)
    return 0


def _report(name: str, provider: EmbeddedQuestions, *, mistakes: bool) -> None:
    """Ask a set's questions and print its table."""
    asked, names, lines = read(name), slugs(), own_lines()
    held = held_out(asked) if name == SETS[0] else set()
    counts: dict[tuple[str, str], list[tuple[bool, bool]]] = defaultdict(list)
    wrong, times = [], []
    for one in asked:
        begun = time.perf_counter()
        answer = provider.answer(one.question(), lambda *_: None)
        times.append(time.perf_counter() - begun)
        part = "held out" if identity(one) in held else "tuning"
        result = right(one, answer, names), grounded(answer, lines)
        counts[one.kind, part].append(result)
        if part == "tuning" and not all(result):
            found = " ".join(names[source.name] for source in answer.record.sources)
            wrong.append(f"  {one.kind}: {identity(one)} -> {found or '-'}, wanted {one.wanted} {one.first}")
            wrong.append(f"      {answer.text.splitlines()[0][:90]}")
    print(f"{len(asked)} questions ({len(held)} held out), median {sorted(times)[len(times) // 2] * 1000:.0f} ms\n")
    print("| kind | tuning right | held out right | grounded |\n|---|---|---|---|")
    for kind in dict.fromkeys(one.kind for one in asked):
        both = [counts[kind, part] for part in ("tuning", "held out")]
        shares = [f"{sum(ok for ok, _ in results)}/{len(results)}" for results in both]
        print(f"| {kind} | {shares[0]} | {shares[1]} | {_share([ok for results in both for _, ok in results])} |")
    for part in ("tuning", "held out"):
        on = [ok for (kind, where), results in counts.items() if where == part and kind != OFF for ok, _ in results]
        if on:
            print(f"| **right item, {part}** | {_share(on)} of {len(on)} | | |")
    if mistakes:
        print("\n".join(wrong))


def _share(values: list[bool]) -> str:
    return f"{sum(values) / len(values):.3f}"


if __name__ == "__main__":
    sys.exit(main())
