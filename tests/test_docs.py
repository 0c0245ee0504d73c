"""The documents name what exists, and what exists is named."""

import re
from pathlib import Path

import pytest

from emulator.screen import TOUR
from runtime.cli import COMMANDS, GROUPS
from runtime.services import ROOT, load_services
from shared.settings import Settings

DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "k8s" / "RUNBOOK.md"]
FOLDERS = ("functions/", "shared/", "runtime/", "emulator/", "k8s/", "tests/", "docs/", ".ci/", ".github/", "locks/")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_file_that_a_document_names_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w./-]+)`", text)) | set(re.findall(r"\]\(([\w./-]+\.md)\)", text))
    missing = []
    for word in named:
        if not word.startswith(FOLDERS):
            continue
        # Examples of files that somebody is about to write.
        if any(part in word for part in ("rename_analysis", "weather", "functions/x")):
            continue
        if not (ROOT / word).exists():
            missing.append(word)
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_command_that_a_document_names_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    unknown = set(re.findall(r"`eco2 ([a-z]+)", text)) - set(COMMANDS) - {"help"}
    assert unknown == set()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    assert set(re.findall(r"`make ([a-z][a-z-]*)", text)) - targets == set()


def test_every_command_and_setting_is_named() -> None:
    reference = (ROOT / "docs" / "REFERENCE.md").read_text(encoding="utf-8")
    assert [command for command in COMMANDS if f"`eco2 {command}`" not in reference] == []
    settings = {field.upper() for field in Settings.__struct_fields__} - {"SERVICE", "DATABASE_URL"}
    assert [setting for setting in sorted(settings) if f"`{setting}`" not in reference] == []


def test_every_command_stands_in_one_group_and_its_module_exists() -> None:
    grouped = [command for names in GROUPS.values() for command in names]
    assert sorted(grouped) == sorted(COMMANDS)
    for module, _ in COMMANDS.values():
        assert (ROOT / (module.replace(".", "/") + ".py")).exists() or (ROOT / module.replace(".", "/")).is_dir(), (
            module
        )


def test_the_tour_is_the_one_that_eco2_up_prints() -> None:
    tour = (ROOT / "docs" / "TOUR.md").read_text(encoding="utf-8")
    shown = [line[2:] for line in tour.splitlines() if line.startswith(("$ ", "> "))]
    printed = (
        TOUR.replace("GATEWAY", "http://127.0.0.1:8000")
        .replace("PHOTO", "…/skimage/data/coffee.png")
        .replace("KIND", "image/png")
    )
    assert shown == [line[4:] for line in printed.splitlines()[2:]]


def test_the_readme_shows_a_whole_function_and_fits_on_two_screens() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    file = re.search(r"That is the whole of `(functions/[\w/]+\.py)`", text)
    assert file
    code = (ROOT / file[1]).read_text(encoding="utf-8").strip()
    assert f"```python\n{code}\n```" in text
    assert text.index("```python") < len("\n".join(text.splitlines()[:30]))
    assert len(text.splitlines()) < 100
    assert (ROOT / "docs" / "dashboard.png").stat().st_size <= 200_000


def test_every_document_is_linked_from_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    linked = {(ROOT / "docs" / target).resolve() for target in re.findall(r"\]\(([^)]+\.md)\)", index)}
    assert [
        name(path) for path in DOCUMENTS if path.resolve() not in linked | {ROOT / "README.md", ROOT / "docs/README.md"}
    ] == []
    assert all(path.exists() for path in linked)


def test_every_error_in_troubleshooting_is_said_somewhere() -> None:
    """Of a message in the first column, what is between its gaps (`…`) is in the source."""
    folders = ("functions", "shared", "runtime", "emulator", "k8s", "tests")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".sh")]
    said = "\n".join(path.read_text(encoding="utf-8") for path in [*files, ROOT / "Makefile"])
    text = (ROOT / "docs" / "TROUBLESHOOTING.md").read_text(encoding="utf-8")
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("|")]
    parts = [part.strip(" :") for cell in cells for word in re.findall(r"`([^`]+)`", cell) for part in word.split("…")]
    assert [part for part in parts if part not in said] == []


def test_what_a_stranger_looks_for_is_one_or_two_files_away() -> None:
    text = (
        (ROOT / "CONTRIBUTING.md")
        .read_text(encoding="utf-8")
        .partition("## Where a thing is done")[2]
        .partition("## ")[0]
    )
    rows = [line.split("|")[2:4] for line in text.splitlines() if line.startswith("| ") and "`" in line]
    assert len(rows) >= 10
    for files, words in rows:
        named = re.findall(r"`([^`]+)`", files)
        assert 1 <= len(named) <= 2
        found = "".join((ROOT / file).read_text(encoding="utf-8") for file in named)
        assert all(word in found for word in re.findall(r"`([^`]+)`", words)), files


def test_every_service_stands_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [service.name for service in load_services().values() if service.name not in text] == []
