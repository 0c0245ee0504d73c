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
        return msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), dict[str, Environment])
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise UnknownEnvironment(f"k8s/environments.toml: {error}") from None


def environment(name: str, root: Path = ROOT) -> Environment:
    """The environment `name`.

    Raises:
        UnknownEnvironment: there is none.
    """
    found = environments(root)
    if name not in found:
        raise UnknownEnvironment(f"k8s/environments.toml has no environment {name}{suggestion(name, found)}")
    return found[name]
