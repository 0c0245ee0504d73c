"""Server-side apply and strategic merge: who owns which field, who may change it, what becomes of one that is left out."""

import copy
import json
from typing import Any

from tests.k8s.api.kinds import ATOMIC, LIST_KEYS, PATCH_KEYS, Document, list_keys

Path = tuple[str, ...]


class Failed(Exception):
    """The `test` of a JSON patch did not hold."""


class Conflict(Exception):
    """Fields that another manager owns have other values there."""

    def __init__(self, owners: list[tuple[str, str]]) -> None:
        self.owners = sorted(owners)  # (manager, field)


def item_key(item: Any, keys: tuple[str, ...]) -> str:
    found = {key: item.get(key, "TCP" if key == "protocol" else None) for key in keys}
    return "k:" + json.dumps(found, separators=(",", ":"), sort_keys=True)


def leaves(node: Any, path: Path = ()) -> dict[Path, Any]:
    """Every field that has a value of its own."""
    plain = tuple(step for step in path if not step.startswith("k:"))
    if isinstance(node, dict) and node and (not path or path[-1] not in ATOMIC):
        found: dict[Path, Any] = {}
        for key, value in node.items():
            found |= leaves(value, (*path, key))
        return found
    if isinstance(node, list) and (keys := list_keys(plain, LIST_KEYS)) and all(isinstance(i, dict) for i in node):
        found = {}
        for item in node:
            found |= leaves(item, (*path, item_key(item, keys)))
        return found
    return {path: node}


def merge(live: Any, config: Any, path: Path = ()) -> Any:
    """The live value with the applied one over it."""
    if isinstance(live, dict) and isinstance(config, dict) and (not path or path[-1] not in ATOMIC):
        found = dict(live)
        for key, value in config.items():
            found[key] = merge(live[key], value, (*path, key)) if key in live else copy.deepcopy(value)
        return found
    keys = list_keys(path, LIST_KEYS) if isinstance(config, list) else None
    if keys and isinstance(live, list):
        by_key = {item_key(item, keys): item for item in live}
        order = [item_key(item, keys) for item in config]
        for item in config:
            key = item_key(item, keys)
            by_key[key] = merge(by_key[key], item, path) if key in by_key else copy.deepcopy(item)
        return [by_key[key] for key in [*order, *(key for key in by_key if key not in order)]]
    return copy.deepcopy(config)


def remove(node: Any, path: Path) -> None:
    """Take a field out, and what becomes empty by it."""
    if len(path) == 1:
        if isinstance(node, dict):
            node.pop(path[0], None)
        return
    step, rest = path[0], path[1:]
    child = node.get(step) if isinstance(node, dict) else None
    if child is None:
        return
    if rest[0].startswith("k:") and isinstance(child, list):
        keys = tuple(json.loads(rest[0][2:]))
        for item in list(child):
            if item_key(item, keys) == rest[0]:
                if len(rest) > 1:
                    remove(item, rest[1:])
                if len(rest) == 1 or set(item) <= set(keys):
                    child.remove(item)
        if not child:
            node.pop(step)
        return
    remove(child, rest)
    if child in ({}, []):
        node.pop(step)


def to_fields(paths: set[Path]) -> Document:
    """Paths as `fieldsV1`."""
    found: Document = {}
    for path in sorted(paths):
        at = found
        for step in path:
            key = step if step.startswith("k:") else f"f:{step}"
            at = at.setdefault(key, {})
            if step.startswith("k:"):
                at.setdefault(".", {})
    return found


def from_fields(fields: Document, path: Path = ()) -> set[Path]:
    """The paths of a `fieldsV1`."""
    found: set[Path] = set()
    for key, below in fields.items():
        if key != ".":
            found |= from_fields(below, (*path, key.removeprefix("f:")))
    return found or ({path} if path else set())


def owned(live: Document) -> dict[tuple[str, str], set[Path]]:
    """(manager, operation) to the fields it owns."""
    return {
        (entry["manager"], entry["operation"]): from_fields(entry["fieldsV1"])
        for entry in live["metadata"].get("managedFields", [])
    }


def config_leaves(config: Document) -> dict[Path, Any]:
    """What an applied object says of itself: not its kind, name and place."""
    own = {
        "name",
        "namespace",
        "resourceVersion",
        "uid",
        "creationTimestamp",
        "managedFields",
        "generation",
        "selfLink",
    }
    metadata = {key: value for key, value in config["metadata"].items() if key not in own}
    rest = {key: value for key, value in config.items() if key not in ("apiVersion", "kind", "metadata", "status")}
    return {
        path: value for path, value in leaves({**rest, **({"metadata": metadata} if metadata else {})}).items() if path
    }


def apply(
    live: Document | None, config: Document, manager: str, *, force: bool
) -> tuple[Document, dict[Any, set[Path]]]:
    """The object after an apply, and its owners.

    Raises:
        Conflict: without `force`, and another owns a field that would change.
    """
    wanted = config_leaves(config)
    if live is None:
        return copy.deepcopy(config), {(manager, "Apply"): set(wanted)}
    owners = owned(live)
    there = config_leaves(live)
    changed = {path for path, value in wanted.items() if path in there and there[path] != value}
    clash = [
        (who, _shown(path))
        for (who, how), paths in owners.items()
        if (who, how) != (manager, "Apply")
        for path in paths & changed
    ]
    if clash and not force:
        raise Conflict(clash)
    mine = owners.get((manager, "Apply"), set())
    others = {key: paths - changed for key, paths in owners.items() if key != (manager, "Apply")}
    result: Document = merge(live, config)
    for path in mine - set(wanted):
        # A map that was applied empty is not left out by one that has a key now.
        within = any(field[: len(path)] == path for field in wanted)
        if not within and not any(path in paths for paths in others.values()):
            remove(result, path)
    return result, {**{key: paths for key, paths in others.items() if paths}, (manager, "Apply"): set(wanted)}


def after_update(live: Document | None, new: Document, manager: str) -> dict[Any, set[Path]]:
    """The owners after a change that is not an apply."""
    before = config_leaves(live) if live else {}
    after = config_leaves(new)
    changed = {path for path, value in after.items() if before.get(path, before) != value}
    owners = owned(live) if live else {}
    found = {key: (paths - changed) & set(after) for key, paths in owners.items()}
    if not manager:  # what goes through `/scale` belongs to no one
        return {key: paths for key, paths in found.items() if paths}
    key = (manager, "Update")
    found[key] = found.get(key, set()) | changed
    return {key: paths for key, paths in found.items() if paths}


def _shown(path: Path) -> str:
    text = ""
    for step in path:
        if step.startswith("k:"):
            keys = json.loads(step[2:])
            text += "[" + ",".join(f"{key}={json.dumps(value)}" for key, value in keys.items()) + "]"
        else:
            text += f".{step}"
    return text


def strategic(live: Any, patch: Any, path: Path = ()) -> Any:
    """A strategic merge patch, as kubectl sends it for kinds that it knows."""
    if isinstance(patch, dict):
        if patch.get("$patch") == "replace":
            return {key: value for key, value in patch.items() if key != "$patch"}
        found = dict(live) if isinstance(live, dict) else {}
        if retained := patch.get("$retainKeys"):
            found = {key: value for key, value in found.items() if key in retained}
        for key, value in patch.items():
            if key.startswith("$"):
                continue
            if value is None:
                found.pop(key, None)
            else:
                found[key] = strategic(found.get(key), value, (*path, key))
        return found
    keys = list_keys(path, PATCH_KEYS) if isinstance(patch, list) else None
    if keys and isinstance(live, list):
        items = list(live)
        for item in patch:
            same = [place for place, old in enumerate(items) if all(old.get(k) == item.get(k) for k in keys)]
            if item.get("$patch") == "delete":
                items = [old for place, old in enumerate(items) if place not in same]
            elif same:
                items[same[0]] = strategic(items[same[0]], item, path)
            else:
                items.append(strategic({}, item, path))
        return items
    return copy.deepcopy(patch)


def merge_patch(live: Any, patch: Any) -> Any:
    """A JSON merge patch."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    found = dict(live) if isinstance(live, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merge_patch(found.get(key), value)
    return found


def json_patch(live: Document, operations: list[Document]) -> Document:
    """A JSON patch: what kubectl sends to undo a rollout."""
    found = copy.deepcopy(live)
    for operation in operations:
        *steps, last = [s.replace("~1", "/").replace("~0", "~") for s in operation["path"].strip("/").split("/")]
        at = found
        for step in steps:
            at = at[step]
        if operation["op"] == "remove":
            at.pop(last, None)
        elif operation["op"] == "test":
            if at.get(last) != operation["value"]:
                raise Failed
        else:
            at[last] = operation["value"]
    return found
