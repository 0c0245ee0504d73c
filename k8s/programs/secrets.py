"""Makes the cluster's secrets: strong, random, and seen by nobody. Nothing secret is ever in git.

`eco2 secrets init` makes only what is missing, so that it may run again; `--to DIR` writes the manifests to a folder (0600)
instead of the cluster, for a vault or a look.
"""

import argparse
import base64
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from k8s.programs import manifests
from k8s.programs.cluster import Cluster, ClusterError
from k8s.programs.manifests import labels
from k8s.programs.templates import Document, dump
from runtime.migrate import DATABASE, OWNER
from runtime.services import Service, load_services

POSTGRES = "k8s-postgresql:5432"
REDIS = {"broker": "broker:6379", "cache": "cache:6379"}

Values = dict[tuple[str, str], dict[str, str]]  # (namespace, name) of a Secret to its keys and values


def password() -> str:
    """256 random bits, in letters that need no quoting anywhere."""
    return secrets.token_urlsafe(32)


def dsn(role: str, secret: str, schema: str | None = None) -> str:
    """A role's connection string, in the form of SEED.md."""
    options = f"?options=-c%20search_path%3D{schema}" if schema else ""
    return f"postgresql://{role}:{quote(secret, safe='')}@{POSTGRES}/{DATABASE}{options}"


def roles(services: Mapping[str, Service]) -> list[str]:
    """Every role that logs in, but for the superuser."""
    return [OWNER, *sorted({service.database.role for service in services.values()})]


def from_passwords(passwords: Mapping[str, str], services: Mapping[str, Service]) -> Values:
    """All Secrets that follow from the passwords: of each role, of `postgres`, and of the two Redis."""
    redis = {part: f"redis://:{passwords[part]}@{address}/0" for part, address in REDIS.items()}
    found: Values = {
        ("database", "postgres-superuser"): {"password": passwords["postgres"]},
        ("database", "role-passwords"): {
            **{role: passwords[role] for role in roles(services)},
            "POSTGRES_SUPERUSER_URL": f"postgresql://postgres:{passwords['postgres']}@{POSTGRES}/postgres",
        },
        ("database", "tools"): {"MIGRATION_DB_URL": dsn(OWNER, passwords[OWNER])},
        ("eco2", "migrations"): {"MIGRATION_DB_URL": dsn(OWNER, passwords[OWNER])},
        **{
            ("eco2", f"{part}-redis"): {"auth.conf": f"requirepass {passwords[part]}\n", "password": passwords[part]}
            for part in REDIS
        },
        ("monitoring", "grafana"): {"password": passwords["grafana"]},
    }
    for service in services.values():
        own = {
            service.database.env: dsn(service.database.role, passwords[service.database.role], service.database.schema)
        }
        own |= {f"{part.upper()}_REDIS_URL": url for part, url in redis.items() if part in service.uses}
        found["eco2", service.name] = own
    return found


def signing_keys() -> tuple[str, str]:
    """The private and the public set of a first signing key, as auth's own program makes them."""
    with tempfile.TemporaryDirectory(prefix="eco2-keys-") as folder:
        run_keys("init", Path(folder))
        return read_keys(Path(folder))


def run_keys(what: str, folder: Path) -> None:
    """Run `functions.auth.keys`, which is auth's own affair: k8s imports no function.

    Raises:
        ClusterError: it failed.
    """
    words = [sys.executable, "-m", "functions.auth.keys", what, str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(done.stderr.strip())


def read_keys(folder: Path) -> tuple[str, str]:
    """The private and the public set in a folder."""
    return (folder / "signing.json").read_text(), (folder / "jwks.json").read_text()


def secret(space: str, name: str, values: Mapping[str, str]) -> Document:
    """A Secret's manifest."""
    metadata = {"namespace": space, "labels": labels("secrets")}
    return manifests.document("Secret", name, "v1", metadata=metadata, type="Opaque", stringData=dict(values))


def jwks(public: str) -> Document:
    """The public keys, which are no secret."""
    return manifests.document(
        "ConfigMap", "jwks", "v1", metadata={"labels": labels("jwks")}, data={"jwks.json": public}
    )


def existing(space: str, name: str, cluster: Cluster) -> dict[str, str] | None:
    """A Secret's values in the cluster, or None where there is none.

    Raises:
        ClusterError: the cluster does not answer.
    """
    found = cluster.get("secret", name, space)
    if found is None:
        return None
    data = found.get("data") or {}
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def current_passwords(services: Mapping[str, Service], cluster: Cluster) -> dict[str, str]:
    """The passwords that the cluster's Secrets hold; what is missing there is missing here.

    Raises:
        ClusterError: the cluster does not answer.
    """
    found: dict[str, str] = {}
    held = existing("database", "role-passwords", cluster) or {}
    found |= {role: held[role] for role in roles(services) if role in held}
    places = {"postgres": ("database", "postgres-superuser"), "grafana": ("monitoring", "grafana")}
    places |= {part: ("eco2", f"{part}-redis") for part in REDIS}
    for name, place in places.items():
        if value := (existing(*place, cluster) or {}).get("password"):
            found[name] = value
    return found


def documents(
    passwords: Mapping[str, str], keys: tuple[str, str] | None, services: Mapping[str, Service]
) -> list[Document]:
    """Manifests of all Secrets, and of the public keys."""
    found = [secret(space, name, values) for (space, name), values in from_passwords(passwords, services).items()]
    if keys is not None:
        found += [secret("eco2", "auth-signing-key", {"value": keys[0]}), jwks(keys[1])]
    return found


def init(cluster: Cluster, folder: Path | None) -> list[str]:
    """Make what is missing; return the names of what was made.

    Raises:
        ClusterError: the cluster does not answer.
    """
    services = load_services()
    passwords = {} if folder else current_passwords(services, cluster)
    names = ["postgres", "grafana", *REDIS, *roles(services)]
    fresh = [name for name in names if name not in passwords]
    passwords |= {name: password() for name in fresh}
    keys = None if not folder and existing("eco2", "auth-signing-key", cluster) else signing_keys()
    made = documents(passwords, keys, services)
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / "secrets.yaml", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(dump(made, header=""))
    else:
        cluster.apply(made)
    return [*fresh, *(["signing key"] if keys else [])]


EXAMPLES = """\
eco2 secrets init --context prod  # into the cluster
eco2 secrets init --to secrets/  # into files, readable by you alone
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Make strong secrets for the cluster: what is there already stays."
    parser.add_argument("what", choices=["init"], help="what is missing is made")
    parser.add_argument("--context", help="kubectl's context (default: the current one)")
    parser.add_argument(
        "--to", type=Path, metavar="DIR", help="write the manifests there instead, readable by you alone"
    )


def main(args: argparse.Namespace) -> int:
    try:
        made = init(Cluster(args.context), args.to)
    except FileExistsError as error:
        print(
            f"eco2 secrets: {error.filename} is there already; a new set would not open what the old one closed",
            file=sys.stderr,
        )
        return 1
    except ClusterError as error:
        print(f"eco2 secrets: {error}", file=sys.stderr)
        return 1
    print(f"made: {', '.join(made)}" if made else "all secrets are there")
    return 0
