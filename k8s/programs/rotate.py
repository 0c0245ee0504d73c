"""Changes the signing key, or the password of a role, while everything runs.

`rotate keys`: the new key is published first and signs ten minutes later, when every service has read it
(functions/auth/keys.py).

`rotate passwords`: a PostgreSQL role has one password, and sessions that are open keep theirs. So: the new password into the
Secrets, then into PostgreSQL, then the service's pods one after the other. Until its restart a pod keeps the connections it
has; a new one that it opens meanwhile fails and is answered 503 with Retry-After. Roles go one by one, and a service has two
replicas or more, so that another pod answers.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import psycopg
from psycopg import sql

from k8s.programs import manifests, secrets
from k8s.programs.cluster import Cluster, ClusterError
from runtime.services import Service, load_services, suggestion


def rotate_keys(cluster: Cluster) -> None:
    """Add a signing key that takes over in ten minutes.

    Raises:
        ClusterError: the cluster does not answer, or has no keys yet.
    """
    held = secrets.existing("eco2", "auth-signing-key", cluster)
    if not held:
        raise ClusterError("the cluster has no signing key: eco2 secrets init")
    with tempfile.TemporaryDirectory(prefix="eco2-keys-") as name:
        folder = Path(name)
        (folder / "signing.json").write_text(held["value"], encoding="utf-8")
        secrets.run_keys("rotate", folder)
        private, public = secrets.read_keys(folder)
    # The public set first: nothing is ever signed with a key that nobody can look up.
    for found in (secrets.jwks(public), secrets.secret("eco2", "auth-signing-key", {"value": private})):
        cluster.apply([found])


def change_password(superuser: psycopg.Connection, role: str, new: str) -> None:
    """Set a role's password in PostgreSQL."""
    # The verifier is made here, so that the password itself is in no statement and no log.
    verifier = superuser.pgconn.encrypt_password(new.encode(), role.encode(), b"scram-sha-256").decode()
    superuser.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier)))


def rotate_password(role: str, superuser_dsn: str, cluster: Cluster) -> None:
    """Give a role a new password, and restart what uses it.

    Raises:
        ClusterError: the cluster does not answer, or has no secrets yet.
        psycopg.OperationalError: PostgreSQL does not answer.
    """
    services = load_services()
    if role not in (known := secrets.roles(services)):
        raise ClusterError(f"there is no role {role}{suggestion(role, known)}")
    passwords = secrets.current_passwords(services, cluster)
    if missing := [name for name in known if name not in passwords]:
        raise ClusterError(f"the cluster lacks the passwords of {', '.join(missing)}: eco2 secrets init")
    new = secrets.password()
    made = secrets.documents(passwords | {role: new}, None, services)
    # A server that does not answer is found out before the Secrets hold what it has never heard of.
    with psycopg.connect(superuser_dsn, autocommit=True, connect_timeout=5) as conn:
        cluster.apply(made)
        change_password(conn, role, new)
    for service in services.values():
        if service.database.role == role:
            for target in workloads(service):
                cluster.run("rollout", "restart", target, "--namespace", manifests.NAMESPACE)
                cluster.run("rollout", "status", target, "--timeout=300s", "--namespace", manifests.NAMESPACE)


def workloads(service: Service) -> list[str]:
    """What runs with a service's role, as kubectl names it."""
    alone = [manifests.function_name(function, service) for function in manifests.standalone(service)]
    kind = "statefulset" if service.is_worker else "deployment"
    return [f"{kind}/{name}" for name in (service.name, *alone)]


EXAMPLES = """\
eco2 rotate keys  # a new signing key; old tokens live out
eco2 rotate passwords --role api_waste_role  # one role's password
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Change the signing key or the roles' passwords, without downtime."
    parser.add_argument("what", choices=["keys", "passwords"], help="which of them")
    parser.add_argument("--role", action="append", metavar="ROLE", help="this role's password alone (may be repeated)")
    parser.add_argument("--context", help="kubectl's context (default: the current one)")


def main(args: argparse.Namespace) -> int:
    try:
        if args.what == "keys":
            rotate_keys(Cluster(args.context))
            print("the new key is public, and signs in ten minutes")
            return 0
        superuser_dsn = os.environ.get("POSTGRES_SUPERUSER_URL", "")
        if not superuser_dsn:
            print(
                "eco2 rotate: POSTGRES_SUPERUSER_URL is not set: see k8s/RUNBOOK.md for the port-forward",
                file=sys.stderr,
            )
            return 2
        for role in args.role or secrets.roles(load_services()):
            rotate_password(role, superuser_dsn, Cluster(args.context))
            print(f"{role} has a new password")
    except (ClusterError, psycopg.OperationalError) as error:
        print(f"eco2 rotate: {error}", file=sys.stderr)
        return 1
    return 0
