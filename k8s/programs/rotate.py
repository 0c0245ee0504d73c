"""Changes keys and passwords while everything runs. Each may be cut off anywhere: all that runs still gets in, and the next run
goes on where it was (how far it had come is in the Secret `rotation`).

`keys`        the new key is public first and signs ten minutes later, when every service has read it (functions/auth/keys.py)
`passwords`   of PostgreSQL's roles: a second login, the pods to it, the role's new password, the pods back, the second login away
`redis`       of the broker and the cache: the server takes both, the pods get the new one, then the old one is taken away
`superuser`   of PostgreSQL: no pod has it
`grafana`     of its administrator: the one pod restarts
"""

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import psycopg
from redis import Redis, RedisError

from k8s.programs import secrets
from k8s.programs.cluster import Cluster, ClusterError, chosen, options
from k8s.programs.database_roles import change_password, drop_next, make_next, next_role
from k8s.programs.environments import UnknownEnvironment
from k8s.programs.lock import Locked, alone
from k8s.programs.manifests import DATABASE_NAMESPACE, MONITORING_NAMESPACE, NAMESPACE, function_name, standalone
from k8s.programs.rollout import Patience, RolloutError, await_rollout
from k8s.programs.running import ask_secrets
from k8s.programs.templates import Document
from k8s.programs.wanted import READS, put_reads
from runtime import redis_users
from runtime.services import Service, load_services, suggestion

T = TypeVar("T")
ROTATION = (DATABASE_NAMESPACE, "rotation")


class Rotation:
    """One run of `eco2 rotate`."""

    def __init__(self, cluster: Cluster, patience: Patience) -> None:
        self.cluster = cluster
        self.patience = patience
        self.services = load_services()
        self.held = ask_secrets(cluster)
        if ("database", "role-passwords") not in self.held:
            raise ClusterError("the cluster has no secrets yet: eco2 secrets init")

    # How far it has come

    def _phase(self, name: str) -> str:
        return self.held.get(ROTATION, {}).get(name, "")

    def _note(self, **entries: str | None) -> None:
        """Write down how far each has come; None: to its end."""
        found = {**self.held.get(ROTATION, {}), **entries}
        self._write(ROTATION, {name: value for name, value in found.items() if value is not None}, whole=True)

    def _write(self, where: tuple[str, str], values: Mapping[str, str], *, whole: bool = False) -> None:
        """Write a Secret: some keys of it, the others stay; or the whole."""
        self.held[where] = dict(values) if whole else {**self.held.get(where, {}), **values}
        self.cluster.apply([secrets.secret(*where, self.held[where])])

    # Each

    def keys(self) -> None:
        """Add a signing key that takes over in ten minutes."""
        held = self.held.get(("eco2", "auth-signing-key"))
        if not held:
            raise ClusterError("the cluster has no signing key: eco2 secrets init")
        with tempfile.TemporaryDirectory(prefix="eco2-keys-") as name:
            folder = Path(name)
            (folder / "signing.json").write_text(held["value"], encoding="utf-8")
            secrets.run_keys("rotate", folder)
            private, public = secrets.read_keys(folder)
        # The public set first: nothing is ever signed with a key that no one can look up.
        self.cluster.apply([secrets.jwks(public)])
        self._write(("eco2", "auth-signing-key"), {"value": private})

    def role(self, role: str) -> None:
        """Give a role of PostgreSQL a new password; pods with the old and with the new get in all the while."""
        if not self._phase(role):
            self._note(**{role: f"begun {secrets.password()}"})
        with self._superuser() as conn:
            phase, _, word = self._phase(role).partition(" ")
            if phase == "begun":
                make_next(conn, role, word)
                self._point(role, next_role(role), word)
                self._restart(self._workloads(role))
                phase, word = "moved", secrets.password()
                self._note(**{role: f"moved {word}"})
            if phase == "moved":
                # Written before it is set: a job that prepares the database meanwhile sets the same.
                self._write(("database", "role-passwords"), {role: word})
                change_password(conn, role, word)
                self._point(role, role, word)
                self._note(**{role: "changed"})
            self._restart(self._workloads(role))
            drop_next(conn, role)
        self._note(**{role: None})

    def _point(self, role: str, login: str, password: str) -> None:
        for where, key, schema in secrets.readers(role, self.services):
            self._write(where, {key: secrets.dsn(login, password, schema)})

    def _workloads(self, role: str) -> list[str]:
        return [w for s in self.services.values() if s.database.role == role for w in workloads(s)]

    def redis(self, part: redis_users.Server) -> None:
        """Give the broker or the cache a new password, and with it its users; the old ones are good until the last pod has its
        new one. A user or a right that the server does not know yet is made, too."""
        place = secrets.SOURCES[part]
        old, new = self.held[place]["password"], self._phase(part)
        if not new:
            new = secrets.password()
            self._note(**{part: new})
        using = [service for service in self.services.values() if part in service.uses]
        if old != new:
            # First what a restarted server reads, then the server itself, then its clients.
            both = secrets.redis_values(part, self.services, new, old)
            self._write(place, {"auth.conf": both["auth.conf"]})
            with self._redis(part, old, new) as server:
                server.acl_setuser("default", enabled=True, passwords=[f"+{new}"])
                _set_users(server, both["auth.conf"])
            for service in using:
                url = secrets.redis_url(part, service, new)
                self._write((NAMESPACE, service.name), {f"{part.upper()}_REDIS_URL": url})
            for service in using:
                self._restart(workloads(service))
        values = secrets.redis_values(part, self.services, new)
        # Here too: one that restarts in between must not take the old one again.
        self._write(place, values)
        with self._redis(part, new, old) as server:
            server.acl_setuser("default", enabled=True, reset_passwords=True, passwords=[f"+{new}"])
            _set_users(server, values["auth.conf"])
        self._note(**{part: None})

    def superuser(self) -> None:
        """Give PostgreSQL's superuser a new password."""
        new = self._phase("postgres") or secrets.password()
        self._note(postgres=new)
        url = f"postgresql://postgres:{new}@{secrets.POSTGRES}/postgres"
        # A job that prepares the database meanwhile, or before an interrupted run is finished, tries both.
        place = ("database", "role-passwords")
        self._write(place, {"POSTGRES_SUPERUSER_URL_NEXT": url})
        with self._superuser() as conn:
            change_password(conn, "postgres", new)
        held = {key: value for key, value in self.held[place].items() if key != "POSTGRES_SUPERUSER_URL_NEXT"}
        self._write(place, {**held, "POSTGRES_SUPERUSER_URL": url}, whole=True)
        self._write(secrets.SOURCES["postgres"], {"password": new})
        self._note(postgres=None)

    def grafana(self) -> None:
        """Give Grafana's administrator a new password: it keeps nothing, and reads the password when it starts."""
        self._write(secrets.SOURCES["grafana"], {"password": secrets.password()})
        self._restart(["deployment/grafana"], MONITORING_NAMESPACE)

    # Pods

    def _restart(self, targets: list[str], space: str = NAMESPACE) -> None:
        """Roll workloads out whose pods read other Secrets than they did when they started; wait for each.

        By the same annotation as a deploy: the next deploy finds nothing to do, or goes on with what was interrupted.
        """
        for target in targets:
            kind, _, name = target.partition("/")
            found = self.cluster.get(kind, name, space)
            if found is None:
                continue
            template = found["spec"]["template"]
            before = _reads_of(template)
            maps = self.cluster.select("configmaps", space)
            put_reads([*maps, found], self.held)
            if _reads_of(template) != before:
                marks = {READS: _reads_of(template)}
                # Only the annotation is ours here: the rest of the object stays whoever's it is.
                patch = {"spec": {"template": {"metadata": {"annotations": marks}}}}
                self.cluster.patch(kind, name, space, patch)
            await_rollout(self.cluster, kind, name, space, self.patience)

    # Servers

    @contextlib.contextmanager
    def _superuser(self) -> Iterator[psycopg.Connection]:
        """A session of PostgreSQL's superuser: at POSTGRES_SUPERUSER_URL, else through a port-forward to its pod.

        Raises:
            ClusterError: it can't be reached.
            psycopg.OperationalError: it takes none of the passwords that it may have by now.
        """
        own = os.environ.get("POSTGRES_SUPERUSER_URL")
        # Of an interrupted `rotate superuser` the one or the other is right.
        passwords = [self.held[secrets.SOURCES["postgres"]]["password"], self._phase("postgres")]
        passwords = ["", *passwords] if own else passwords  # that address may hold one
        with contextlib.ExitStack() as stack:
            if own is None:
                port = stack.enter_context(self.cluster.forward("k8s-postgresql-0", DATABASE_NAMESPACE, 5432))
                own = f"postgresql://postgres@127.0.0.1:{port}/postgres"
            address = own

            def enter(password: str) -> psycopg.Connection:
                dsn = psycopg.conninfo.make_conninfo(address, connect_timeout=10)
                dsn = psycopg.conninfo.make_conninfo(dsn, password=password) if password else dsn
                return psycopg.connect(dsn, autocommit=True)

            yield stack.enter_context(_first(enter, passwords, psycopg.OperationalError))

    @contextlib.contextmanager
    def _redis(self, part: str, *passwords: str) -> Iterator[Redis]:
        """A session with a Redis: at BROKER_REDIS_URL or CACHE_REDIS_URL, else through a port-forward to its pod."""
        own = os.environ.get(f"{part.upper()}_REDIS_URL")
        with contextlib.ExitStack() as stack:
            if own is None:
                port = stack.enter_context(self.cluster.forward(f"{part}-0", NAMESPACE, 6379))
                own = f"redis://127.0.0.1:{port}/0"

            address = own

            def enter(password: str) -> Redis:
                session = Redis.from_url(address, password=password, socket_timeout=10)
                session.ping()
                return session

            session = _first(enter, passwords, RedisError)
            stack.callback(session.close)
            yield session


def _first(enter: Callable[[str], T], passwords: Iterable[str], failure: type[Exception]) -> T:
    """Enter with the first password that is taken.

    Raises:
        failure: none is; the last one's.
    """
    first, *others = [password for place, password in enumerate(passwords) if password or not place]
    try:
        return enter(first)
    except failure:
        if not others:
            raise
    return _first(enter, others, failure)


def _set_users(server: Redis, conf: str) -> None:
    """Give a running server the users of its configuration; who is connected as one of them stays."""
    for line in conf.splitlines():
        word, name, *rules = redis_users.words(line)
        if word == "user" and name != "default":
            server.execute_command("ACL", "SETUSER", name, "resetpass", *rules)  # type: ignore[no-untyped-call] # no types here


def _reads_of(template: Document) -> str:
    found: str = (template["metadata"].get("annotations") or {}).get(READS, "")
    return found


def workloads(service: Service) -> list[str]:
    """What runs with a service's role, as kubectl names it."""
    alone_too = [function_name(function, service) for function in standalone(service)]
    kind = "statefulset" if service.is_worker else "deployment"
    return [f"{kind}/{name}" for name in (service.name, *alone_too)]


EXAMPLES = """\
eco2 rotate keys  # a new signing key; old tokens live out
eco2 rotate passwords --role api_waste_role  # one role's password
eco2 rotate redis  # of the broker and the cache
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Change the signing key or passwords, without downtime. An interrupted one is finished by the next run."
    )
    choices = ["keys", "passwords", "redis", "superuser", "grafana"]
    parser.add_argument("what", choices=choices, help="which of them")
    parser.add_argument("--role", action="append", metavar="ROLE", help="this role's password alone (may be repeated)")
    options(parser)
    parser.add_argument(
        "--timeout", type=float, default=300.0, metavar="SECONDS", help="for one restart (default: 300)"
    )


def main(args: argparse.Namespace) -> int:
    try:
        known = secrets.roles(load_services())
        if unknown := [role for role in args.role or [] if role not in known]:
            raise ClusterError(f"there is no role {unknown[0]}{suggestion(unknown[0], known)}")
        cluster = chosen(args)
        with alone(cluster, f"rotate {args.what}"):
            _rotate(args, Rotation(cluster, Patience(args.timeout)), known)
    except (
        ClusterError,
        Locked,
        RolloutError,
        UnknownEnvironment,
        psycopg.OperationalError,
        RedisError,
    ) as error:
        print(f"eco2 rotate: {str(error).strip()}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            f"eco2 rotate: interrupted: all that runs still gets in; `eco2 rotate {args.what}` finishes it",
            file=sys.stderr,
        )
        return 130
    return 0


def _rotate(args: argparse.Namespace, rotation: Rotation, known: list[str]) -> None:
    if args.what == "keys":
        rotation.keys()
        print("the new key is public, and signs in ten minutes")
    elif args.what == "passwords":
        for role in args.role or known:
            rotation.role(role)
            print(f"{role} has a new password")
    elif args.what == "redis":
        for part in secrets.REDIS:
            rotation.redis(part)
            print(f"the {part} has a new password")
    elif args.what == "superuser":
        rotation.superuser()
        print("PostgreSQL's superuser has a new password")
    else:
        rotation.grafana()
        print("Grafana's administrator has a new password")
