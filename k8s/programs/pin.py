"""`eco2 build --pin`: images of others by digest, at the newest patch of the version that is chosen; the base by digest alone.

A tag may name another image tomorrow, a digest never does. Which minor version runs is a decision, written in the files: 18.6
becomes 18.7 and never 19. The files are k8s/image.toml and each kustomization with `images`, which kustomize itself reads.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from runtime.closure import Checkout
from runtime.services import ROOT

IMAGE_TOML = "k8s/image.toml"
_ENTRY = re.compile(r'\{name: (?P<name>[^,}]+), newTag: "?(?P<tag>[^,}"]+)"?(?:, digest: "?(?P<digest>[^,}"]+)"?)?\}')


def kustomizations(root: Path = ROOT) -> list[Path]:
    """The files that name images of others."""
    found = [f for f in (root / "k8s").rglob("kustomization.yaml") if _ENTRY.search(f.read_text(encoding="utf-8"))]
    return sorted(found)


def unpinned(root: Path = ROOT) -> list[str]:
    """Images of others that are named by a tag alone."""
    texts = [file.read_text(encoding="utf-8") for file in kustomizations(root)]
    return [f"{m['name']}:{m['tag']}" for text in texts for m in _ENTRY.finditer(text) if not m["digest"]]


def pin(checkout: Checkout) -> Iterator[str]:
    """Write digests into the files; yield a line for each image, with what it was and what it is.

    Raises:
        RegistryError: a registry does not answer. What was pinned before stays.
    """
    # Each plan and deploy asks what is `unpinned`; an HTTP client would be a third of what they load.
    from k8s.programs.registry_api import Registry

    base, digest = checkout.image["base"], checkout.image["digest"]
    name, _, tag = base.rpartition(":")
    new = Registry(name).digest(tag)
    file = checkout.root / IMAGE_TOML
    file.write_text(file.read_text(encoding="utf-8").replace(f'digest = "{digest}"', f'digest = "{new}"'), "utf-8")
    yield f"{base}@{new}" + ("" if new == digest else f" (was {digest or 'not pinned'})")
    for file in kustomizations(checkout.root):
        # A file at a time: one that can't be finished stays as it was.
        text = file.read_text(encoding="utf-8")
        for entry in list(_ENTRY.finditer(text)):
            registry = Registry(entry["name"])
            tag = newest(entry["tag"], registry.tags())
            digest = registry.digest(tag)
            text = text.replace(entry[0], f"{{name: {entry['name']}, newTag: {tag}, digest: {digest}}}")
            was = entry["tag"] if tag != entry["tag"] else entry["digest"] or "not pinned"
            yield f"{entry['name']}:{tag}@{digest}" + ("" if was == digest else f" (was {was})")
        file.write_text(text, encoding="utf-8")


def newest(tag: str, tags: Iterable[str]) -> str:
    """The newest patch of a tag: of those that differ from it in the last number of its version alone.

    `18.6-bookworm` may become `18.7-bookworm`; not `19.0-bookworm`, `18.7-alpine` or `18.7`.
    """
    shape = re.match(r"(v?(?:\d+\.)+)(\d+)(.*)", tag)
    if shape is None:
        return tag
    same = re.compile(rf"{re.escape(shape[1])}(\d+){re.escape(shape[3])}")
    patches = [int(found[1]) for other in tags if (found := same.fullmatch(other))]
    return f"{shape[1]}{max([int(shape[2]), *patches])}{shape[3]}"
