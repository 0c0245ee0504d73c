"""Labelled photographs that ship in packages: what is not waste of a TrashNet kind, and what no one throws away.

They are in scikit-image's wheel and in Debian's `tuxpaint-stamps-default` (photographic cut-outs) and `gcompris-qt-data`
(photographs), fetched with `apt-get download` when not installed. They are not part of this repository: `photos.csv` names
each with what it shows, as a waste type, or `unknown` where nothing is to be thrown away. Each cut-out is also put on a
texture of scikit-image. Every picture goes through the storage worker's code: what is seen is its thumbnail, as in production.

A third of the photographs of each type is held out, by the hash of the name, and all of GCompris's, as a set of another
origin: nothing is chosen by them.
"""

import csv
import hashlib
import math
import struct
import subprocess
import sys
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from msgspec import Struct
from PIL import Image

from functions.storage.images import make_copies

LABELS = Path(__file__).with_name("photos.csv")
TEXTURES = ("brick.png", "gravel.png", "grass.png")
OTHER = "gcompris"
"""The source that is held out as a whole."""
_SCENE, _CUTOUT = 800, 520


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


def debian(package: str, inside: str) -> Path:
    """Where a Debian package's folder lies: as installed, or unpacked into a folder that outlives this run."""
    if Path("/", inside).is_dir():
        return Path("/", inside)
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


def contents(photos: list[Photo]) -> Iterator[bytes]:
    """Every photograph's file."""
    folders = {
        "skimage": skimage_folder(),
        "tuxpaint": debian("tuxpaint-stamps-default", "usr/share/tuxpaint/stamps"),
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


def pictures() -> Iterator[tuple[Photo, bytes]]:
    """Every photograph as the storage worker would keep it; cut-outs twice, on white and on one of the textures."""
    photos = labels()
    data = skimage_folder()
    white = Image.new("RGB", (_SCENE, _SCENE), "white")
    textures = [Image.open(data / name).convert("RGB").resize((_SCENE, _SCENE)) for name in TEXTURES]
    for number, (photo, content) in enumerate(zip(photos, contents(photos), strict=True)):
        if photo.source != "tuxpaint":
            yield photo, make_copies(content).thumbnail
            continue
        cutout = Image.open(BytesIO(content)).convert("RGBA")
        scale = _CUTOUT / max(cutout.size)
        cutout = cutout.resize((max(1, round(cutout.width * scale)), max(1, round(cutout.height * scale))))
        for ground in (white, textures[number % len(textures)]):
            scene = ground.copy()
            scene.paste(cutout, ((_SCENE - cutout.width) // 2, (_SCENE - cutout.height) // 2), cutout)
            target = BytesIO()
            scene.save(target, "PNG", compress_level=1)
            yield photo, make_copies(target.getvalue()).thumbnail
