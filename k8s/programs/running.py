"""What runs: asked of the cluster, or read from a file."""

import base64
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from k8s.programs.cluster import Cluster
from k8s.programs.images import TOOLS, Record
from k8s.programs.manifests import DATABASE_NAMESPACE, MONITORING_NAMESPACE, NAMESPACE
from runtime.services import ROOT

# Records of so many tags are kept, so that a bare tag can be explained.
_REMEMBERED = 200


class NotARecord(Exception):
    """A file does not say what runs: the message says what it should hold."""


def read_running(file: Path) -> dict[str, Record]:
    """Records from a file: `{"api-auth": "<tag>"}`, `{"api-auth": {record}}` or an earlier `eco2 plan --json`.

    Raises:
        NotARecord: it is none of these.
    """
    try:
        found = msgspec.json.decode(file.read_bytes())
        if isinstance(found, dict) and isinstance(found.get("services"), list):
            entries = [*found["services"], *([found["tools"]] if found.get("tools") else [])]
            found = {entry["service"]: entry.get("record") or entry["tag"] for entry in entries}
        return {
            name: recall(value) if isinstance(value, str) else msgspec.convert(value, Record)
            for name, value in found.items()
            if value
        }
    except OSError as error:
        raise NotARecord(f"{file}: {error.strerror}") from None
    except (msgspec.DecodeError, msgspec.ValidationError, AttributeError, KeyError, TypeError) as error:
        raise NotARecord(
            f'{file} should hold {{"api-auth": "<tag>", ...}} or the output of eco2 plan --json: {error}'
        ) from None


def ask_cluster(cluster: Cluster) -> dict[str, Record]:
    """Records of what runs in the cluster.

    Raises:
        ClusterError: the cluster does not answer, or kubectl is not installed.
    """
    finished = {}
    for item in cluster.select("configmaps", NAMESPACE, "eco2/record"):
        finished[item["metadata"]["labels"]["eco2/record"]] = msgspec.json.decode(
            item["data"]["record.json"], type=Record
        )
    # The tools run now and then, as jobs: what was deployed last is what the next one runs.
    found = {name: record for name, record in finished.items() if name == TOOLS}
    for item in cluster.select("deployments,statefulsets", NAMESPACE, "eco2/service"):
        name = item["metadata"]["labels"]["eco2/service"]
        if item["metadata"]["name"] != name:
            continue
        image, _, tag = item["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")
        record = finished.get(name) or Record("")
        if record.tag != tag:
            # A deploy leaves its record when all is done: this one was interrupted, or somebody else changed the image.
            record = msgspec.structs.replace(recall(tag), finished=False, before=record.tag)
        found[name] = msgspec.structs.replace(record, registry=image.rpartition("/")[0])
    return found


def ask_secrets(cluster: Cluster) -> dict[tuple[str, str], dict[str, str]]:
    """The cluster's Secrets of our namespaces: namespace and name to keys and values.

    Raises:
        ClusterError: the cluster does not answer.
    """
    return {
        (space, found["metadata"]["name"]): {
            key: base64.b64decode(value).decode("utf-8", "replace") for key, value in (found.get("data") or {}).items()
        }
        for space in (NAMESPACE, DATABASE_NAMESPACE, MONITORING_NAMESPACE)
        for found in cluster.select("secrets", space)
    }


def _memory(root: Path = ROOT) -> Path:
    return Path(os.environ.get("ECO2_STATE") or root / ".eco2") / "plans"


def remember(records: Iterable[Record]) -> None:
    """Keep records by their tags, so that a later plan against a bare tag can say what changed."""
    folder = _memory()
    folder.mkdir(parents=True, exist_ok=True)
    for record in records:
        file = folder / f"{record.tag}.json"
        if not file.exists():
            file.write_bytes(msgspec.json.encode(record))
    for file in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)[:-_REMEMBERED]:
        file.unlink(missing_ok=True)


def recall(tag: str) -> Record:
    """The record of a tag, or one that knows no more than the tag."""
    file = _memory() / f"{Path(tag).name}.json"
    if not file.is_file():
        return Record(tag)
    # The manifests are not a part of the tag: what was seen beside it says nothing about what runs.
    return msgspec.structs.replace(msgspec.json.decode(file.read_bytes(), type=Record), manifest="")
