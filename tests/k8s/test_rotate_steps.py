"""Rotations step by step: whatever comes between two of them, who runs gets in, and the next run finishes it"""

import base64
import contextlib
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from redis import AuthenticationError, Redis

from k8s.programs import rotate, secrets
from k8s.programs.cluster import Cluster, ClusterError
from k8s.programs.rollout import Patience
from k8s.programs.rotate import ROTATION, Rotation, workloads
from k8s.programs.secrets import SOURCES, Values
from k8s.programs.templates import Document
from k8s.programs.wanted import READS, put_reads
from runtime import redis_users
from runtime.services import load_services

# Two are enough: what is done with each is the same.
SERVICES = {folder: service for folder, service in load_services().items() if folder in ("auth", "ai")}
NAMES = ["postgres", "grafana", "broker", "cache", *secrets.roles(SERVICES)]
ROLE, BESIDE = ("database", "role-passwords"), "POSTGRES_SUPERUSER_URL"
SETTINGS: Document = {
    "kind": "ConfigMap", "metadata": {"name": "eco2-settings", "namespace": "eco2"}, "data": {"LOG_LEVEL": "info"},
}  # fmt: skip
# Who reads what: an API that has all three, a worker, which is a StatefulSet, and Grafana.
READ = {
    ("deployment", "api-auth", "eco2"): ("API_AUTH_DB_URL", "BROKER_REDIS_URL"),
    ("statefulset", "worker-ai", "eco2"): ("BROKER_REDIS_URL", "CACHE_REDIS_URL"),
    ("deployment", "grafana", "monitoring"): ("password",),
}


class CutOff(Exception):
    """A kill -9."""


class World(Cluster):
    """Secrets, workloads, who may log in where, and what happens `meanwhile`, after the step of the number `at`."""

    def __init__(self, at: int = 0, meanwhile: Callable[["World"], None] = lambda world: None) -> None:
        super().__init__()
        self.held: Values = secrets.from_passwords({name: f"first-{name}" for name in NAMES}, SERVICES)
        self.logins = {name: f"first-{name}" for name in ("postgres", *secrets.roles(SERVICES))}
        self.redis = {part: Store(self) for part in secrets.REDIS}
        for part in secrets.REDIS:
            self.restart_redis(part)
        self.objects = {place: workload(*place) for place in READ}
        for found in self.objects.values():
            put_reads([SETTINGS, found], self.held)
        self.pods = {place: self.environment(place) for place in READ}
        self.rolling: set[tuple[str, str, str]] = set()
        self.steps: list[str] = []
        self.at, self.meanwhile = at, meanwhile

    def step(self, what: str) -> None:
        self.steps.append(what)
        if len(self.steps) == self.at:
            self.meanwhile(self)
        self.everyone_gets_in()

    def environment(self, place: tuple[str, str, str]) -> dict[str, str]:
        found = self.held[place[2], place[1]]
        return {name: found[name] for name in READ[place]}

    def everyone_gets_in(self) -> None:
        """Those that run, with what they were started with, and those that start now."""
        for place in READ:
            for found in (self.pods[place], self.environment(place)):
                for name, value in found.items():
                    address = urlsplit(value)
                    login, word = str(address.username), str(address.password)
                    if name.endswith("_DB_URL"):
                        assert self.logins.get(login) == word, f"{place[1]} after {self.steps}"
                    elif name.endswith("_REDIS_URL"):
                        store = self.redis["broker" if name.startswith("BROKER") else "cache"]
                        digest = hashlib.sha256(word.encode()).hexdigest()
                        assert digest in store.users[login], f"{place[1]} after {self.steps}"
        tried = [value for name, value in self.held[ROLE].items() if name.startswith(BESIDE)]
        assert self.logins["postgres"] in [urlsplit(url).password for url in tried], f"the job after {self.steps}"

    # The cluster

    def apply(self, documents: Any) -> None:
        for one in documents:
            place = one["metadata"]["namespace"], one["metadata"]["name"]
            data = {key: base64.b64decode(value).decode() for key, value in one.get("data", {}).items()}
            self.held[place] = data if one["kind"] == "Secret" else self.held.get(place, {})
            self.step(f"write {place[1]}")

    def get(self, kind: str, name: str, space: str) -> Document | None:
        return deepcopy(self.objects.get((kind, name, space)))

    def select(self, kinds: str, space: str, selector: str = "") -> list[Document]:
        assert kinds == "configmaps"
        return [deepcopy(SETTINGS)] if space == "eco2" else []

    def patch(self, kind: str, name: str, space: str, change: Document) -> None:
        place = (kind, name, space)
        assert change["spec"]["template"].keys() == {"metadata"}, "the rest is whoever's it is"
        self.objects[place]["spec"]["template"]["metadata"] |= change["spec"]["template"]["metadata"]
        self.rolling.add(place)  # old pods run until it has been waited for
        self.step(f"roll {name}")

    def rolled_out(self, kind: str, name: str, space: str) -> None:
        if (place := (kind, name, space)) in self.rolling:
            self.rolling.remove(place)
            self.pods[place] = self.environment(place)
            self.step(f"{name} runs")

    # The servers

    def prepare(self) -> None:
        """What the job of a deploy does: each role has the password that is written down."""
        self.logins |= {role: self.held[ROLE][role] for role in secrets.roles(SERVICES)}

    def restart_redis(self, part: redis_users.Server) -> None:
        store, (first, *users) = self.redis[part], self.held[SOURCES[part]]["auth.conf"].splitlines()
        store.own = {word.removeprefix(">") for word in first.split() if word.startswith(">")} or {first.split()[1]}
        store.users = {}
        for line in users:
            _, name, *rules = redis_users.words(line)
            store.set_user(name, rules)


class Store:
    """A Redis: the operator's passwords, and each user's."""

    def __init__(self, world: World) -> None:
        self.world, self.own, self.users = world, set[str](), dict[str, set[str]]()
        self.rules: dict[str, list[str]] = {}

    def set_user(self, name: str, rules: list[str]) -> None:
        if "resetpass" in rules:
            self.users[name] = set()
        self.users.setdefault(name, set()).update(rule[1:] for rule in rules if rule.startswith("#"))
        self.rules[name] = [rule for rule in rules if not rule.startswith("#") and rule not in ("on", "resetpass")]

    def acl_setuser(self, name: str, *, enabled: bool, passwords: list[str], reset_passwords: bool = False) -> None:
        assert (name, enabled) == ("default", True)
        self.own = (set() if reset_passwords else self.own) | {word.removeprefix("+") for word in passwords}
        self.world.step("operator")

    def execute_command(self, *words: str) -> None:
        assert words[:2] == ("ACL", "SETUSER")
        self.set_user(words[2], list(words[3:]))
        self.world.step("users")


class Rotated(Rotation):
    """With servers that are reckoned with."""

    world: World

    @contextlib.contextmanager
    def _superuser(self) -> Iterator[Any]:
        known = (self.held[SOURCES["postgres"]]["password"], self._phase("postgres"))
        assert self.world.logins["postgres"] in known, f"no one is superuser any more after {self.world.steps}"
        yield self.world

    @contextlib.contextmanager
    def _redis(self, part: Any, *passwords: str) -> Iterator[Any]:
        assert set(passwords) & self.world.redis[part].own, f"no one is the {part}'s operator after {self.world.steps}"
        yield self.world.redis[part]


def workload(kind: str, name: str, space: str) -> Document:
    env = [
        {"name": key, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}} for key in READ[kind, name, space]
    ] + [{"name": "LOG_LEVEL", "valueFrom": {"configMapKeyRef": {"name": "eco2-settings", "key": "LOG_LEVEL"}}}]
    template = {"metadata": {}, "spec": {"containers": [{"name": "host", "env": env}]}}
    about = {"name": name, "namespace": space}
    full = {"deployment": "Deployment", "statefulset": "StatefulSet"}[kind]
    return {"kind": full, "metadata": about, "spec": {"replicas": 0, "template": template}}


@pytest.fixture(autouse=True)
def _servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password is a role's own: what is set for another one is none."""

    def make_next(world: World, role: str, word: str) -> None:
        world.logins[f"{role}_next"] = word
        world.step("second login")

    def change_password(world: World, role: str, word: str) -> None:
        world.logins[role] = word
        world.step("new password")

    def drop_next(world: World, role: str) -> None:
        world.logins.pop(f"{role}_next", None)
        world.step("no second login")

    def await_rollout(world: World, kind: str, name: str, space: str, patience: Patience) -> None:
        world.rolled_out(kind, name, space)

    for made in (make_next, change_password, drop_next, await_rollout):
        monkeypatch.setattr(rotate, made.__name__, made)
    monkeypatch.setattr(rotate, "load_services", lambda: SERVICES)
    monkeypatch.setattr(rotate, "ask_secrets", lambda cluster: deepcopy(cluster.held))


def run(world: World, kind: str) -> None:
    rotation = Rotated(world, Patience(0.0))
    rotation.world = world
    if kind == "role":
        rotation.role("api_auth_role")
    elif kind == "redis":
        for part in secrets.REDIS:
            rotation.redis(part)
    else:
        getattr(rotation, kind)()


def cut_off(world: World) -> None:
    raise CutOff


def restart(world: World) -> None:
    for part in secrets.REDIS:
        world.restart_redis(part)


MEANWHILE = {
    "nothing": lambda world: None,
    "a kill": cut_off,
    "a deploy": World.prepare,
    "a restart of each Redis": restart,
}


@pytest.mark.parametrize("meanwhile", MEANWHILE)
@pytest.mark.parametrize("kind", ["role", "redis", "superuser", "grafana"])
def test_whatever_happens_between_two_steps_everyone_gets_in_and_at_the_end_with_the_new_alone(
    kind: str, meanwhile: str
) -> None:
    for at in itertools.count(1):
        world = World(at, MEANWHILE[meanwhile])
        first = deepcopy(world)
        try:
            run(world, kind)
        except CutOff:
            world.everyone_gets_in()
            run(world, kind)
        ended(world, first, kind)
        if len(world.steps) < at or meanwhile == "nothing":
            break


def ended(world: World, first: World, kind: str) -> None:
    """Old passwords open nothing, the Secrets agree, and what was not to change is as it was."""
    assert world.held.pop(ROTATION, {}) == {}, world.steps
    passwords = secrets.current_passwords(world.held, SERVICES)
    assert world.held == secrets.from_passwords(passwords, SERVICES), world.steps
    changed = {name for name in NAMES if passwords[name] != f"first-{name}"}
    of = {"role": {"api_auth_role"}, "redis": set(secrets.REDIS)}
    assert changed == of.get(kind, {"postgres" if kind == "superuser" else kind})
    assert len({passwords[name] for name in changed}) == len(changed)
    assert world.logins == {name: passwords[name] for name in first.logins}, world.steps
    for part, store in world.redis.items():
        assert store.own == {passwords[part]}
        assert store.rules == first.redis[part].rules, "what each may do"
        assert all(len(words) == 1 for words in store.users.values()), world.steps
    for place, found in world.objects.items():
        assert world.pods[place] == world.environment(place), f"{place[1]} after {world.steps}"
        fresh = workload(*place)
        put_reads([SETTINGS, fresh], world.held)
        marks = [json.loads(one["spec"]["template"]["metadata"]["annotations"][READS]) for one in (found, fresh)]
        assert marks[0] == marks[1], "the next deploy would roll it out again"


def test_who_does_not_read_it_is_not_rolled_out() -> None:
    rolled = {}
    for kind in ("role", "redis", "superuser", "grafana"):
        world = World()
        run(world, kind)
        rolled[kind] = [step for step in world.steps if step.startswith("roll ")]
    assert rolled == {
        "role": ["roll api-auth"] * 2,
        "redis": ["roll api-auth", "roll worker-ai", "roll worker-ai"],
        "superuser": [],
        "grafana": ["roll grafana"],
    }


def test_a_workload_is_named_as_its_kind_and_a_function_on_its_own_is_one_too() -> None:
    assert workloads(SERVICES["auth"]) == ["deployment/api-auth"]
    assert workloads(SERVICES["ai"]) == ["statefulset/worker-ai"]


# Servers


class Forwards(Cluster):
    """Leads to a pod for the time of a block."""

    def __init__(self, held: Values) -> None:
        super().__init__()
        self.held, self.told = held, list[str]()

    @contextlib.contextmanager
    def forward(self, pod: str, space: str, port: int) -> Iterator[int]:
        self.told.append(f"{space}/{pod}:{port}")
        yield 4321
        self.told.append("closed")


class Session:
    def __init__(self, told: list[str]) -> None:
        self.told = told

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.told.append("left")

    def ping(self) -> bool:
        if "new" not in self.told[-1]:
            raise AuthenticationError
        return True


HELD = {ROLE: {"x": "y"}, SOURCES["postgres"]: {"password": "old"}, ROTATION: {"postgres": "new"}}


@pytest.mark.parametrize(
    ("own", "tried"),
    [
        (None, ["database/k8s-postgresql-0:5432", "127.0.0.1:4321 old", "127.0.0.1:4321 new", "left", "closed"]),
        ("postgresql://postgres:new@db:1/postgres", ["db:1 new", "left"]),
        ("postgresql://postgres@db:1/postgres", ["db:1 None", "db:1 old", "db:1 new", "left"]),
    ],
)
def test_the_database_is_reached_at_its_address_or_through_its_pod_with_a_password_that_it_may_have(
    monkeypatch: pytest.MonkeyPatch, own: str | None, tried: list[str]
) -> None:
    cluster = Forwards(HELD)

    def connect(dsn: str, *, autocommit: bool) -> Session:
        assert autocommit
        about = psycopg.conninfo.conninfo_to_dict(dsn)
        assert (about["connect_timeout"], about["user"], about["dbname"]) == ("10", "postgres", "postgres")
        cluster.told.append(f"{about['host']}:{about['port']} {about.get('password')}")
        if about.get("password") != "new":
            raise psycopg.OperationalError("no")
        return Session(cluster.told)

    monkeypatch.delenv(BESIDE, raising=False)
    if own:
        monkeypatch.setenv(BESIDE, own)
    monkeypatch.setattr(psycopg, "connect", connect)
    with Rotation(cluster, Patience())._superuser():
        pass
    assert cluster.told == tried


@pytest.mark.parametrize(("own", "first"), [(None, ["eco2/broker-0:6379"]), ("redis://there:1/0", [])])
def test_a_redis_is_reached_in_the_same_way(monkeypatch: pytest.MonkeyPatch, own: str | None, first: list[str]) -> None:
    cluster = Forwards(HELD)

    def from_url(url: str, *, password: str, socket_timeout: float) -> Session:
        assert socket_timeout == 10
        cluster.told.append(f"{url} {password}")
        return Session(cluster.told)

    monkeypatch.delenv("BROKER_REDIS_URL", raising=False)
    if own:
        monkeypatch.setenv("BROKER_REDIS_URL", own)
    monkeypatch.setattr(Redis, "from_url", from_url)
    with Rotation(cluster, Patience())._redis("broker", "old", "new"):
        pass
    place = own or "redis://127.0.0.1:4321/0"
    assert cluster.told == [*first, f"{place} old", f"{place} new", "left", *(["closed"] if first else [])]


def test_without_a_key_that_signs_there_is_none_to_add_to() -> None:
    cluster = Forwards({ROLE: {"x": "y"}})
    with pytest.raises(ClusterError, match="the cluster has no signing key: eco2 secrets init"):
        Rotation(cluster, Patience()).keys()
