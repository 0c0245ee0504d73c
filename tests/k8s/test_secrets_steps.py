"""Secrets step by step: who reads which password where, what is there already stays, and what is public comes first"""

import argparse
import base64
from pathlib import Path
from typing import Any

import pytest

from k8s.programs import secrets
from k8s.programs.cluster import Cluster
from k8s.programs.secrets import SOURCES, Values, dsn, from_passwords, readers, redis_values, roles
from k8s.programs.templates import Document, read
from runtime.services import OWNER, load_services

SERVICES = load_services()
NAMES = ["postgres", "grafana", "broker", "cache", *roles(SERVICES)]


class Keeps(Cluster):
    """Keeps the Secrets that it is given, and in which order they came."""

    def __init__(self, held: Values) -> None:
        super().__init__()
        self.held, self.told = held, list[str]()

    def apply(self, documents: Any) -> None:
        for one in documents:
            about = one["metadata"]
            self.told.append(f"{one['kind']} {about['namespace']}/{about['name']}")
            if one["kind"] == "Secret":
                self.held[about["namespace"], about["name"]] = values(one)


def values(found: Document) -> dict[str, str]:
    plain: dict[str, str] = found.get("stringData", {})
    return plain | {key: base64.b64decode(value).decode() for key, value in found.get("data", {}).items()}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Keeps:
    made = Keeps({})
    monkeypatch.setattr(secrets, "ask_secrets", lambda cluster: made.held)
    monkeypatch.setattr(secrets, "signing_keys", lambda: ("private", "public"))
    return made


def test_the_public_keys_are_there_before_the_first_that_signs(cluster: Keeps) -> None:
    secrets.init(cluster)
    keys = [told for told in cluster.told if "jwks" in told or "signing" in told]
    assert [told.rpartition("/")[2] for told in keys][-1] == "auth-signing-key"
    assert len(keys) == 2
    assert cluster.held["eco2", "auth-signing-key"] == {"value": "private"}


def test_a_second_time_there_is_nothing_to_make(cluster: Keeps) -> None:
    assert sorted(secrets.init(cluster)) == sorted(
        f"{space}/{name}" for space, name in cluster.held if name != "auth-jwks"
    )
    cluster.told.clear()
    assert secrets.init(cluster) == []
    assert cluster.told == []


def test_what_is_lost_is_made_anew_of_the_passwords_and_what_people_added_stays(cluster: Keeps) -> None:
    secrets.init(cluster)
    before = {where: dict(found) for where, found in cluster.held.items()}
    for where in (("eco2", "api-waste"), ("database", "tools")):
        name = next(iter(cluster.held[where]))
        del cluster.held[where][name]
        cluster.held[where]["OPENAI_API_KEY"] = "mine"
    assert sorted(secrets.init(cluster)) == ["database/tools", "eco2/api-waste"]
    for where, found in before.items():
        assert cluster.held[where].items() >= found.items()
    assert cluster.held["eco2", "api-waste"]["OPENAI_API_KEY"] == "mine"


def test_each_role_is_told_to_its_own_pods_and_to_no_one_else() -> None:
    found = from_passwords({name: f"pw-{name}" for name in NAMES}, SERVICES)
    for role in roles(SERVICES):
        told = {where for where, kept in found.items() if any(f"pw-{role}@" in value for value in kept.values())}
        own = {("eco2", service.name) for service in SERVICES.values() if service.database.role == role}
        assert told == (own if role != OWNER else {("database", "tools"), ("eco2", "migrations")})
        assert told == {where for where, _, _ in readers(role, SERVICES)}
        assert found["database", "role-passwords"][role] == f"pw-{role}"
    assert [where for where, kept in found.items() if any("pw-postgres" in value for value in kept.values())] == [
        SOURCES["postgres"],
        ("database", "role-passwords"),
    ]
    waste = found["eco2", "api-waste"]
    assert waste[SERVICES["waste"].database.env].endswith("/ecoeco?options=-c%20search_path%3Dwaste")
    assert found["database", "tools"]["MIGRATION_DB_URL"].endswith("/ecoeco")
    for service in SERVICES.values():
        asked = {f"{part.upper()}_REDIS_URL" for part in ("broker", "cache") if part in service.uses}
        assert {key for key in found["eco2", service.name] if key.endswith("_REDIS_URL")} == asked


def test_a_password_is_quoted_where_it_is_a_part_of_an_address() -> None:
    assert dsn("a_role", "p/w@:1", "auth") == (
        "postgresql://a_role:p%2Fw%40%3A1@k8s-postgresql:5432/ecoeco?options=-c%20search_path%3Dauth"
    )
    one, other = secrets.password(), secrets.password()
    assert one != other
    assert len(base64.urlsafe_b64decode(one + "=")) == 32


@pytest.mark.parametrize("part", ["broker", "cache"])
def test_while_a_redis_has_two_passwords_both_open_it_and_then_the_new_one_alone(part: Any) -> None:
    usual, both = redis_values(part, SERVICES, "new"), redis_values(part, SERVICES, "new", "old")
    assert usual["password"] == both["password"] == "new"
    first, *users = usual["auth.conf"].splitlines()
    assert first == "requirepass new"
    assert both["auth.conf"].splitlines()[0] == "user default on >old >new ~* &* +@all"
    using = [service for service in SERVICES.values() if part in service.uses]
    assert len(users) == len(both["auth.conf"].splitlines()) - 1 >= len(using) > 0


def test_a_file_of_secrets_is_its_owner_s_alone_and_never_overwritten(
    cluster: Keeps, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = argparse.Namespace(to=tmp_path / "new")
    assert secrets.main(args) == 0
    file = tmp_path / "new/secrets.yaml"
    assert capsys.readouterr().out == f"made: {file}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_text()
    documents = read(before)
    assert {("eco2", "auth-signing-key"), *SOURCES.values()} <= {
        (one["metadata"]["namespace"], one["metadata"]["name"]) for one in documents
    }
    assert secrets.main(args) == 1
    assert "is there already; a new set would not open what the old one closed" in capsys.readouterr().err
    assert file.read_text() == before
