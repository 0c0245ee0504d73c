"""Spectral finds nothing to say of the OpenAPI documents, by its own rules and by ours (`spectral/rules.yaml`)."""

import copy
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.contract import client

HERE = Path(__file__).parent / "spectral"


@pytest.fixture(scope="module")
def found(document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The findings of Spectral in the document and in one that breaks our rules, as `rule: path`; it starts once for both."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Spectral needs Node.js and npm")
    if not (HERE / "node_modules" / ".bin" / "spectral").exists():
        command = ["npm", "ci", "--prefix", str(HERE), "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(command, check=True, timeout=300)

    files = {name: tmp_path_factory.mktemp("lint") / f"{name}.json" for name in ("ours", "broken")}
    files["ours"].write_text(json.dumps(document))
    files["broken"].write_text(json.dumps(broken(document)))
    done = subprocess.run(
        [
            *("node", str(HERE / "node_modules" / ".bin" / "spectral"), "lint", *map(str, files.values())),
            *("--ruleset", str(HERE / "rules.yaml"), "--fail-severity", "hint", "--format", "json", "--quiet"),
        ],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode in (0, 1), done.stderr
    said: dict[str, set[str]] = {name: set() for name in files}
    for one in json.loads(done.stdout):
        said[Path(one["source"]).stem].add(f"{one['code']}: {'.'.join(map(str, one['path']))}")
    return said


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return client.document()


def broken(document: dict[str, Any]) -> dict[str, Any]:
    """A copy in which each of our rules has something to find."""
    found = copy.deepcopy(document)
    schemas, paths = found["components"]["schemas"], found["paths"]
    del schemas["Person"]["description"]
    person = schemas["Person"]["properties"]
    del person["username"]["description"]
    person["created_at"] = {"description": "When.", "type": "string"}
    person["kind"] = {"description": "What.", "type": "string", "enum": ["a", "b"]}
    person["count"] = {"description": "How many.", "type": "integer"}
    person["things"] = {"description": "Which.", "type": "array"}
    items = paths["/api/v1/recycle/items"]["get"]
    (cursor,) = [one for one in items["parameters"] if one["name"] == "cursor"]
    del cursor["schema"]["pattern"], cursor["description"], items["summary"], items["description"]
    items["responses"]["200"]["description"] = "Request fulfilled, document follows"
    items["responses"]["400"]["content"] = {"application/json": {"schema": {"type": "object"}}}
    return found


def test_there_is_nothing_to_say_of_the_documents(found: dict[str, set[str]]) -> None:
    assert found["ours"] == set()


def test_what_breaks_a_rule_is_found(found: dict[str, set[str]]) -> None:
    rules = {finding.partition(":")[0] for finding in found["broken"]}
    assert rules >= {
        *("schemas-are-described", "properties-are-described", "parameters-are-described", "operation-description"),
        *("operations-have-a-summary", "answers-are-described-in-our-words", "enums-are-named", "integers-are-bounded"),
        *("lists-say-of-what", "times-have-a-format", "cursors-have-a-pattern", "errors-are-problems"),
    }


def test_each_enum_is_written_once(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    enums = [tuple(schema["enum"]) for schema in schemas.values() if "enum" in schema]
    assert len(enums) > 5
    assert len(enums) == len(set(enums))
    assert json.dumps(document).count('"enum"') == len(enums)
