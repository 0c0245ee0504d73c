"""Makes the cluster's secrets: strong, random, and seen by no one. Nothing secret is ever in git.

`eco2 secrets init` makes only what is missing, so that it may run again; what is there is never written. Of the Secrets, four
are the source of all passwords and are made first; the others follow from them. So a run that was cut off anywhere is finished
by the next with the same passwords. `--to DIR` writes the manifests to a folder (0600) instead, for a vault or a look.
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
from k8s.programs.cluster import Cluster, ClusterError, chosen, options
from k8s.programs.environments import UnknownEnvironment
from k8s.programs.lock import Locked, alone, make_namespaces
from k8s.programs.manifests import labels
from k8s.programs.running import ask_secrets
from k8s.programs.templates import Document, dump
from runtime import redis_users
from runtime.services import DATABASE, OWNER, Service, load_services

POSTGRES = "k8s-postgresql:5432"
REDIS: dict[redis_users.Server, str] = {"broker": "broker:6379", "cache": "cache:6379"}

Values = dict[tuple[str, str], dict[str, str]]  # (namespace, name) of a Secret to its keys and values

# Where each password that has a Secret of its own is.
SOURCES = {
    "postgres": ("database", "postgres-superuser"),
    "grafana": ("monitoring", "grafana"),
    "broker": ("eco2", "broker-redis"),
    "cache": ("eco2", "cache-redis"),
}


def password() -> str:
    """256 random bits, in letters that need no quoting anywhere."""
    return secrets.token_urlsafe(32)


def dsn(role: str, secret: str, schema: str | None = None) -> str:
    """A role's connection string, in the form of SEED.md."""
    chosen_path = f"?options=-c%20search_path%3D{schema}" if schema else ""
    return f"postgresql://{role}:{quote(secret, safe='')}@{POSTGRES}/{DATABASE}{chosen_path}"


def roles(services: Mapping[str, Service]) -> list[str]:
    """Every role that logs in, but for the superuser."""
    return [OWNER, *sorted({service.database.role for service in services.values()})]


def redis_url(part: redis_users.Server, service: Service, secret: str) -> str:
    """The address by which a service reaches the broker or the cache."""
    return redis_users.url(service, secret, REDIS[part])


def redis_values(
    part: redis_users.Server, services: Mapping[str, Service], secret: str, old: str = ""
) -> dict[str, str]:
    """What a Redis server reads: the operator's password and each service's user. With `old` both passwords are good."""
    operator = f"user default on >{old} >{secret} ~* &* +@all\n" if old else f"requirepass {secret}\n"
    users = redis_users.lines(part, services, [word for word in (old, secret) if word])
    return {"auth.conf": operator + users, "password": secret}


def readers(role: str, services: Mapping[str, Service]) -> list[tuple[tuple[str, str], str, str | None]]:
    """The Secrets with a role's connection string: namespace and name, key, and the schema of its search path."""
    if role == OWNER:
        return [(("database", "tools"), "MIGRATION_DB_URL", None), (("eco2", "migrations"), "MIGRATION_DB_URL", None)]
    found = [service for service in services.values() if service.database.role == role]
    return [(("eco2", service.name), service.database.env, service.database.schema) for service in found]


def from_passwords(passwords: Mapping[str, str], services: Mapping[str, Service]) -> Values:
    """All Secrets that follow from the passwords, the sources first: of each role, of `postgres`, and of the two Redis."""
    superuser = f"postgresql://postgres:{passwords['postgres']}@{POSTGRES}/postgres"
    found: Values = {
        **{SOURCES[name]: {"password": passwords[name]} for name in ("postgres", "grafana")},
        **{SOURCES[part]: redis_values(part, services, passwords[part]) for part in REDIS},
        ("database", "role-passwords"): {
            **{role: passwords[role] for role in roles(services)},
            "POSTGRES_SUPERUSER_URL": superuser,
        },
    }
    for role in roles(services):
        for where, key, schema in readers(role, services):
            found.setdefault(where, {})[key] = dsn(role, passwords[role], schema)
    for service in services.values():
        urls = {f"{p.upper()}_REDIS_URL": redis_url(p, service, passwords[p]) for p in REDIS if p in service.uses}
        found["eco2", service.name] |= urls
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
    """A Secret's manifest. In `data`: a key that an apply leaves out of `stringData` would stay in the cluster for ever."""
    metadata = {"namespace": space, "labels": labels("secrets")}
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return manifests.document("Secret", name, "v1", metadata=metadata, type="Opaque", data=data)


def jwks(public: str) -> Document:
    """The public keys, which are not secret."""
    return manifests.document(
        "ConfigMap", "jwks", "v1", metadata={"labels": labels("jwks")}, data={"jwks.json": public}
    )


def current_passwords(held: Values, services: Mapping[str, Service]) -> dict[str, str]:
    """The passwords that the cluster's Secrets hold; what is missing there is missing here."""
    of_roles = held.get(("database", "role-passwords"), {})
    found = {role: of_roles[role] for role in roles(services) if role in of_roles}
    found |= {name: held[place]["password"] for name, place in SOURCES.items() if "password" in held.get(place, {})}
    return found


def documents(
    passwords: Mapping[str, str], keys: tuple[str, str] | None, services: Mapping[str, Service]
) -> list[Document]:
    """Manifests of all Secrets, and of the public keys."""
    found = [secret(space, name, values) for (space, name), values in from_passwords(passwords, services).items()]
    if keys is not None:
        # The public set first: nothing is ever signed with a key that no one can look up.
        found += [jwks(keys[1]), secret("eco2", "auth-signing-key", {"value": keys[0]})]
    return found


def init(cluster: Cluster) -> list[str]:
    """Make what is missing in the cluster; return its names.

    Raises:
        ClusterError: the cluster does not answer.
    """
    services = load_services()
    held = ask_secrets(cluster)
    passwords = current_passwords(held, services)
    for name in ["postgres", "grafana", *REDIS, *roles(services)]:
        passwords.setdefault(name, password())
    made = []
    for (space, name), values in from_passwords(passwords, services).items():
        lacking = {key: value for key, value in values.items() if key not in held.get((space, name), {})}
        if lacking:
            # Keys that people have added (OPENAI_API_KEY) and those that are there keep their values.
            cluster.apply([secret(space, name, {**held.get((space, name), {}), **lacking})])
            made.append(f"{space}/{name}")
    if ("eco2", "auth-signing-key") not in held:
        private, public = signing_keys()
        cluster.apply([jwks(public)])
        cluster.apply([secret("eco2", "auth-signing-key", {"value": private})])
        made.append("eco2/auth-signing-key")
    return made


def write(folder: Path) -> None:
    """Write a whole set to `secrets.yaml` in a folder, readable by its owner alone.

    Raises:
        FileExistsError: there is one already.
    """
    services = load_services()
    passwords = {name: password() for name in ["postgres", "grafana", *REDIS, *roles(services)]}
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / "secrets.yaml", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        out.write(dump(documents(passwords, signing_keys(), services), header=""))


EXAMPLES = """\
eco2 secrets init --env prod  # into the cluster
eco2 secrets init --to secrets/  # into a file, readable by you alone
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Make strong secrets for the cluster: what is there already stays."
    parser.add_argument("what", choices=["init"], help="what is missing is made")
    options(parser)
    parser.add_argument(
        "--to", type=Path, metavar="DIR", help="write all manifests there instead, readable by you alone"
    )


def main(args: argparse.Namespace) -> int:
    try:
        if args.to:
            write(args.to)
            print(f"made: {args.to / 'secrets.yaml'}")
            return 0
        cluster = chosen(args)
        make_namespaces(cluster)
        with alone(cluster, "secrets init"):
            made = init(cluster)
    except FileExistsError as error:
        print(
            f"eco2 secrets: {error.filename} is there already; a new set would not open what the old one closed",
            file=sys.stderr,
        )
        return 1
    except (ClusterError, Locked, UnknownEnvironment) as error:
        print(f"eco2 secrets: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("eco2 secrets: interrupted: what was made stays, run it again to make the rest", file=sys.stderr)
        return 130
    print(f"made: {', '.join(made)}" if made else "all secrets are there")
    return 0
