"""How well the embedded classifier does on photographs that it has not seen: `python -m tests.eval.photos`.

Waste, from `../shared/data/photos`: each source with a head that was trained without it, and TrashNet's things once more with
a head trained on other things of TrashNet, put on other grounds. What else there is, from packages: the third that is held
out, and all of GCompris's. Prints the tables of docs/EVALUATION.md; draws a reliability diagram and confusion table in `build/`.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from PIL import Image

from functions.ai import deciding, embedded, judging, stages
from functions.ai.cache import DISTANCE, look
from functions.ai.judging import Judge, Look
from functions.ai.structure import shows_something
from shared.messages import Classification
from tests.eval import drawing, head, photographs, training
from tests.eval.photographs import Photo

BLOCKS = 3
SERVED = slice(0, embedded.SEEN)
"""The views that are served; the closer one follows, one in another light, and those from GROUND on are on another ground."""
GROUND = embedded.SEEN + 2
SERVED_ROW = "half of these, as served"


class Case(Struct, frozen=True):
    """One picture: what it shows, every type that is right, the answer, its item, and whether some looks were spared."""

    name: str
    shown: str
    also: frozenset[str]
    answer: Classification
    item: str
    early: bool

    @property
    def right(self) -> bool:
        return self.answer.waste_type in self.also

    @property
    def answered(self) -> bool:
        return self.answer.waste_type != "unknown"

    @property
    def sure(self) -> bool:
        return self.answered and self.answer.confidence >= deciding.SURE


def case(judge: Judge, name: str, shown: str, also: frozenset[str], seen: tuple[Any, Any]) -> Case:
    """By features [networks, views, 1280] and outputs [networks, views, 1000]; in stages where these are the views served."""
    features, logits = seen
    looks = [*np.ndindex(features.shape[:2])]
    asked = []

    def see(network: int, view: int) -> Look:
        asked.append(view)
        return Look(network, features[network, view], logits[network, view])

    if features.shape[1] == embedded.SEEN:
        judged, item = stages.judged(judge, see)
    else:
        every = [see(*one) for one in looks]
        judged, item = judge.types(every), judging.item(every)
    answer = deciding.answer([*judged.confidences.items()], "embedded", judge.name, item, judged.least, judged.told)
    return Case(name, shown, also, answer, item[0] if item and answer.item_id else "", len(asked) < len(looks))


def judge_of(examples: tuple[Any, Any]) -> Judge:
    """The judge with a head of these examples."""
    return Judge(head.head_file(*head.train_each(*examples)))


def left_out(source: str) -> list[Case]:
    """The photographs of one source of waste, with a head that was trained without it."""
    judge, found = judge_of(head.examples(source)), training.of_waste()
    return [
        case(judge, p.file, p.finer, p.right, (found.features[n, :, SERVED], found.logits[n, :, SERVED]))
        for n, p in enumerate(training.manifest())
        if p.source == source
    ]


def other_things() -> list[Case]:
    """TrashNet's things on another ground, each with a head that has seen neither the thing nor the ones beside it."""
    photos, found = training.manifest(), training.of_waste()
    cases = []
    for block in range(BLOCKS):
        judge = _without(block)
        for n in sorted(_hidden(block)):
            seen = (found.features[n, :, GROUND : GROUND + 1], found.logits[n, :, GROUND : GROUND + 1])
            cases.append(case(judge, photos[n].file, photos[n].finer, photos[n].right, seen))
    return cases


def as_served() -> list[Case]:
    """Half of TrashNet's things on another ground, as a photo is served: with all its views, and a head as in `other_things`."""
    photos = training.manifest()
    rows, found = training.of_grounds()
    cases = []
    for block in range(BLOCKS):
        judge = _without(block)
        for n, row in enumerate(rows):
            if _block(photos[row].file) == block:
                p = photos[row]
                cases.append(case(judge, p.file, p.finer, p.right, (found.features[n], found.logits[n])))
    return cases


@cache
def _without(block: int) -> Judge:
    """The judge with a head that has not seen this part of TrashNet."""
    return judge_of(head.examples(hidden=_hidden(block)))


def _hidden(block: int) -> set[int]:
    return {n for n, p in enumerate(training.manifest()) if p.source == "trashnet" and _block(p.file) == block}


def _block(file: str) -> int:
    """The same thing was photographed several times in a row: twenty neighbours stay together."""
    return int(re.findall(r"\d+", file)[-1]) // 20 % BLOCKS


def packages() -> dict[str, list[Case]]:
    """Photographs from packages that nothing was trained on, by part."""
    others, found = training.of_others()
    held = photographs.held_out(photographs.labels())
    judge = judging.read_judge()
    parts: dict[str, list[Case]] = {"packages, held out": [], "GCompris": []}
    for n, photo in enumerate(others):
        if photo.name in held:
            seen = (found.features[n, :, SERVED], found.logits[n, :, SERVED])
            part = "GCompris" if photo.source == photographs.OTHER else "packages, held out"
            parts[part].append(case(judge, photo.name, photo.waste_type, frozenset({photo.waste_type}), seen))
    return parts


def row(name: str, cases: list[Case]) -> str:
    waste = [one for one in cases if one.shown != "unknown"]
    answered = [one for one in cases if one.answered]
    asked = [one for one in waste if one.answer.ask]
    return (
        f"| {name} | {len(cases)} | {share(waste, 'right')} | {share(answered, 'right')} | {share(waste, 'answered')}"
        f" | {sum(one.sure and not one.right for one in cases)} | {len(asked)}"
        f" | {sum(bool(one.also & set(one.answer.ask)) for one in asked) / max(1, len(asked)):.2f}"
        f" | {sum(one.answered for one in cases if one.shown == 'unknown')} of {len(cases) - len(waste)}"
        f" | {sum(one.early for one in cases) / len(cases):.2f} |"
    )


def share(cases: list[Case], what: str) -> str:
    return f"{sum(getattr(one, what) for one in cases) / len(cases):.3f}" if cases else "–"


def by_type(cases: list[Case]) -> Iterator[str]:
    """The weakest first: of each type how many are right, wrong, unknown, and what they are taken for."""
    kinds = {one.shown for one in cases} - {"unknown"}
    found = {kind: [one for one in cases if one.shown == kind] for kind in kinds}
    for kind in sorted(kinds, key=lambda kind: sum(one.right for one in found[kind]) / len(found[kind])):
        wrong = [one for one in found[kind] if one.answered and not one.right]
        taken = ", ".join(
            f"{name} {count}" for name, count in Counter(one.answer.waste_type for one in wrong).most_common(3)
        )
        unknown = sum(not one.answered for one in found[kind]) / len(found[kind])
        yield (
            f"| {kind} | {len(found[kind])} | {share(found[kind], 'right')} | {len(wrong) / len(found[kind]):.3f}"
            f" | {unknown:.3f} | {taken} |"
        )


def near(shown: list[tuple[Photo, bytes]]) -> str:
    """How the perceptual cache does: pairs of other photographs taken for one, and changed copies found again."""
    looks = [(photo.name, look(web)) for photo, web in shown]
    pairs = [(one, two) for (a, one), (b, two) in combinations(looks, 2) if a != b]
    by_hash = sum((one.bits ^ two.bits).bit_count() <= DISTANCE for one, two in pairs)
    taken = sum(one.distance(two) is not None for one, two in pairs)
    found = [
        of.distance(look(copy)) is not None
        for (_, of), (_, web) in zip(looks, shown, strict=True)
        for copy in copies(web)
    ]
    return (
        f"Near: of {len(pairs)} pairs of different photographs {by_hash} are within {DISTANCE} bits and {taken} are taken for"
        f" one photo; of {len(found)} smaller or harder compressed copies {sum(found) / len(found):.3f} are found"
    )


def copies(web: bytes) -> Iterator[bytes]:
    """The same picture as another phone or app may send it."""
    image = Image.open(BytesIO(web))
    for quality, scale in ((60, 1.0), (85, 0.5), (75, 0.8)):
        target = BytesIO()
        image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale)))).save(
            target, "JPEG", quality=quality
        )
        yield target.getvalue()


def main() -> int:
    if not training.SHARED.is_dir():
        print(f"photos: {training.SHARED} is not there: the head's photographs are not part of the project")
        return 1
    groups = {
        "scenes, head without them": left_out("scene"),
        "TrashNet, head without it": left_out("trashnet"),
        "TrashNet, other things, other grounds": other_things(),
        SERVED_ROW: as_served(),
        **packages(),
    }
    columns = (
        "| photographs | n | right of waste | precision | answered | sure+wrong | asked | right in it | nothing answered"
        " | two looks |"
    )
    print(columns, "|" + "---|" * (columns.count("|") - 1), sep="\n")
    for name, cases in groups.items():
        print(row(name, cases))
    told = [
        one for name, cases in groups.items() if name not in ("TrashNet, head without it", SERVED_ROW) for one in cases
    ]
    for name, cases in (("All but the second and fourth row", told), ("The fourth row", groups[SERVED_ROW])):
        print(f"\n{name}, by type, the weakest first:\n")
        print("| type | n | right | wrong | unknown | taken for |", "|" + "---|" * 6, *by_type(cases), sep="\n")
    items = [one for cases in packages().values() for one in cases if one.item]
    named = ", ".join(f"{Path(one.name).name} {one.item}" for one in items)
    print(f"\nItems named: {named}")
    answered = [one for one in told if one.answer.candidates]
    confidence = np.array([one.answer.confidence for one in answered])
    right = np.array([one.answer.candidates[0].waste_type in one.also for one in answered])
    folder = training.ROOT / "build"
    drawing.reliability(folder / "photos-reliability.png", confidence, right)
    kinds = [
        *dict.fromkeys(one.shown for one in sorted(told, key=lambda one: one.shown) if one.shown != "unknown"),
        "unknown",
    ]
    drawing.confusion(
        folder / "photos-confusion.png",
        Counter((one.shown, one.shown if one.right else one.answer.waste_type) for one in told),
        kinds,
    )
    print(f"\nDrawn: {', '.join(f'build/{path.name}' for path in sorted(folder.glob('photos-*.png')))}")
    shown = list(photographs.pictures())
    plain = sum(not shows_something(embedded.opened(web)) for _, web in shown)
    print(f"\nWithout anything in them: {plain} of {len(shown)} pictures from packages")
    print(f"\n{near(shown)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
