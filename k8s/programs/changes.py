"""What a deploy would change, and why: what the checkout wants against what runs.

No git range is looked at, so that a failed or skipped rollout heals itself at the next one.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec
from msgspec import Struct

from k8s.programs.images import TOOLS, Image, Record
from k8s.programs.objects import ObjectChange, texts
from runtime.closure import Closure

Change = Literal["unchanged", "changed", "new", "manifests", "removed"]


class FunctionChange(Struct, frozen=True):
    """A function to be rolled out; each entry of `why` is a chain from an input to the image."""

    function: str
    hash: str
    why: list[list[str]]


class ServiceChange(Struct, frozen=True):
    """What a deploy would do with one service. `why` holds the chains that lead past all functions."""

    service: str
    tag: str
    running_tag: str | None
    change: Change
    functions: list[FunctionChange] = []
    why: list[list[str]] = []
    record: Record | None = None
    objects: list[ObjectChange] = []
    text_only: list[str] = []  # files of which comments or the like changed: the image stays as it is
    before: str = ""  # of a rollout that was not finished: the tag of the last that was


class Plan(Struct, frozen=True):
    """One entry a service, one for the image with the tools, and one for each object of no service that would change."""

    services: list[ServiceChange]
    tools: ServiceChange | None = None
    base: list[ObjectChange] = []

    def nothing(self) -> bool:
        """Whether all is as it should be."""
        entries = [*self.services, *([self.tools] if self.tools else [])]
        return not self.base and all(entry.change == "unchanged" for entry in entries)


def compare(
    images: Iterable[Image], running: Mapping[str, Record], objects: Iterable[ObjectChange] = (), registry: str = ""
) -> Plan:
    """The plan. `running` is keyed by service name; a record may know no more than its tag. `objects` would change."""
    objects = list(objects)
    changes = {}
    for image in images:
        own = [change for change in objects if change.service == image.name]
        changes[image.name] = _with_objects(_compare(image, running.get(image.name), registry), own)
    gone = {n: ServiceChange(n, "", record.tag, "removed") for n, record in running.items() if n not in changes}
    tools = changes.pop(TOOLS, None)
    services = [*changes.values(), *(gone[name] for name in sorted(gone))]
    return Plan(services, tools, [change for change in objects if not change.service])


def _with_objects(change: ServiceChange, objects: list[ObjectChange]) -> ServiceChange:
    """Add what would change in a service's objects beside its image: settings that its pods read, replicas, policies."""
    why = [[f"setting {name}", change.service] for name in sorted({n for o in objects for n in o.reads})]
    why += [[o.id, change.service] for o in objects if o.change != "new" and any(not _of_image(x) for x in o.diff)]
    if change.change == "new" or not why:
        return msgspec.structs.replace(change, objects=objects)
    kind = "manifests" if change.change == "unchanged" else change.change
    return msgspec.structs.replace(change, change=kind, why=[*change.why, *why], objects=objects)


def _of_image(line: str) -> bool:
    return line.split(":", 1)[0].endswith(".image")


def _compare(image: Image, old: Record | None, registry: str) -> ServiceChange:
    name, record = image.name, image.record
    found = ServiceChange(name, record.tag, old.tag if old else None, "changed", record=record)
    but = functools.partial(msgspec.structs.replace, found)
    if old is None:
        return but(change="new", functions=_all_functions(image, "nothing is running"))
    if old.tag == record.tag and not old.finished:
        return but(why=[[f"the rollout of {record.tag} has not been finished", name]], before=old.before)
    if registry and old.registry and old.registry != registry:
        return but(why=[[f"registry {old.registry} -> {registry}", name]])
    if old.tag == record.tag:
        reworded = sorted(file for file, words in record.texts.items() if old.texts.get(file, words) != words)
        why = [] if old.manifest in ("", record.manifest) else [["manifests (eco2 render)", name]]
        return but(change="manifests" if why else "unchanged", why=why, text_only=reworded)
    if not old.functions:
        return but(functions=_all_functions(image, f"image {old.tag}, of which nothing is known"))
    changed = {key for key in {*old.inputs, *record.inputs} if old.inputs.get(key) != record.inputs.get(key)}
    labels = {key: label(key, old.inputs, record.inputs) for key in sorted(changed)}
    known = {closure.function.name for closure in image.closures}
    why = [["removed function", f"{image.target}/{gone}", name] for gone in old.functions if gone not in known]
    why += [[text, name] for key, text in labels.items() if key in image.inputs]
    return but(functions=list(_changed_functions(image, old, labels)), why=why)


def _changed_functions(image: Image, old: Record, labels: Mapping[str, str]) -> Iterator[FunctionChange]:
    """Those that are new or not as they were; `labels` has each input that changed, in words."""
    for closure in image.closures:
        before = old.functions.get(closure.function.name)
        if before == closure.hash:
            continue
        ways = {key: closure.chain(key)[1:-1] for key in labels if key in closure.inputs}
        chains = [[labels[key], *(step.removeprefix("library ") for step in way)] for key, way in ways.items()]
        if before is None:
            chains = [["new function", closure.function.file]]
        elif not chains:
            chains = [[text] for key, text in labels.items() if key not in image.record.inputs]
        yield _function(image, closure, chains)


def _all_functions(image: Image, why: str) -> list[FunctionChange]:
    return [_function(image, closure, [[why]]) for closure in image.closures]


def _function(image: Image, closure: Closure, chains: list[list[str]]) -> FunctionChange:
    why = [[*chain, closure.id, image.name] for chain in chains]
    return FunctionChange(closure.function.name, closure.hash, why)


def label(key: str, old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """What changed, in a few words: `httpx 0.28.0 -> 0.28.1`, `shared/db.py`, `setting uses`."""
    before, after = old.get(key), new.get(key)
    if before is None or after is None:
        return f"{key} ({'new' if before is None else 'gone'})"
    if key.startswith("library ") or key == "python":
        return f"{key.removeprefix('library ')} {before} -> {after}"
    return key


def text(plan: Plan) -> str:
    """The plan for a person."""
    lines = texts(plan.base)
    for service in [*([plan.tools] if plan.tools else []), *plan.services]:
        tag = service.tag if service.change != "removed" else service.running_tag
        lines.append(f"{service.service:20} {service.change:10} {tag}")
        if service.change == "new":
            lines.append(f"    {len(service.functions)} functions; none of them runs" if service.functions else "")
            continue
        if service.text_only:
            lines.append(f"    text only: {', '.join(service.text_only)}")
        for chain in service.why:
            lines.append(f"    {' > '.join(chain)}")
        lines += [f"    {line}" for line in texts(o for o in service.objects if _worth_showing(o))]
        for function in service.functions:
            lines.append(f"    {function.function}")
            lines += [f"        {' > '.join(chain)}" for chain in function.why]
    return "\n".join(line for line in lines if line)


def _worth_showing(change: ObjectChange) -> bool:
    return change.change == "refused" or any(not _of_image(line) for line in change.diff)
