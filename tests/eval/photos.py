"""How well the embedded classifier does on real photographs: `python -m tests.eval.photos` prints the table of docs/AI.md.

The photographs ship in scikit-image's wheel and in Debian's `tuxpaint-stamps-default` (photographic cut-outs) and
`gcompris-qt-data` (photographs), fetched with `apt-get download` when not installed. They are not part of this repository:
`photos.csv` names each with what it shows, as a waste type, or `unknown` where nothing is to be thrown away. Each cut-out is
also put on three textures of scikit-image, so that the network does not see white paper alone. Every picture goes through
the storage worker's code first: what is classified is its thumbnail, as in production.

A third of the photographs of each type is held out, by the hash of the name, and all of GCompris's, as a set of another
origin: nothing is chosen by them.
"""

import argparse
import csv
import hashlib
import math
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections import defaultdict
from collections.abc import Iterator
from io import BytesIO
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from PIL import Image

from functions.ai import model_build
from functions.ai.cache import DISTANCE, look
from functions.ai.embedded import TEMPERATURE, THRESHOLD, Classifier, Logits, by_type, prepare
from functions.ai.labels import IMAGENET, MODEL
from functions.storage.images import make_copies

LABELS = Path(__file__).with_name("photos.csv")
TYPES = tuple(IMAGENET)
TEXTURES = ("brick.png", "gravel.png", "grass.png")
OTHER = "gcompris"
"""The source that is held out as a whole."""
SURE = 0.8
"""A wrong answer of at least this confidence is wrong but sure, and costs most."""

TEMPERATURES = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
THRESHOLDS = tuple(round(0.3 + 0.05 * step, 2) for step in range(13))

Sums = npt.NDArray[np.float64]


class Photo(Struct, frozen=True):
    """A labelled photograph: `source/path` and what it shows."""

    name: str
    waste_type: str

    @property
    def source(self) -> str:
        return self.name.partition("/")[0]


def labels() -> list[Photo]:
    with LABELS.open(encoding="utf-8", newline="") as file:
        return [Photo(row["photo"], row["waste_type"]) for row in csv.DictReader(file)]


def held_out(photos: list[Photo]) -> set[str]:
    """All of GCompris's, and of the others the third of each waste type whose names have the smallest SHA-256."""
    kinds: dict[str, list[str]] = defaultdict(list)
    held = {photo.name for photo in photos if photo.source == OTHER}
    for photo in photos:
        if photo.source != OTHER:
            kinds[photo.waste_type].append(photo.name)
    for names in kinds.values():
        names.sort(key=lambda name: hashlib.sha256(name.encode()).digest())
        held.update(names[: math.ceil(len(names) / 3)])
    return held


def skimage_folder() -> Path:
    import skimage

    return Path(skimage.__file__).parent / "data"


def debian(package: str, inside: str, given: Path | None = None) -> Path:
    """Where a Debian package's folder lies: as given, as installed, or unpacked into a folder that outlives this run."""
    for folder in (given, Path("/", inside)):
        if folder and folder.is_dir():
            return folder
    unpacked = Path(tempfile.gettempdir()) / "eco2-eval" / package
    if not unpacked.is_dir():
        unpacked.parent.mkdir(exist_ok=True)
        # Under its name only when it is whole: a run that was stopped meanwhile leaves nothing that looks like it.
        with tempfile.TemporaryDirectory(dir=unpacked.parent) as name:
            download = ["apt-get", "download", "-q", package]
            if subprocess.run(download, cwd=name, capture_output=True, check=False).returncode:
                subprocess.run(["apt-get", "update", "-q"], capture_output=True, check=False)
                subprocess.run(download, cwd=name, capture_output=True, check=False)
            files = list(Path(name).glob("*.deb"))
            if not files:
                sys.exit(f"photos: Debian's {package} is neither installed nor to be had: apt-get install {package}")
            subprocess.run(["dpkg-deb", "-x", str(files[0]), f"{name}/root"], check=True)
            Path(name, "root").rename(unpacked)
    return unpacked / inside


def resources(path: Path) -> dict[str, bytes]:
    """The files of a Qt resource bundle (.rcc), by their paths in it.

    A tree of nodes (22 bytes: where the name lies, flags, and for a folder the count and number of its first child, for a
    file where its data lies), data with their lengths before them, and names in UTF-16; all numbers big-endian.
    """
    content = path.read_bytes()
    magic, _, tree, data, names = struct.unpack_from(">4sIIII", content)
    if magic != b"qres":
        raise ValueError(f"{path} is no Qt resource bundle")
    files: dict[str, bytes] = {}

    def read(number: int, folder: str) -> None:
        at, flags = struct.unpack_from(">IH", content, tree + 22 * number)
        (letters,) = struct.unpack_from(">H", content, names + at)
        name = folder + content[names + at + 6 : names + at + 6 + 2 * letters].decode("utf-16-be") if number else ""
        if flags & 2:
            count, first = struct.unpack_from(">II", content, tree + 22 * number + 6)
            for child in range(first, first + count):
                read(child, f"{name}/" if number else "")
            return
        (at,) = struct.unpack_from(">I", content, tree + 22 * number + 10)
        (size,) = struct.unpack_from(">I", content, data + at)
        packed = content[data + at + 4 : data + at + 4 + size]
        # Pictures are stored as they are; what is compressed is text.
        files[name] = zlib.decompress(packed[4:]) if flags & 1 else packed

    read(0, "")
    return files


def contents(photos: list[Photo], stamps: Path | None) -> Iterator[bytes]:
    """Every photograph's file."""
    folders = {
        "skimage": skimage_folder(),
        "tuxpaint": debian("tuxpaint-stamps-default", "usr/share/tuxpaint/stamps", stamps),
    }
    bundles = debian("gcompris-qt-data", "usr/share/gcompris-qt/rcc")
    opened: dict[str, dict[str, bytes]] = {}
    for photo in photos:
        source, _, path = photo.name.partition("/")
        if source in folders:
            yield (folders[source] / path).read_bytes()
            continue
        activity = path.partition("/")[0]
        if activity not in opened:
            opened[activity] = resources(bundles / f"{activity}.rcc")
        yield opened[activity][f"gcompris/src/activities/{path}"]


def pictures(photos: list[Photo], stamps: Path | None) -> Iterator[tuple[Photo, bytes]]:
    """Every photograph as the storage worker would keep it; cut-outs four times, on white and on the textures."""
    data = skimage_folder()
    grounds = [Image.open(data / name).convert("RGB").resize((800, 800)) for name in TEXTURES]
    for photo, content in zip(photos, contents(photos, stamps), strict=True):
        yield photo, make_copies(content).thumbnail
        if photo.source == "tuxpaint":
            cutout = Image.open(BytesIO(content)).convert("RGBA")
            scale = 520 / max(cutout.size)
            cutout = cutout.resize((max(1, round(cutout.width * scale)), max(1, round(cutout.height * scale))))
            for ground in grounds:
                scene = ground.copy()
                scene.paste(cutout, ((800 - cutout.width) // 2, (800 - cutout.height) // 2), cutout)
                target = BytesIO()
                scene.save(target, "PNG", compress_level=1)
                yield photo, make_copies(target.getvalue()).thumbnail


class Measured(Struct, frozen=True):
    """What a choice of temperature and threshold makes of some photographs; shares are of all of them.

    `coverage` is the share that got an answer, `of_waste` the same among photographs of waste, `precision` the share of
    right ones among the answers, `accuracy` that of right ones with `unknown` counted as right where nothing is to be thrown
    away, `sure_wrong` the number of wrong answers of at least 0.8, `ece` the expected calibration error over ten bins,
    `worth` what `worth` says.
    """

    count: int
    accuracy: float
    coverage: float
    of_waste: float
    precision: float
    sure_wrong: int
    ece: float
    worth: float


def measure(sums: Sums, truth: list[str], threshold: float) -> Measured:
    confidence = sums.max(axis=1)
    right = np.array([TYPES[best] == wanted for best, wanted in zip(sums.argmax(axis=1), truth, strict=True)])
    waste = np.array([wanted != "unknown" for wanted in truth])
    answered = confidence >= threshold
    bins = np.minimum((confidence * 10).astype(int), 9)
    ece = sum(
        abs(float(right[bins == n].mean()) - float(confidence[bins == n].mean())) * float((bins == n).mean())
        for n in range(10)
        if (bins == n).any()
    )
    return Measured(
        count=len(truth),
        accuracy=float(np.where(answered, right, ~waste).mean()),
        coverage=float(answered.mean()),
        of_waste=float(answered[waste].mean()) if waste.any() else 0.0,
        precision=float(right[answered].mean()) if answered.any() else 1.0,
        sure_wrong=int((answered & ~right & (confidence >= SURE)).sum()),
        ece=ece,
        worth=worth(sums, truth, threshold),
    )


def loss(sums: Sums, truth: list[str]) -> float:
    """Mean negative logarithm of the probability of what is shown; what belongs to no type is that of `unknown`."""
    columns = {name: column for column, name in enumerate(TYPES)}
    chances = [
        row[columns[wanted]] if wanted in columns else 1 - row.sum() for row, wanted in zip(sums, truth, strict=True)
    ]
    return float(-np.log(np.clip(chances, 1e-6, 1)).mean())


def worth(sums: Sums, truth: list[str], threshold: float) -> float:
    """A right answer is worth 1, a wrong one costs 2, a wrong and sure one 10, `unknown` nothing; mean over all."""
    confidence = sums.max(axis=1)
    right = np.array([TYPES[best] == wanted for best, wanted in zip(sums.argmax(axis=1), truth, strict=True)])
    answered = confidence >= threshold
    sure = answered & ~right & (confidence >= SURE)
    return float(((answered & right).sum() - 2 * (answered & ~right).sum() - 8 * sure.sum()) / len(truth))


class Choice(Struct, frozen=True):
    """Chosen on the tuning part: the temperature of least loss, then the threshold of most worth."""

    temperature: float
    threshold: float


def sums_of(logits: Logits, temperature: float) -> Sums:
    return np.stack([by_type(row, temperature) for row in logits])


def choose(logits: Logits, truth: list[str]) -> Choice:
    temperature = min(TEMPERATURES, key=lambda value: loss(sums_of(logits, value), truth))
    sums = sums_of(logits, temperature)
    return Choice(temperature, max(THRESHOLDS, key=lambda value: worth(sums, truth, value)))


def quantised(source: Path, target: Path, images: npt.NDArray[np.uint8]) -> Path:
    """The same network in 8-bit integers (QDQ, per channel), its ranges from these images."""
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._images = iter(images)

        def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
            image = next(self._images, None)
            return None if image is None else {"image": image[None]}

    quantization.quantize_static(
        str(source), str(target), Reader(), per_channel=True, activation_type=quantization.QuantType.QUInt8
    )
    return target


def milliseconds(classifier: Classifier, image: npt.NDArray[np.uint8]) -> float:
    """Median time of one image on one thread."""
    times = []
    for _ in range(30):
        begun = time.perf_counter()
        classifier.run(image[None])
        times.append(time.perf_counter() - begun)
    return sorted(times)[len(times) // 2] * 1000


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


COLUMNS = (
    "| model | form | MB | ms | T | threshold | part | n | accuracy | coverage | of waste | precision | sure+wrong"
    " | ECE | worth |"
)


def row(name: str, form: str, size: float, speed: float, choice: Choice, part: str, found: Measured) -> str:
    return (
        f"| {name} | {form} | {size:.1f} | {speed:.1f} | {choice.temperature} | {choice.threshold} | {part} | {found.count}"
        f" | {found.accuracy:.3f} | {found.coverage:.3f} | {found.of_waste:.3f} | {found.precision:.3f}"
        f" | {found.sure_wrong} | {found.ece:.3f} | {found.worth:.3f} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.eval.photos", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--stamps", type=Path, help="the stamps folder of tuxpaint-stamps-default")
    parser.add_argument("--mistakes", action="store_true", help="list the wrong answers of the model that is served")
    options = parser.parse_args()
    photos = labels()
    held = held_out(photos)
    shown = list(pictures(photos, options.stamps))
    print(f"{len(photos)} photographs ({len(held)} held out), {len(shown)} pictures with the textures\n")
    print(COLUMNS)
    print("|" + "---|" * (COLUMNS.count("|") - 1))
    folder = Path(tempfile.gettempdir()) / "eco2-eval-models"
    tuning = np.array([photo.name not in held for photo, _ in shown])
    other = np.array([photo.source == OTHER for photo, _ in shown])
    truth = [photo.waste_type for photo, _ in shown]
    for name in model_build.VARIANTS:
        path, _ = model_build.write(folder, name)
        classifier = Classifier(path)
        images = np.stack([prepare(Image.open(BytesIO(web)), classifier.side) for _, web in shown])
        forms = {"float32": path, "int8": quantised(path, folder / f"{name}.int8.onnx", images[tuning][::7])}
        for form, file in forms.items():
            classifier = Classifier(file)
            logits = np.concatenate([classifier.run(image[None]) for image in images])
            choice = choose(logits[tuning], [kind for kind, tune in zip(truth, tuning, strict=True) if tune])
            speed = milliseconds(classifier, images[0])
            sums = sums_of(logits, choice.temperature)
            for part, chosen in (("tuning", tuning), ("held out", ~tuning & ~other), ("GCompris", other)):
                wanted = [kind for kind, yes in zip(truth, chosen, strict=True) if yes]
                found = measure(sums[chosen], wanted, choice.threshold)
                print(row(name, form, file.stat().st_size / 1e6, speed, choice, part, found), flush=True)
            if (name, form) == (MODEL, "float32"):
                agreed = (choice.temperature, choice.threshold) == (TEMPERATURE, THRESHOLD)
                served = sums_of(logits, TEMPERATURE)
                verdict = "as" if agreed else "NOT as"
    print(f"\nServed: {MODEL} float32, temperature {TEMPERATURE}, threshold {THRESHOLD} ({verdict} chosen above)")
    print(f"\n{near(shown)}")
    if options.mistakes:
        for (photo, _), sums_row in zip(shown, served, strict=True):
            best = TYPES[int(sums_row.argmax())]
            if sums_row.max() >= THRESHOLD and best != photo.waste_type:
                print(f"  {photo.name}: {best} {sums_row.max():.2f}, is {photo.waste_type}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
