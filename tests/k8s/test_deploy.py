"""`eco2 deploy`, `eco2 secrets` and `eco2 rotate` against a cluster that is a program on the PATH: it keeps objects in a folder.

No API server can be had offline, so what is tested is what we ask of it, in which order, and what happens when it refuses.
"""

import base64
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import yaml

from emulator.servers.postgres import Postgres
from runtime import migrate
from runtime.services import ROOT
from tests.k8s.conftest import kubectl_or_skip, run_eco2

Eco2 = Callable[..., subprocess.CompletedProcess[str]]

# Understands what our programs say; hands `kustomize` to the true one.
KUBECTL = """#!{python}
import base64, json, os, subprocess, sys
from pathlib import Path
store = Path(__file__).parent.parent / "cluster"
words = sys.argv[1:]
space = "eco2"
clean = []
while words:
    word = words.pop(0)
    if word in ("--namespace", "-n"):
        space = words.pop(0)
    elif word == "--context":
        words.pop(0)
    else:
        clean.append(word)
verb = clean[0]
with (store / "log").open("a") as log:
    log.write(" ".join([space, *clean]) + "\\n")
if verb == "kustomize":
    sys.exit(subprocess.run([{kubectl!r}, *clean]).returncode)
if (store / "away").exists():
    sys.exit("The connection to the server was refused")
broken = (store / "broken").read_text().split() if (store / "broken").exists() else []
if verb in ("apply", "create"):
    import yaml
    for found in yaml.safe_load_all(sys.stdin.read()):
        if found:
            name = found["metadata"]["name"]
            where = found["metadata"].get("namespace", "-")
            if verb == "create" and (store / f"{{where}}.{{found['kind'].lower()}}.{{name}}.json").exists():
                sys.exit("Error from server (AlreadyExists)")
            for key, value in found.pop("stringData", {{}}).items():
                found.setdefault("data", {{}})[key] = base64.b64encode(value.encode()).decode()
            (store / f"{{where}}.{{found['kind'].lower()}}.{{name}}.json").write_text(json.dumps(found))
            with (store / "log").open("a") as log:
                log.write(f"  applied {{found['kind']}}/{{name}}\\n")
elif verb == "get":
    kinds = [kind.rstrip("s") for kind in clean[1].split(",")]
    if clean[1] in ("secret", "configmap"):
        file = store / f"{{space}}.{{clean[1]}}.{{clean[2]}}.json"
        sys.stdout.write(file.read_text() if file.exists() else "")
    else:
        label = clean[clean.index("--selector") + 1]
        items = [json.loads(f.read_text()) for k in kinds for f in sorted(store.glob(f"{{space}}.{{k}}.*.json"))]
        items = [item for item in items if label in item["metadata"].get("labels", {{}})]
        sys.stdout.write(json.dumps({{"items": items}}))
elif verb in ("rollout", "wait"):
    target = next(word for word in clean if "/" in word).partition("/")[2]
    if (store / "interrupt").exists():
        import signal
        (store / "interrupt").unlink()
        os.kill(os.getppid(), signal.SIGINT)
    if clean[1] == "undo":
        (store / "broken").write_text(" ".join(name for name in broken if name.startswith("stuck:")))
    elif any(target.startswith(name.removeprefix("stuck:")) for name in broken):
        sys.exit(f"error: {{target}} exceeded its progress deadline")
elif verb == "logs":
    print('column "x" does not exist')
elif verb == "delete":
    kind, _, name = clean[1].partition("/")
    (store / f"{{space}}.{{kind}}.{{name}}.json").unlink(missing_ok=True)
"""


class Cluster:
    """The folder that plays the cluster."""

    def __init__(self, store: Path) -> None:
        self.store = store

    def log(self) -> list[str]:
        file = self.store / "log"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return [re.sub(r"[0-9a-f]{16}", "TAG", line) for line in lines if " kustomize " not in line]

    def break_(self, *names: str) -> None:
        (self.store / "broken").write_text(" ".join(names))

    def secret(self, space: str, name: str) -> dict[str, str]:
        data = json.loads((self.store / f"{space}.secret.{name}.json").read_text())["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}


def make_cluster(tmp_path: Path) -> Cluster:
    store, folder = tmp_path / "cluster", tmp_path / "bin"
    store.mkdir()
    folder.mkdir()
    program = folder / "kubectl"
    program.write_text(KUBECTL.format(python=sys.executable, kubectl=kubectl_or_skip()))
    program.chmod(0o755)
    for needed in ("sh", "env"):
        (folder / needed).symlink_to(str(shutil.which(needed)))
    return Cluster(store)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return make_cluster(tmp_path)


@pytest.fixture(scope="module")
def first_deploy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `cluster` and `state` after a first deploy of this checkout: most tests begin there."""
    folder = tmp_path_factory.mktemp("deployed")
    make_cluster(folder)
    done = run_eco2(ROOT, folder, "deploy")
    assert done.returncode == 0, done.stderr
    (folder / "cluster/log").unlink()
    return folder


@pytest.fixture
def deployed(cluster: Cluster, first_deploy: Path, tmp_path: Path) -> Cluster:
    """A cluster that runs this checkout."""
    for part in ("cluster", "state"):
        shutil.copytree(first_deploy / part, tmp_path / part, dirs_exist_ok=True)
    return cluster


def change(checkout: Path, file: str) -> None:
    path = checkout / file
    path.write_text(path.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")


def test_a_first_deploy_brings_everything_and_a_second_nothing(eco2: Eco2, cluster: Cluster) -> None:
    assert eco2("render").returncode == 0
    done = eco2("deploy")
    assert done.returncode == 0, done.stderr
    assert len([line for line in done.stdout.splitlines() if "(new) ->" in line]) == 9
    again = eco2("deploy")
    assert (again.returncode, again.stdout) == (0, "nothing to deploy\n")
    found = {entry["service"]: entry["change"] for entry in json.loads(eco2("plan", "--json").stdout)["services"]}
    assert set(found.values()) == {"unchanged"}


def test_only_what_changed_is_rolled_out_migrations_first(eco2: Eco2, deployed: Cluster, checkout: Path) -> None:
    change(checkout, "functions/waste/delete_analysis.py")
    (checkout / "functions/waste/migrations/0099_less.after.sql").write_text("SELECT 1;\n")
    assert eco2("render").returncode == 0
    done = eco2("deploy", "--service", "waste")
    assert done.returncode == 0, done.stderr
    unsaid = (
        "eco2 apply --server-side --force-conflicts --field-manager=eco2 --filename -",
        "eco2 create --filename -",
        "applied ConfigMap/deploy-lock",
    )
    steps = [line for line in deployed.log() if " get " not in line and line.strip() not in unsaid]
    assert steps[:3] == [
        "eco2 delete job/migrate-waste-TAG-before --ignore-not-found",
        "  applied Job/migrate-waste-TAG-before",
        "eco2 wait --for=condition=complete --timeout=300s job/migrate-waste-TAG-before",
    ]
    applied = [line for line in steps if "applied Deployment" in line]
    assert applied == ["  applied Deployment/api-waste"]
    waited = steps.index("eco2 rollout status deployment/api-waste --timeout=300s")
    assert steps[waited + 1 :] == [
        "eco2 delete job/migrate-waste-TAG-after --ignore-not-found",
        "  applied Job/migrate-waste-TAG-after",
        "eco2 wait --for=condition=complete --timeout=300s job/migrate-waste-TAG-after",
        "  applied ConfigMap/record-api-waste",
        "eco2 delete configmap/deploy-lock --ignore-not-found",
    ]


def test_a_rollout_that_fails_goes_back_and_stays_in_the_plan(eco2: Eco2, deployed: Cluster, checkout: Path) -> None:
    change(checkout, "functions/auth/login.py")
    change(checkout, "functions/waste/db.py")
    assert eco2("render").returncode == 0
    deployed.break_("api-auth")
    done = eco2("deploy", "--service", "auth", "--service", "waste")
    assert done.returncode == 1
    assert "was rolled back" in done.stderr
    steps = deployed.log()
    undone = steps.index("eco2 rollout undo deployment/api-auth")
    assert steps[undone + 1].startswith("eco2 rollout status deployment/api-auth")
    assert not [line for line in steps if "api-waste" in line]
    records = [line for line in steps if "ConfigMap/record" in line]
    assert records == []


def test_migrations_that_fail_stop_before_any_pod(eco2: Eco2, deployed: Cluster, checkout: Path) -> None:
    (checkout / "functions/auth/migrations/0099_broken.sql").write_text("SELECT 1;\n")
    assert eco2("render").returncode == 0
    deployed.break_("migrate-auth")
    done = eco2("deploy", "--service", "auth")
    assert done.returncode == 1
    assert "nothing was rolled out" in done.stderr
    assert 'column "x" does not exist' in done.stderr
    assert not [line for line in deployed.log() if "Deployment/api-auth" in line]


def test_a_rollback_that_fails_too_is_said(eco2: Eco2, deployed: Cluster, checkout: Path) -> None:
    change(checkout, "functions/auth/login.py")
    deployed.break_("stuck:api-auth")
    done = eco2("deploy")
    assert done.returncode == 1
    assert "deployment/api-auth did not go back either" in done.stderr
    assert "was rolled back" not in done.stderr


def test_a_rollout_without_an_end_is_finished_by_the_next_deploy(eco2: Eco2, deployed: Cluster, checkout: Path) -> None:
    (checkout / "functions/auth/migrations/0099_less.after.sql").write_text("SELECT 1;\n")
    deployed.break_("stuck:api-auth")
    assert eco2("deploy", "--service", "auth").returncode == 1
    deployed.break_()
    assert "has not been finished > api-auth" in eco2("plan").stdout
    deployed.log()
    done = eco2("deploy")
    assert done.returncode == 0, done.stderr
    assert "  applied Job/migrate-auth-TAG-after" in deployed.log()
    assert eco2("deploy").stdout == "nothing to deploy\n"


def test_ctrl_c_says_what_goes_on_and_leaves_no_lock(eco2: Eco2, deployed: Cluster, checkout: Path) -> None:
    change(checkout, "functions/auth/login.py")
    (deployed.store / "interrupt").touch()
    done = eco2("deploy")
    assert done.returncode == 130
    assert (
        done.stderr
        == "eco2 deploy: interrupted: the cluster goes on with what it was told; deploy again to finish it\n"
    )
    assert eco2("deploy").returncode == 0


def test_what_somebody_applied_by_hand_is_recorded_by_a_deploy(eco2: Eco2, deployed: Cluster) -> None:
    (deployed.store / "eco2.configmap.record-api-auth.json").unlink()
    assert "has not been finished > api-auth" in eco2("plan").stdout
    assert eco2("deploy").returncode == 0
    assert eco2("deploy").stdout == "nothing to deploy\n"


def test_two_deploys_at_once_are_refused(eco2: Eco2, deployed: Cluster) -> None:
    lock = deployed.store / "eco2.configmap.deploy-lock.json"
    lock.write_text(json.dumps({"data": {"holder": "somewhere, process 1"}}))
    done = eco2("deploy")
    assert done.returncode == 1
    assert "another deploy is under way (somewhere, process 1)" in done.stderr
    assert "kubectl -n eco2 delete configmap deploy-lock" in done.stderr
    assert lock.exists()


def test_a_dry_run_touches_nothing(eco2: Eco2, deployed: Cluster, checkout: Path) -> None:
    change(checkout, "functions/auth/login.py")
    done = eco2("deploy", "--dry-run")
    assert done.returncode == 0
    assert "functions/auth/login.py > auth/login > api-auth" in done.stdout
    assert not [line for line in deployed.log() if "apply" in line]


def test_manifests_that_are_not_current_are_not_deployed(eco2: Eco2, deployed: Cluster, checkout: Path) -> None:
    toml = checkout / "functions/auth/service.toml"
    toml.write_text(toml.read_text(encoding="utf-8").replace('cpu = "250m"', 'cpu = "260m"'), encoding="utf-8")
    done = eco2("deploy")
    assert done.returncode == 1
    assert "run `eco2 render`" in done.stderr


def test_a_cluster_that_is_away_is_said_in_a_line(eco2: Eco2, cluster: Cluster) -> None:
    (cluster.store / "away").touch()
    for command in ("plan", "deploy"):
        refused = eco2(command)
        assert refused.returncode == 1
        assert "The connection to the server was refused" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1


# Secrets


def test_secrets_are_strong_made_once_and_shown_to_nobody(eco2: Eco2, cluster: Cluster) -> None:
    done = eco2("secrets", "init")
    assert done.returncode == 0, done.stderr
    passwords = cluster.secret("database", "role-passwords")
    roles = {name: value for name, value in passwords.items() if not name.startswith("POSTGRES")}
    assert len(roles) == 8
    assert len(set(roles.values())) == 8
    assert all(len(value) >= 43 for value in roles.values())
    assert not [value for value in roles.values() if value in done.stdout + done.stderr]
    url = cluster.secret("eco2", "api-auth")["API_AUTH_DB_URL"]
    assert url == (
        f"postgresql://api_auth_role:{roles['api_auth_role']}@k8s-postgresql:5432/ecoeco?options=-c%20search_path%3Dauth"
    )
    again = eco2("secrets", "init")
    assert again.stdout == "all secrets are there\n"
    assert cluster.secret("database", "role-passwords") == passwords


def test_secrets_for_a_vault_are_for_their_owner_alone(eco2: Eco2, tmp_path: Path) -> None:
    done = eco2("secrets", "init", "--to", str(tmp_path / "vault"))
    assert done.returncode == 0, done.stderr
    file = tmp_path / "vault/secrets.yaml"
    assert file.stat().st_mode & 0o777 == 0o600
    assert {d["kind"] for d in yaml.safe_load_all(file.read_text())} == {"Secret", "ConfigMap"}
    assert eco2("secrets", "init", "--to", str(tmp_path / "vault")).returncode == 1


def test_a_rotated_key_is_public_before_it_signs(eco2: Eco2, cluster: Cluster) -> None:
    assert eco2("rotate", "keys").returncode == 1
    assert eco2("secrets", "init").returncode == 0
    before = json.loads(cluster.secret("eco2", "auth-signing-key")["value"])["keys"]
    cluster.log()
    done = eco2("rotate", "keys")
    assert done.returncode == 0, done.stderr
    after = json.loads(cluster.secret("eco2", "auth-signing-key")["value"])["keys"]
    assert [key["kid"] for key in after[1:]] == [key["kid"] for key in before]
    assert after[0]["sign_from"] > 0
    applied = [line.strip() for line in cluster.log() if "applied" in line]
    assert applied == ["applied ConfigMap/jwks", "applied Secret/auth-signing-key"]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Postgres]:
    server = Postgres(tmp_path / "rotation", durable=False).start()
    try:
        migrate.prepare(server.superuser_dsn, server.state.passwords())
        yield server
    finally:
        server.destroy()


def test_a_rotated_password_opens_the_database_and_the_old_one_does_not(
    eco2: Eco2, cluster: Cluster, own: Postgres
) -> None:
    assert eco2("secrets", "init").returncode == 0
    old = own.dsn("api_auth_role", search_path="auth")
    with psycopg.connect(old) as session:
        cluster.log()
        done = eco2("rotate", "passwords", "--role", "api_auth_role", POSTGRES_SUPERUSER_URL=own.superuser_dsn)
        assert done.returncode == 0, done.stderr
        # What is open stays open.
        assert session.execute("SELECT 1").fetchone() == (1,)
    new = cluster.secret("database", "role-passwords")["api_auth_role"]
    assert new in cluster.secret("eco2", "api-auth")["API_AUTH_DB_URL"]
    with psycopg.connect(old, password=new) as session:
        assert session.execute("SELECT current_user").fetchone() == ("api_auth_role",)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(old)
    nowhere = "postgresql://postgres@127.0.0.1:1/postgres"
    assert eco2("rotate", "passwords", POSTGRES_SUPERUSER_URL=nowhere).returncode == 1
    assert cluster.secret("database", "role-passwords")["api_auth_role"] == new
    assert "eco2 rollout restart deployment/api-auth" in cluster.log()


def test_an_unknown_role_is_refused(eco2: Eco2, cluster: Cluster) -> None:
    done = eco2("rotate", "passwords", "--role", "api_aut_role", POSTGRES_SUPERUSER_URL="postgresql://x")
    assert done.returncode == 1
    assert "did you mean api_auth_role?" in done.stderr
