"""What differs between one cluster and another: `k8s/environments.toml`, read into Structs."""

import tomllib
from pathlib import Path

import msgspec
from msgspec import Struct

from runtime.services import ROOT, suggestion


class UnknownEnvironment(Exception):
    """environments.toml has no such environment, or is malformed: the message says what it should be."""


class Environment(Struct, frozen=True, forbid_unknown_fields=True):
    """One cluster. `small` runs one replica of everything."""

    registry: str
    domain: str
    certificate_arn: str
    region: str
    bucket: str
    backup_bucket: str
    cdn_base_url: str
    load_balancer_cidrs: list[str]
    openai_base_url: str = ""
    s3_endpoint_url: str = ""  # empty: AWS
    backup_days: int = 30
    context: str = ""  # kubectl's; empty: the current one
    small: bool = False
    settings: dict[str, str] = {}  # variables of services, by name, over the defaults
    components: list[str] = []  # folders of k8s/components that this cluster has

    def image(self, service: str, tag: str) -> str:
        """The full name of a service's image."""
        return f"{self.registry}/{service}:{tag}"


def environments(root: Path = ROOT) -> dict[str, Environment]:
    """All environments by name.

    Raises:
        UnknownEnvironment: the file is malformed.
    """
    file = root / "k8s/environments.toml"
    try:
        found = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), dict[str, Environment])
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise UnknownEnvironment(f"k8s/environments.toml: {error}") from None
    known = sorted(path.parent.name for path in (root / "k8s/components").glob("*/kustomization.yaml"))
    for name, one in found.items():
        if unknown := [part for part in one.components if part not in known]:
            text = f"k8s/environments.toml: {name}: there is no component {unknown[0]}"
            raise UnknownEnvironment(f"{text}{suggestion(unknown[0], known)}")
    return found


def environment(name: str, root: Path = ROOT) -> Environment:
    """The environment `name`.

    Raises:
        UnknownEnvironment: there is none.
    """
    found = environments(root)
    if name not in found:
        raise UnknownEnvironment(f"k8s/environments.toml has no environment {name}{suggestion(name, found)}")
    return found[name]
