"""`eco2 secrets` and `eco2 rotate`: by the real kubectl on an API server that refuses what a real one does, on real servers."""

import contextlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import yaml

from emulator.servers.postgres import Postgres
from emulator.servers.redis import RedisServer
from k8s.programs import secrets
from k8s.programs.cluster import Cluster
from k8s.programs.rollout import Patience
from k8s.programs.rotate import Rotation
from k8s.programs.wanted import READS
from runtime import migrate
from runtime.services import load_services
from tests.k8s.api.server import Server
from tests.k8s.conftest import deployment, every, greets, opens, secret

Eco2 = Callable[..., subprocess.CompletedProcess[str]]
QUICK = ("--timeout", "30")


def test_secrets_are_strong_made_once_and_shown_to_no_one(eco2: Eco2, cluster: Server) -> None:
    done = eco2("secrets", "init")
    assert done.returncode == 0, done.stderr
    passwords = secret(cluster, "database", "role-passwords")
    roles = {name: value for name, value in passwords.items() if not name.startswith("POSTGRES")}
    assert len(roles) == 8
    assert len(set(roles.values())) == 8
    assert all(len(value) >= 43 for value in roles.values())
    assert not [value for value in roles.values() if value in done.stdout + done.stderr]
    url = secret(cluster, "eco2", "api-auth")["API_AUTH_DB_URL"]
    assert url == (
        f"postgresql://api_auth_role:{roles['api_auth_role']}@k8s-postgresql:5432/ecoeco?options=-c%20search_path%3Dauth"
    )
    before = every(cluster)
    assert eco2("secrets", "init").stdout == "all secrets are there\n"
    assert every(cluster) == before


def test_secrets_of_every_namespace_are_made(made: Server) -> None:
    assert {space for space, _ in every(made)} == {"eco2", "database", "monitoring"}
    assert secret(made, "database", "tools") == secret(made, "eco2", "migrations")


def test_keys_that_people_added_stay(eco2: Eco2, made: Server) -> None:
    change = {"stringData": {"OPENAI_API_KEY": "sk-x"}}
    before = secret(made, "eco2", "worker-ai")
    Cluster().patch("secret", "worker-ai", "eco2", change)
    del made.store.objects["Secret", "eco2", "worker-ai"]["data"]["BROKER_REDIS_URL"]
    assert eco2("secrets", "init").stdout == "made: eco2/worker-ai\n"
    assert secret(made, "eco2", "worker-ai") == before | {"OPENAI_API_KEY": "sk-x"}


def test_a_first_set_that_was_cut_off_anywhere_is_finished_with_the_same_passwords(cluster: Server) -> None:
    """Cut off after each second write, and run again: at the end all Secrets agree."""
    Cluster().apply(
        [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}} for n in ("eco2", "database", "monitoring")]
    )
    count = len(
        secrets.from_passwords(dict.fromkeys([*secrets.SOURCES, *secrets.roles(load_services())], "x"), load_services())
    )
    for _ in range(count // 2 + 3):
        written = 0

        def cut_off() -> None:
            nonlocal written
            written += 1
            if written > 2:
                raise KeyboardInterrupt

        mine = Cluster()
        mine.may_change = cut_off
        before = every(cluster)
        with contextlib.suppress(KeyboardInterrupt):
            secrets.init(mine)
        assert before.items() <= every(cluster).items()
    assert secrets.init(Cluster()) == []
    found = every(cluster)
    passwords = secrets.current_passwords(found, load_services())
    expected = secrets.from_passwords(passwords, load_services())
    assert {place: found[place] for place in expected} == expected


def test_secrets_for_a_vault_are_for_their_owner_alone(eco2: Eco2, tmp_path: Path) -> None:
    done = eco2("secrets", "init", "--to", str(tmp_path / "vault"))
    assert done.returncode == 0, done.stderr
    file = tmp_path / "vault/secrets.yaml"
    assert file.stat().st_mode & 0o777 == 0o600
    assert {d["kind"] for d in yaml.safe_load_all(file.read_text())} == {"Secret", "ConfigMap"}
    assert eco2("secrets", "init", "--to", str(tmp_path / "vault")).returncode == 1


# Rotation


def test_a_rotated_key_is_public_before_it_signs(eco2: Eco2, made: Server) -> None:
    before = json.loads(secret(made, "eco2", "auth-signing-key")["value"])["keys"]
    made.requests.clear()
    done = eco2("rotate", "keys")
    assert done.returncode == 0, done.stderr
    after = json.loads(secret(made, "eco2", "auth-signing-key")["value"])["keys"]
    assert [key["kid"] for key in after[1:]] == [key["kid"] for key in before]
    assert after[0]["sign_from"] > 0
    applied = [path.split("/")[-1] for method, path, _ in made.requests if method == "PATCH"]
    assert applied == ["jwks", "auth-signing-key"]


def test_before_there_are_secrets_nothing_is_rotated(eco2: Eco2, cluster: Server) -> None:
    Cluster().apply(
        [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}} for n in ("eco2", "database", "monitoring")]
    )
    done = eco2("rotate", "keys")
    assert done.returncode == 1
    assert done.stderr == "eco2 rotate: the cluster has no secrets yet: eco2 secrets init\n"


def test_an_unknown_role_is_refused(eco2: Eco2, cluster: Server) -> None:
    done = eco2("rotate", "passwords", "--role", "api_aut_role")
    assert done.returncode == 1
    assert "did you mean api_auth_role?" in done.stderr


@pytest.fixture
def database(made: Server, own: Postgres, monkeypatch: pytest.MonkeyPatch) -> Postgres:
    """A PostgreSQL whose roles have the passwords of the cluster's Secrets, and a deployment that reads one of them."""
    passwords = secrets.current_passwords(every(made), load_services())
    migrate.prepare(own.superuser_dsn, {role: passwords[role] for role in secrets.roles(load_services())})
    monkeypatch.setenv("POSTGRES_SUPERUSER_URL", own.superuser_dsn)
    source = {"name": "API_AUTH_DB_URL", "valueFrom": {"secretKeyRef": {"name": "api-auth", "key": "API_AUTH_DB_URL"}}}
    Cluster().apply([deployment("api-auth", source)])
    return own


def test_a_rotated_password_opens_the_database_and_the_old_one_does_not(
    eco2: Eco2, made: Server, database: Postgres
) -> None:
    old = secret(made, "eco2", "api-auth")["API_AUTH_DB_URL"]
    assert opens(database, old) == "api_auth_role"
    done = eco2("rotate", "passwords", "--role", "api_auth_role", *QUICK, POSTGRES_SUPERUSER_URL=database.superuser_dsn)
    assert done.returncode == 0, done.stderr
    new = secret(made, "eco2", "api-auth")["API_AUTH_DB_URL"]
    assert new.startswith("postgresql://api_auth_role:")
    assert opens(database, new) == "api_auth_role"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        opens(database, old)
    with psycopg.connect(database.superuser_dsn) as conn:
        assert conn.execute("SELECT 1 FROM pg_roles WHERE rolname = 'api_auth_role_next'").fetchone() is None
    assert secret(made, "database", "rotation") == {}


def test_a_database_that_is_away_leaves_the_secrets_as_they_are(eco2: Eco2, made: Server) -> None:
    before = secret(made, "eco2", "api-auth")
    nowhere = "postgresql://postgres@127.0.0.1:1/postgres"
    done = eco2("rotate", "passwords", "--role", "api_auth_role", POSTGRES_SUPERUSER_URL=nowhere)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) <= 3
    assert secret(made, "eco2", "api-auth") == before


def test_a_rotated_superuser_s_password_is_where_the_cluster_looks_for_it(
    eco2: Eco2, made: Server, database: Postgres
) -> None:
    old = secret(made, "database", "postgres-superuser")["password"]
    others = secret(made, "database", "role-passwords")
    done = eco2("rotate", "superuser", POSTGRES_SUPERUSER_URL=database.superuser_dsn)
    assert done.returncode == 0, done.stderr
    new = secret(made, "database", "postgres-superuser")["password"]
    assert new != old
    beside = secret(made, "database", "role-passwords")
    assert new in beside["POSTGRES_SUPERUSER_URL"]
    assert beside == others | {"POSTGRES_SUPERUSER_URL": beside["POSTGRES_SUPERUSER_URL"]}, "no second one is left"
    assert secret(made, "database", "rotation") == {}
    psycopg.connect(database.superuser_dsn, password=new).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(database.superuser_dsn)


def test_grafana_s_one_pod_is_made_anew_with_its_new_password(made: Server) -> None:
    source = {"name": "P", "valueFrom": {"secretKeyRef": {"name": secrets.SOURCES["grafana"][1], "key": "password"}}}
    one = deployment("grafana", source)
    one["metadata"]["namespace"] = "monitoring"
    Cluster().apply([one])
    before = secret(made, *secrets.SOURCES["grafana"])["password"]
    Rotation(Cluster(), Patience(30)).grafana()
    assert secret(made, *secrets.SOURCES["grafana"])["password"] != before
    template = made.store.objects["Deployment", "monitoring", "grafana"]["spec"]["template"]
    assert template["metadata"]["annotations"][READS]


def test_a_rotated_redis_takes_both_passwords_until_the_last_pod_has_the_new(
    eco2: Eco2, made: Server, tmp_path: Path
) -> None:
    servers = {"broker": RedisServer(tmp_path / "redis", "broker"), "cache": RedisServer(tmp_path / "redis", "cache")}
    old = {}
    for part, server in servers.items():
        old[part] = server.start().password
        Cluster().apply(
            [secrets.secret(*secrets.SOURCES[part], secrets.redis_values(part, load_services(), old[part]))]
        )
    try:
        urls = {f"{part.upper()}_REDIS_URL": f"redis://127.0.0.1:{server.port}/0" for part, server in servers.items()}
        source = {"name": "B", "valueFrom": {"secretKeyRef": {"name": "api-auth", "key": "BROKER_REDIS_URL"}}}
        Cluster().apply([deployment("api-auth", source)])
        auth = load_services()["auth"]
        of_auth = servers["broker"].service_url(auth)
        both: list[bool] = []

        def look(number: int) -> None:
            if "deployments/api-auth" in made.requests[number][1]:
                place = f"@127.0.0.1:{servers['broker'].port}/"
                new = secret(made, "eco2", "api-auth")["BROKER_REDIS_URL"].replace("@broker:6379/", place)
                both.append(greets(servers["broker"].url) and greets(of_auth) and greets(new) and new != of_auth)

        made.after_change = look
        done = eco2("rotate", "redis", *QUICK, **urls)
        assert done.returncode == 0, done.stderr
        assert both == [True]
        assert secret(made, "database", "rotation") == {}
        for part, server in servers.items():
            held = secret(made, "eco2", f"{part}-redis")
            assert held["password"] != old[part]
            assert held["auth.conf"].startswith(f"requirepass {held['password']}\nuser ")
            assert greets(server.url.replace(old[part], held["password"]))
            assert not greets(server.url)
        assert not greets(of_auth)
    finally:
        for server in servers.values():
            server.stop()
