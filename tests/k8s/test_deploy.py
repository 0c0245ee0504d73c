"""`eco2 deploy` and `eco2 plan` by the real kubectl, against an API server that refuses what a real one does (tests/k8s/api)."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from k8s.programs.cluster import Cluster
from runtime.services import ROOT
from tests.k8s.api.controllers import Rule
from tests.k8s.api.kinds import Document
from tests.k8s.api.server import Server

Eco2 = Callable[..., subprocess.CompletedProcess[str]]
QUICK = ("--timeout", "30")


def change(checkout: Path, file: str) -> None:
    path = checkout / file
    path.write_text(path.read_text(encoding="utf-8") + "\nCHANGED = True\n", encoding="utf-8")


def written(cluster: Server) -> list[str]:
    """What was changed since the last look, in order: `PATCH deployments/api-auth`; tags as TAG, the lock left out."""
    found = []
    for method, path, content_type in cluster.requests:
        resource = re.sub(r"[0-9a-f]{16}", "TAG", "/".join(path.split("/")[-2:]))
        if "leases" not in path and not content_type.startswith("dry"):
            found.append(f"{method} {resource}")
    cluster.requests.clear()
    return found


def template(cluster: Server, kind: str, name: str, space: str = "eco2") -> Document:
    found: Document = cluster.store.objects[kind, space, name]["spec"]["template"]
    return found


def image(cluster: Server, kind: str, name: str) -> str:
    found: str = template(cluster, kind, name)["spec"]["containers"][0]["image"]
    return found


def test_after_a_deploy_nothing_is_left_to_do(eco2: Eco2, deployed: Server) -> None:
    done = eco2("deploy", *QUICK)
    assert (done.returncode, done.stdout, done.stderr) == (0, "nothing to deploy\n", "")
    plan = json.loads(eco2("plan", "--json").stdout)
    assert {entry["change"] for entry in [*plan["services"], plan["tools"]]} == {"unchanged"}
    assert plan["base"] == []


def test_only_what_changed_is_rolled_out_migrations_first(eco2: Eco2, deployed: Server, checkout: Path) -> None:
    change(checkout, "functions/waste/delete_analysis.py")
    (checkout / "functions/waste/migrations/0099_less.after.sql").write_text("SELECT 1;\n")
    before = {name: image(deployed, "Deployment", name) for name in ("api-auth", "api-waste")}
    done = eco2("deploy", *QUICK, "--service", "waste")
    assert done.returncode == 0, done.stderr
    steps = [step for step in written(deployed) if "POST" not in step]
    first, last = steps.index("PATCH jobs/migrate-waste-TAG-before"), steps.index("PATCH jobs/migrate-waste-TAG-after")
    assert first < steps.index("PATCH deployments/api-waste", first) < last
    assert steps[last + 1 :] == ["PATCH configmaps/record-api-waste"]
    assert image(deployed, "Deployment", "api-auth") == before["api-auth"]
    assert image(deployed, "Deployment", "api-waste") != before["api-waste"]


def test_a_rollout_that_fails_goes_back_with_the_pod_s_own_reason(eco2: Eco2, deployed: Server, checkout: Path) -> None:
    before = image(deployed, "Deployment", "api-auth")
    change(checkout, "functions/auth/login.py")
    change(checkout, "functions/waste/db.py")
    deployed.controllers.rules = [Rule(rf"api-auth-.*(?<!{before[-16:]})$", "pullfail")]
    done = eco2("deploy", *QUICK, "--service", "auth", "--service", "waste")
    assert done.returncode == 1
    assert f"api-auth did not become ready and was rolled back to {before[-16:]}: pod api-auth-" in done.stderr
    assert "host: ImagePullBackOff: Back-off pulling image" in done.stderr
    assert image(deployed, "Deployment", "api-auth") == before
    assert "PATCH deployments/api-waste" not in written(deployed)[-3:]
    # It stays in the plan, and comes when its reason is gone.
    deployed.controllers.rules = []
    assert "functions/auth/login.py > auth/login > api-auth" in eco2("plan").stdout


def test_migrations_that_fail_stop_before_any_pod_and_show_their_log(
    eco2: Eco2, deployed: Server, checkout: Path
) -> None:
    before = image(deployed, "Deployment", "api-auth")
    (checkout / "functions/auth/migrations/0099_broken.sql").write_text("SELECT 1;\n")
    deployed.controllers.rules = [Rule(r"^migrate-auth", "fail")]
    deployed.logs["migrate-auth"] = 'column "x" does not exist\n'
    done = eco2("deploy", *QUICK, "--service", "auth")
    assert done.returncode == 1
    assert "nothing of it was rolled out" in done.stderr
    assert 'column "x" does not exist' in done.stderr
    assert image(deployed, "Deployment", "api-auth") == before


def test_a_changed_setting_rolls_its_readers_and_no_others(eco2: Eco2, deployed: Server, checkout: Path) -> None:
    toml = checkout / "k8s/environments.toml"
    toml.write_text(toml.read_text(encoding="utf-8").replace("https://cdn.eco2.example", "https://new.example"))
    assert eco2("plan").stderr == "the plan is of manifests that are not current: run `eco2 render`\n"
    assert eco2("render").returncode == 0
    plan = eco2("plan").stdout
    assert "- data.CDN_BASE_URL: https://cdn.eco2.example\n    + data.CDN_BASE_URL: https://new.example" in plan
    assert "setting CDN_BASE_URL > api-waste" in plan
    before = deployed.store.of("Deployment", "StatefulSet")
    done = eco2("deploy", *QUICK)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^api-waste [0-9a-f]{16}: setting CDN_BASE_URL$", done.stdout, re.MULTILINE)
    rolled = {key[2] for key, found in before.items() if deployed.store.objects[key]["spec"] != found["spec"]}
    assert rolled == {"api-waste", "api-userinfo", "worker-storage", "worker-ai"}
    assert eco2("deploy").stdout == "nothing to deploy\n"


def test_a_changed_file_of_the_base_is_shown_and_rolls_what_reads_it(
    eco2: Eco2, deployed: Server, checkout: Path
) -> None:
    conf = checkout / "k8s/base/postgres/postgresql.conf"
    conf.write_text(conf.read_text(encoding="utf-8").replace("work_mem = '6MB'", "work_mem = '8MB'"))
    plan = eco2("plan").stdout
    assert "ConfigMap database/postgres-config" in plan
    assert "-work_mem = '6MB'" in plan
    assert "+work_mem = '8MB'" in plan
    assert "its pods read: postgres-config" in plan
    done = eco2("deploy", *QUICK)
    assert done.returncode == 0, done.stderr
    assert (
        "work_mem = '8MB'"
        in deployed.store.objects["ConfigMap", "database", "postgres-config"]["data"]["postgresql.conf"]
    )


def test_an_apply_by_hand_leaves_what_runs(eco2: Eco2, deployed: Server, checkout: Path) -> None:
    change(checkout, "functions/auth/login.py")
    assert eco2("deploy", *QUICK, "--service", "auth").returncode == 0
    before = {key: found["spec"]["template"] for key, found in deployed.store.of("Deployment", "StatefulSet").items()}
    words = ["kubectl", "apply", "-k", str(ROOT / "k8s/overlays/prod")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {key: deployed.store.objects[key]["spec"]["template"] for key in before} == before
    assert eco2("deploy").stdout == "nothing to deploy\n"


def test_an_apply_by_hand_where_nothing_runs_is_refused_for_what_has_no_tag(cluster: Server) -> None:
    words = ["kubectl", "apply", "-k", str(ROOT / "k8s/overlays/prod")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (
        'Deployment.apps "api-auth" is invalid: spec.template.spec.containers[0].image: Required value' in done.stderr
    )
    there = cluster.store.of("Deployment", "StatefulSet")
    assert [key for key in there if key[2].startswith(("api-", "worker-"))] == []


def test_a_changed_registry_moves_everything(eco2: Eco2, deployed: Server, checkout: Path) -> None:
    toml = checkout / "k8s/environments.toml"
    toml.write_text(toml.read_text(encoding="utf-8").replace('"registry.eco2.example/eco2"', '"other.example/eco2"'))
    assert eco2("render").returncode == 0
    plan = json.loads(eco2("plan", "--json").stdout)
    assert {entry["change"] for entry in plan["services"]} == {"changed"}
    done = eco2("deploy", *QUICK, "--service", "auth")  # a job of the same name and another image is made anew
    assert done.returncode == 0, done.stderr
    assert image(deployed, "Deployment", "api-auth").startswith("other.example/eco2/api-auth:")


def test_what_can_not_be_changed_in_place_is_said_before_anything_is_done(
    eco2: Eco2, deployed: Server, checkout: Path
) -> None:
    file = checkout / "k8s/base/postgres/postgres.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("storage: 100Gi", "storage: 200Gi"))
    done = eco2("deploy", *QUICK)
    assert done.returncode == 1
    assert "StatefulSet database/k8s-postgresql" in done.stderr
    assert "updates to statefulset spec for fields other than" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not [step for step in written(deployed) if "record" in step]


def test_a_missing_image_is_found_before_any_pod_needs_it(
    eco2: Eco2, deployed: Server, checkout: Path, tmp_path: Path
) -> None:
    change(checkout, "functions/auth/login.py")
    program = tmp_path / "bin/skopeo"
    program.write_text("#!/bin/sh\necho 'manifest unknown' >&2\nexit 1\n")
    program.chmod(0o755)
    done = eco2("deploy", *QUICK)
    assert done.returncode == 1
    assert re.search(
        r"the registry does not have registry\.eco2\.example/eco2/api-auth:[0-9a-f]{16}: eco2 build", done.stderr
    )


def test_what_is_transient_is_tried_again(eco2: Eco2, deployed: Server) -> None:
    left = [2]

    def busy(method: str, path: str) -> tuple[int, str] | None:
        if path.endswith("/deployments") and left[0]:
            left[0] -= 1
            return 503, "the server is currently unable to handle the request"
        return None

    deployed.answers_instead = busy
    done = eco2("plan")
    assert done.returncode == 0, done.stderr
    assert left == [0]


@pytest.mark.parametrize("command", ["plan", "deploy"])
def test_a_cluster_that_refuses_is_said_in_a_line(eco2: Eco2, cluster: Server, command: str) -> None:
    cluster.answers_instead = lambda method, path: (401, "Unauthorized")
    done = eco2(command)
    assert done.returncode == 1
    assert re.fullmatch(rf"eco2 {command}: kubectl .*\n", done.stderr)


def test_without_secrets_nothing_is_begun(eco2: Eco2, cluster: Server) -> None:
    done = eco2("deploy")
    assert done.returncode == 1
    assert "the cluster lacks the Secrets database/postgres-superuser" in done.stderr
    assert "eco2 secrets init" in done.stderr
    assert cluster.store.of("Deployment") == {}


def test_what_somebody_did_to_a_record_is_made_good(eco2: Eco2, deployed: Server) -> None:
    deployed.store.lose(("ConfigMap", "eco2", "record-api-auth"))
    assert "has not been finished > api-auth" in eco2("plan").stdout
    assert eco2("deploy", *QUICK).returncode == 0
    assert eco2("deploy").stdout == "nothing to deploy\n"


def test_what_another_wrote_becomes_as_it_is_here_and_the_plan_says_so(cluster: Server) -> None:
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "eco2"}}
    wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "some", "namespace": "eco2"}}
    wanted |= {"data": {"LIMIT": "1"}}
    ours = Cluster()
    ours.apply([space, wanted])
    ours.run(
        "patch", "configmap", "some", "--namespace", "eco2", "--type", "merge", "--patch", '{"data":{"LIMIT":"2"}}'
    )
    assert ours.live([wanted])[0]["data"] == {"LIMIT": "2"}
    assert ours.would_be([wanted])[0]["data"] == {"LIMIT": "1"}
    ours.apply([wanted])
    assert ours.live([wanted])[0]["data"] == {"LIMIT": "1"}


def test_a_dry_run_touches_nothing(eco2: Eco2, deployed: Server, checkout: Path) -> None:
    change(checkout, "functions/auth/login.py")
    before = deployed.store.version
    done = eco2("deploy", "--dry-run")
    assert done.returncode == 0
    assert "functions/auth/login.py > auth/login > api-auth" in done.stdout
    assert deployed.store.version == before


def test_manifests_that_are_not_current_are_not_deployed(eco2: Eco2, deployed: Server, checkout: Path) -> None:
    toml = checkout / "functions/auth/service.toml"
    toml.write_text(toml.read_text(encoding="utf-8").replace('cpu = "250m"', 'cpu = "260m"'), encoding="utf-8")
    done = eco2("deploy")
    assert done.returncode == 1
    assert "run `eco2 render`" in done.stderr


def test_every_object_of_ours_has_its_own_namespace(overlay: list[Document]) -> None:
    """kubectl is told no namespace for all: the real one refuses objects of another."""
    everywhere = {"Namespace", "StorageClass", "PriorityClass", "ClusterRole", "ClusterRoleBinding"}
    for found in overlay:
        assert ("namespace" in found["metadata"]) == (found["kind"] not in everywhere), found["metadata"]["name"]
