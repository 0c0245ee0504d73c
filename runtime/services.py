"""What a service is: its `service.toml`, read into Structs. Loader, migrations, emulator, manifests and plan read these."""

import difflib
import re
import tomllib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

ROOT = Path(__file__).resolve().parent.parent
# The database of all services, and who owns what their migrations make.
DATABASE = "ecoeco"
OWNER = "migrator"

Use = Literal["postgres", "broker", "cache", "objects"]
Duration = Annotated[str, Meta(pattern=r"^[1-9]\d*[smh]$")]
Identifier = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*$")]


class ServiceError(Exception):
    """A service.toml is missing, malformed or contradicts another: the message names the file and the field."""


class DatabaseSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """The schema, the login role, the variable with its address, and connections per process.

    With `plan_once` a connection plans each statement for any values at once; else PostgreSQL plans a statement's first five uses
    by their values.
    """

    schema: Identifier
    role: Identifier
    env: Annotated[str, Meta(pattern=r"^[A-Z][A-Z0-9_]*$")]
    pool: Annotated[int, Meta(ge=1, le=50)]
    plan_once: bool = False


class RunSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """How the container runs; `cpu` and `memory` are Kubernetes quantities, `grace` the time to finish at a stop."""

    replicas: Annotated[int, Meta(ge=1)]
    cpu: Annotated[str, Meta(pattern=r"^\d+(\.\d+)?m?$")]
    memory: Annotated[str, Meta(pattern=r"^\d+(Mi|Gi)$")]
    node: str
    grace: Duration
    threads: Annotated[int, Meta(ge=1, le=64)] = 1


class JournalSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """A worker's local journal: the size of its volume, and how often the syncer drains it."""

    volume: Annotated[str, Meta(pattern=r"^\d+Gi$")]
    sync: Duration


class SecretsSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """Names of variables that hold secrets; never their values."""

    required: list[str] = []
    optional: list[str] = []


class FunctionSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """A function that is run apart from the rest of its service."""

    deployment: bool = False
    replicas: Annotated[int, Meta(ge=1)] | None = None


class Service(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One service: a folder of functions with one schema, one role and one container."""

    name: Annotated[str, Meta(pattern=r"^(api|worker)-[a-z-]+$")]
    database: DatabaseSpec
    run: RunSpec
    uses: list[Use]
    prefix: Annotated[str, Meta(pattern=r"^/api/v1/[a-z-]+$")] = ""
    dependencies: str = ""
    calls: list[str] = []
    egress: list[str] = []
    settings: list[str] = []  # variables of its own that an environment sets, none of them secret
    secrets: SecretsSpec = SecretsSpec()
    journal: JournalSpec | None = None
    functions: dict[str, FunctionSpec] = {}
    folder: str = ""

    @property
    def is_worker(self) -> bool:
        """Whether it has a journal and queue functions only."""
        return self.journal is not None

    @property
    def short(self) -> str:
        """The name without its kind: `waste` of `api-waste`."""
        return self.name.partition("-")[2]

    @property
    def path(self) -> Path:
        """Its folder in the checkout or the image."""
        return ROOT / "functions" / self.folder


def seconds(duration: str) -> float:
    """`30s`, `5m` or `1h` in seconds."""
    return float(duration[:-1]) * {"s": 1, "m": 60, "h": 3600}[duration[-1]]


def load_service(path: Path) -> Service:
    """Read one service.toml.

    Raises:
        ServiceError: it is not TOML, or a field is missing, unknown or of the wrong form.
    """
    status = path.stat()
    return _read(path, status.st_mtime_ns, status.st_size)


# By the state of the file: the emulator's services inherit what its template has read already.
@lru_cache(maxsize=64)
def _read(path: Path, changed: int, size: int) -> Service:
    file = f"functions/{path.parent.name}/{path.name}"
    try:
        service = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Service)
    except OSError as error:
        raise ServiceError(f"{file} can't be read: {error.strerror}") from None
    except ValueError as error:  # of TOML, UTF-8 and msgspec
        raise ServiceError(f"{file}: {error}") from None
    if service.name.startswith("worker-") != service.is_worker:
        raise ServiceError(f"{file}: a worker has a `journal`, an API service has none")
    if service.is_worker == bool(service.prefix):
        raise ServiceError(f"{file}: an API service has a `prefix`, a worker has none")
    return msgspec.structs.replace(service, folder=path.parent.name)


def load_services(root: Path = ROOT) -> dict[str, Service]:
    """All services of a checkout by folder name, API services first.

    Raises:
        ServiceError: as `load_service`; also for a name, prefix, schema or role used twice, and a call to a service that is
            none.
    """
    services, wrong = load_readable(root)
    for error in wrong.values():
        raise error
    return services


def load_readable(root: Path = ROOT) -> tuple[dict[str, Service], dict[str, ServiceError]]:
    """The services as `load_services` has them, without those whose service.toml is wrong; and what is wrong, by folder."""
    found: list[Service] = []
    wrong: dict[str, ServiceError] = {}
    taken: dict[tuple[str, str], Service] = {}
    for path in sorted((root / "functions").glob("*/service.toml")):
        try:
            service = load_service(path)
            _claim(service, taken)
        except OSError:  # gone meanwhile
            continue
        except ServiceError as error:
            wrong[path.parent.name] = error
        else:
            found.append(service)
    names = {service.name for service in found}
    for service in found if len(found) > 1 else []:  # an image holds one service, and not those that it calls
        for call in service.calls:
            # One that is there and wrong itself is named once.
            if call not in names and call.partition("-")[2].replace("-", "_") not in wrong:
                wrong[service.folder] = ServiceError(
                    f"functions/{service.folder}/service.toml: calls {call}, which is no service"
                )
    found.sort(key=lambda service: (service.is_worker, service.folder))
    return {service.folder: service for service in found if service.folder not in wrong}, wrong


def readable() -> dict[str, Service]:
    """The checkout's services by folder name, without those whose service.toml is wrong."""
    return load_readable()[0]


def _claim(service: Service, taken: dict[tuple[str, str], Service]) -> None:
    """Take what no other service may have, all of it or nothing."""
    own = {("name", service.name), ("prefix", service.prefix)}
    own |= {(f"database.{part}", getattr(service.database, part)) for part in ("schema", "role", "env")}
    for field, value in sorted(own):
        other = taken.get((field, value))
        # The workers share what is theirs in PostgreSQL, and have no prefix.
        if other is not None and not (field != "name" and other.is_worker and service.is_worker):
            raise ServiceError(f"functions/{service.folder}/service.toml: {other.folder} has {field} {value} too")
    taken.update(dict.fromkeys(own, service))


def find(name: str, services: dict[str, Service] | None = None) -> Service:
    """The service of that folder, name or short name (`recycle_info`, `api-recycle-info`, `recycle-info`).

    Raises:
        ServiceError: there is none (the message suggests the nearest), or its service.toml is wrong. Another's is not looked at.
    """
    wrong: dict[str, ServiceError] = {}
    if services is None:
        services, wrong = load_readable()
    for service in services.values():
        if name in (service.folder, service.name, service.short):
            return service
    folder = re.sub(r"^(api|worker)-", "", name).replace("-", "_")
    if folder in wrong:
        raise wrong[folder]
    raise ServiceError(f"there is no service {name}{suggestion(name, services)}")


def suggestion(name: str, known: Iterable[str]) -> str:
    """`: did you mean X?`, or the list of what there is; nothing where there is nothing."""
    known = sorted(known)
    if not known:
        return ""
    # Whoever types a wrong letter seldom types the first one wrong: `stop` is not `top`, `test` is not `reset`.
    near = difflib.get_close_matches(name, [each for each in known if each[:1] == name[:1]], 1, cutoff=0.7)
    return f": did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
