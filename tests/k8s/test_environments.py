"""environments.toml: what a cluster has to say, what it need not, and what is wrong in it in a line"""

from pathlib import Path

import pytest

from k8s.programs.environments import Environment, UnknownEnvironment, environment, environments

NEEDED = {
    "registry": "far.test/eco2",
    "domain": "eco2.test",
    "certificate_arn": "arn",
    "region": "here",
    "bucket": "photos",
    "backup_bucket": "copies",
    "cdn_base_url": "https://cdn.test",
}


def written(tmp_path: Path, *lines: str, without: str = "") -> Path:
    folder = tmp_path / "k8s/components/logs"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kustomization.yaml").touch()
    (tmp_path / "k8s/components/empty").mkdir(exist_ok=True)
    texts = ["[prod]", *(f'{name} = "{value}"' for name, value in NEEDED.items() if name != without)]
    texts += [] if without == "load_balancer_cidrs" else ['load_balancer_cidrs = ["10.0.0.0/8"]']
    (tmp_path / "k8s/environments.toml").write_text("\n".join([*texts, *lines]))
    return tmp_path


def test_what_a_cluster_does_not_say_is_a_large_one_s_on_aws(tmp_path: Path) -> None:
    found = environment("prod", written(tmp_path))
    assert found == Environment(**NEEDED, load_balancer_cidrs=["10.0.0.0/8"])
    assert (found.s3_endpoint_url, found.openai_base_url, found.context, found.small) == ("", "", "", False)
    assert (found.settings, found.components, found.backup_days) == ({}, [], 30)
    assert found.image("api-auth", "1") == "far.test/eco2/api-auth:1"


def test_components_are_those_that_have_a_kustomization(tmp_path: Path) -> None:
    assert environment("prod", written(tmp_path, 'components = ["logs"]')).components == ["logs"]


@pytest.mark.parametrize(
    ("lines", "without", "says"),
    [
        *((["small = "], "", "Invalid value"), (["small = 1"], "", "Expected `bool`"), (["smal = true"], "", "unknown field")),
        *(([], name, f"missing required field `{name}`") for name in (*NEEDED, "load_balancer_cidrs")),
        (['components = ["log"]'], "", "prod: there is no component log: did you mean logs"),
        (['components = ["logs", "empty"]'], "", "prod: there is no component empty"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_file_is_told_in_a_line(tmp_path: Path, lines: list[str], without: str, says: str) -> None:
    with pytest.raises(UnknownEnvironment) as told:
        environments(written(tmp_path, *lines, without=without))
    assert str(told.value).startswith("k8s/environments.toml: ")
    assert says in str(told.value)


def test_one_that_there_is_not_is_told_with_what_may_be_meant(tmp_path: Path) -> None:
    with pytest.raises(UnknownEnvironment, match=r"^k8s/environments.toml has no environment prd.*prod"):
        environment("prd", written(tmp_path))
