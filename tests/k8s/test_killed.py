"""kill -9 at each step of what changes a cluster: what is left works, and the same command finishes it."""

import base64
import json
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from emulator.servers.postgres import Postgres
from emulator.servers.redis import RedisServer
from k8s.programs import secrets
from k8s.programs.cluster import Cluster
from k8s.programs.database_roles import drop_next
from k8s.programs.rollout import Patience, await_rollout
from runtime import migrate
from runtime.closure import digest
from runtime.services import ROOT, load_services
from tests.k8s.api.controllers import Rule
from tests.k8s.api.server import Server
from tests.k8s.conftest import deployment, every, greets, opens, run_eco2, secret
from tests.k8s.walk import TURNS, Walk, state

pytestmark = pytest.mark.slow

QUICK = ("--timeout", "30")
ROLE = "api_auth_role"
Walks = Callable[..., Walk]


@pytest.fixture
def walks(cluster: Server, tmp_path: Path) -> Iterator[Walks]:
    """Makes walks of a command through the cluster as it is then."""
    made: list[Walk] = []

    def make(*words: str, root: Path = ROOT, **environ: str) -> Walk:
        made.append(Walk(cluster, list(words), tmp_path, root, **environ))
        return made[-1]

    yield make
    for walk in made:
        walk.close()


@pytest.fixture
def database(made: Server, own: Postgres) -> Postgres:
    """A PostgreSQL with the passwords of the cluster's Secrets, and a Deployment whose pods log in."""
    passwords = secrets.current_passwords(every(made), load_services()) | {
        "postgres": own.state.passwords()["postgres"]
    }
    held = secrets.from_passwords(passwords, load_services())
    places = [secrets.SOURCES["postgres"], ("database", "role-passwords")]
    Cluster().apply([secrets.secret(*place, held[place]) for place in places])
    with psycopg.connect(own.superuser_dsn, autocommit=True) as conn:
        conn.execute("CREATE ROLE test SUPERUSER LOGIN PASSWORD 'test'")
    reads(made, "API_AUTH_DB_URL")
    return own


def reads(made: Server, variable: str) -> None:
    source = {"name": variable, "valueFrom": {"secretKeyRef": {"name": "api-auth", "key": variable}}}
    Cluster().apply([deployment("api-auth", source)])


def of_pods(made: Server, variable: str, before: str) -> str:
    """What the pods were started with: the Secret's value when their template was last changed."""
    template = made.store.objects["Deployment", "eco2", "api-auth"]["spec"]["template"]
    marks = template["metadata"].get("annotations", {})
    wanted = json.loads(marks.get("eco2/reads", "{}")).get(variable)
    if wanted is None:
        return before
    held = [f["data"] for _, _, f in made.store.events if f["kind"] == "Secret" and f["metadata"]["name"] == "api-auth"]
    values = {base64.b64decode(data[variable]).decode() for data in held}
    return next(value for value in values if digest(value.encode())[:8] == wanted)


def admin(own: Postgres) -> str:
    return f"postgresql://test:test@127.0.0.1:{own.port}/postgres"


def test_the_rotation_of_a_role_s_password_locks_no_one_out(made: Server, database: Postgres, walks: Walks) -> None:
    variable = "API_AUTH_DB_URL"
    before = secret(made, "eco2", "api-auth")[variable]

    def back() -> None:
        passwords = secrets.current_passwords(every(made), load_services())
        migrate.prepare(admin(database), {role: passwords[role] for role in secrets.roles(load_services())})
        with psycopg.connect(admin(database), autocommit=True) as conn:
            drop_next(conn, ROLE)

    walk = walks("rotate", "passwords", "--role", ROLE, *QUICK, POSTGRES_SUPERUSER_URL=admin(database))
    for _ in walk.kills(back, "instead", "after"):
        for url in (secret(made, "eco2", "api-auth")[variable], of_pods(made, variable, before)):
            assert opens(database, url) == ROLE, walk.where
        walk.finish()
        after = secret(made, "eco2", "api-auth")[variable]
        assert opens(database, after) == ROLE
        assert of_pods(made, variable, before) == after
        assert secret(made, "database", "rotation") == {}
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            opens(database, before)


def test_the_rotation_of_the_superuser_s_password_leaves_one_that_is_known(
    made: Server, database: Postgres, walks: Walks
) -> None:
    first = secret(made, "database", "postgres-superuser")["password"]

    def gets_in(url: str) -> bool:
        try:
            opens(database, url.replace("@k8s-postgresql:5432/", f"@127.0.0.1:{database.port}/"))
        except psycopg.OperationalError:
            return False
        return True

    def back() -> None:
        with psycopg.connect(admin(database), autocommit=True) as conn:
            conn.execute(f"ALTER ROLE postgres PASSWORD '{first}'")

    address = f"postgresql://postgres@127.0.0.1:{database.port}/postgres"
    walk = walks("rotate", "superuser", POSTGRES_SUPERUSER_URL=address)
    for _ in walk.kills(back, "instead", "after"):
        held = secret(made, "database", "role-passwords")
        # A deploy before the next run prepares the database with one of these.
        urls = [url for key, url in held.items() if key.startswith("POSTGRES_SUPERUSER_URL")]
        noted = every(made).get(("database", "rotation"), {}).get("postgres")
        known = [secret(made, "database", "postgres-superuser")["password"], noted]
        urls_known = [f"postgresql://postgres:{word}@127.0.0.1:{database.port}/postgres" for word in known if word]
        assert any(gets_in(url) for url in urls), walk.where
        assert any(gets_in(url) for url in urls_known), walk.where
        walk.finish()
        held = secret(made, "database", "role-passwords")
        assert gets_in(held["POSTGRES_SUPERUSER_URL"])
        assert "POSTGRES_SUPERUSER_URL_NEXT" not in held
        assert secret(made, "database", "postgres-superuser")["password"] in held["POSTGRES_SUPERUSER_URL"]
        assert secret(made, "database", "rotation") == {}


def test_the_rotation_of_the_two_redis_locks_no_one_out(made: Server, walks: Walks, tmp_path: Path) -> None:
    services = load_services()
    servers = {"broker": RedisServer(tmp_path / "redis", "broker"), "cache": RedisServer(tmp_path / "redis", "cache")}
    for server in servers.values():
        server.start()
    try:
        first = {part: server.password for part, server in servers.items()}
        Cluster().apply([secrets.secret(*place, values) for place, values in of_redis(first).items()])
        variable = "BROKER_REDIS_URL"
        reads(made, variable)
        before = secret(made, "eco2", "api-auth")[variable]
        place = f"@127.0.0.1:{servers['broker'].port}/"

        def here(url: str) -> str:
            return url.replace("@broker:6379/", place)

        def back() -> None:
            for server in servers.values():
                server.stop()
                server.start()

        urls = {f"{part.upper()}_REDIS_URL": f"redis://127.0.0.1:{server.port}/0" for part, server in servers.items()}
        walk = walks("rotate", "redis", *QUICK, **urls)
        for _ in walk.kills(back, "instead", "after"):
            for url in (secret(made, "eco2", "api-auth")[variable], of_pods(made, variable, before)):
                assert greets(here(url)), walk.where
            walk.finish()
            after = secret(made, "eco2", "api-auth")[variable]
            assert of_pods(made, variable, before) == after
            assert greets(here(after))
            assert not greets(here(before))
            for part, server in servers.items():
                held = secret(made, *secrets.SOURCES[part])
                assert held == secrets.redis_values(part, services, held["password"])
                assert not greets(server.url)
            assert secret(made, "database", "rotation") == {}
    finally:
        for server in servers.values():
            server.stop()


def of_redis(passwords: dict[str, str]) -> secrets.Values:
    """The Secrets that follow from the passwords of the two Redis."""
    every_password = dict.fromkeys([*secrets.SOURCES, *secrets.roles(load_services())], "x") | passwords
    found = secrets.from_passwords(every_password, load_services())
    return {place: values for place, values in found.items() if place[0] == "eco2" and place[1] != "migrations"}


def test_the_rotation_of_grafana_s_password_ends_with_one_that_its_pod_has(made: Server, walks: Walks) -> None:
    source = {"name": "P", "valueFrom": {"secretKeyRef": {"name": "grafana", "key": "password"}}}
    found = deployment("grafana", source)
    found["metadata"]["namespace"] = "monitoring"
    Cluster().apply([found])
    walk = walks("rotate", "grafana", *QUICK)
    for _ in walk.kills(lambda: None, "instead", "after"):
        walk.finish()
        template = made.store.objects["Deployment", "monitoring", "grafana"]["spec"]["template"]
        read = json.loads(template["metadata"]["annotations"]["eco2/reads"])
        assert read == {"P": digest(secret(made, "monitoring", "grafana")["password"].encode())[:8]}, walk.where


def test_no_key_ever_signs_that_is_not_public(made: Server, walks: Walks) -> None:
    walk = walks("rotate", "keys")
    for _ in walk.kills(lambda: None, "instead", "after"):
        for finish in (False, True):
            if finish:
                walk.finish()
            private = json.loads(secret(made, "eco2", "auth-signing-key")["value"])["keys"]
            jwks = json.loads(made.store.objects["ConfigMap", "eco2", "jwks"]["data"]["jwks.json"])["keys"]
            assert {key["kid"] for key in private} <= {key["kid"] for key in jwks}, walk.where
            assert any(key.get("sign_from", 0) <= datetime.now(UTC).timestamp() for key in private)


@pytest.mark.parametrize("turn", range(TURNS))
def test_a_deploy_is_finished_by_the_next(
    deployed: Server, checkout: Path, walks: Walks, tmp_path: Path, turn: int
) -> None:
    """One in which all kinds of steps are: the base, the tools, migrations before and after, pods, records."""
    conf = checkout / "k8s/base/postgres/postgresql.conf"
    conf.write_text(conf.read_text(encoding="utf-8").replace("work_mem = '6MB'", "work_mem = '8MB'"), encoding="utf-8")
    for file in ("k8s/tools/backup.py", "functions/waste/delete_analysis.py"):
        with (checkout / file).open("a", encoding="utf-8") as out:
            out.write("\nCHANGED = True\n")
    for name in ("0099_more.sql", "0099_less.after.sql"):
        (checkout / "functions/waste/migrations" / name).write_text("SELECT 1;\n", encoding="utf-8")
    walk = walks("deploy", *QUICK, root=checkout)
    for _ in walk.kills(lambda: None, "instead", "after", turn=turn, turns=TURNS):
        walk.finish()
        assert state(deployed) == walk.undisturbed, walk.where
    assert run_eco2(checkout, tmp_path, "deploy").stdout == "nothing to deploy\n"


def test_a_rollout_of_a_setting_that_failed_and_was_killed_is_seen_by_the_next(
    deployed: Server, checkout: Path, walks: Walks, tmp_path: Path
) -> None:
    toml = checkout / "k8s/environments.toml"
    text = toml.read_text(encoding="utf-8").replace("https://cdn.eco2.example", "https://new.example")
    toml.write_text(text, encoding="utf-8")
    assert run_eco2(checkout, tmp_path, "render").returncode == 0
    # As many as its autoscaler keeps: one goes first, the other stays until its successor is ready.
    Cluster().run("scale", "deployment/api-waste", "--replicas=2", "--namespace", "eco2")
    await_rollout(Cluster(), "deployment", "api-waste", "eco2", Patience(30))
    before = deployed.store.objects["Deployment", "eco2", "api-waste"]["spec"]["template"]
    pods = Cluster().select("pods", "eco2", "eco2/service=api-waste")
    (runs,) = {pod["metadata"]["labels"]["pod-template-hash"] for pod in pods}
    deployed.controllers.rules = [Rule(rf"^api-waste-(?!{runs})", "crash")]
    walk = walks("deploy", *QUICK, "--service", "waste", root=checkout)
    assert walk.run(("PATCH", "deployments"), "after") == -signal.SIGKILL
    assert deployed.store.objects["Deployment", "eco2", "api-waste"]["spec"]["template"] != before
    assert walk.run() == 1, walk.said()
    assert "api-waste did not become ready and was rolled back" in walk.said()
    assert deployed.store.objects["Deployment", "eco2", "api-waste"]["spec"]["template"] == before
