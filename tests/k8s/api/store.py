"""The objects of the test's cluster, and the API server's rules about them: what it refuses, and in which words."""

import base64
import copy
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.k8s.api import admission, fields, rules
from tests.k8s.api.kinds import BY_PLURAL, KINDS, Document, Kind, add_defaults


class Refused(Exception):
    """A request that the API server does not do, as it answers it."""

    def __init__(self, code: int, reason: str, message: str, causes: list[Document] | None = None) -> None:
        super().__init__(message)
        self.code, self.reason, self.message, self.causes = code, reason, message, causes


Key = tuple[str, str, str]  # kind, namespace, name
_ANSWERED_WHOLE = ("Pod", "Service", "ServiceAccount", "PersistentVolumeClaim", "Namespace")
_OF_CONFIG_MAP = {"apiVersion", "kind", "metadata", "data", "binaryData", "immutable"}
BY_KIND = {kind.kind: kind for kind in KINDS}


class Store:
    """Every method holds the lock; `changed` is told after each change, outside of it.

    The controllers look at `objects` all the while: who goes through it or takes from it without the lock ends them, or is ended.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.objects: dict[Key, Document] = {}
        self.version = 100
        self.events: list[tuple[int, str, Document]] = []
        self.news = threading.Condition(self.lock)
        self.changed: Callable[[], None] = lambda: None
        for name in ("default", "kube-system"):
            self.create(BY_KIND["Namespace"], "", {"metadata": {"name": name}}, "system")

    # Reading

    def get(self, kind: Kind, space: str, name: str) -> Document:
        with self.lock:
            found = self.objects.get((kind.kind, space, name))
            if found is None:
                raise Refused(404, "NotFound", f'{kind.full} "{name}" not found')
            return copy.deepcopy(found)

    def select(self, kind: Kind, space: str, labels: str = "", field: str = "") -> list[Document]:
        with self.lock:
            found = [o for (k, s, _), o in sorted(self.objects.items()) if k == kind.kind and space in ("", s)]
            return [copy.deepcopy(o) for o in found if matches_labels(o, labels) and matches_fields(o, field)]

    def of(self, *kinds: str) -> dict[Key, Document]:
        """All objects of some kinds, as they are at one moment."""
        with self.lock:
            return {key: found for key, found in self.objects.items() if key[0] in kinds}

    # Changing

    def create(self, kind: Kind, space: str, body: Document, manager: str, *, dry: bool = False) -> Document:
        with self.lock:
            self._check_place(kind, space, body)
            self._check_alive(kind, space, body)
            name = body["metadata"].setdefault("name", f"{body['metadata'].get('generateName', '')}{self.version:05d}")
            if body["metadata"].get("resourceVersion"):
                raise Refused(500, "", "resourceVersion should not be set on objects to be created")
            if there := self.objects.get((kind.kind, space, name)):
                going = "object is being deleted: " if "deletionTimestamp" in there["metadata"] else ""
                raise Refused(409, "AlreadyExists", f'{going}{kind.full} "{name}" already exists')
            if kind.kind == "Pod" and (text := admission.refusal(body, self.objects)):
                raise Refused(403, "Forbidden", f'pods "{name}" is forbidden: {text}')
            owners = fields.after_update(None, self._typed(kind, body), manager)
            return self._put(kind, space, None, body, owners, dry=dry)

    def replace(
        self, kind: Kind, space: str, name: str, body: Document, manager: str, *, dry: bool = False
    ) -> Document:
        with self.lock:
            self._check_place(kind, space, body, name)
            live = self.get(kind, space, name)
            self._check_version(kind, live, body)
            body.setdefault("status", live.get("status")) if "status" in live else None
            return self._put(kind, space, live, body, fields.after_update(live, body, manager), dry=dry)

    def patch(
        self,
        kind: Kind,
        space: str,
        name: str,
        change: Callable[[Document], Document],
        manager: str,
        *,
        dry: bool = False,
    ) -> Document:
        with self.lock:
            live = self.get(kind, space, name)
            body = change(live)
            self._check_version(kind, live, body)
            self._check_finalizers(kind, live, body)
            found = self._put(kind, space, live, body, fields.after_update(live, body, manager), dry=dry)
            if "deletionTimestamp" in found["metadata"] and not _held(found) and not dry:
                self._drop((kind.kind, space, name))
            return found

    def apply(
        self, kind: Kind, space: str, name: str, body: Document, manager: str, *, force: bool, dry: bool = False
    ) -> tuple[Document, bool]:
        """Server-side apply; and whether the object is new."""
        with self.lock:
            if body["metadata"].get("managedFields"):
                raise Refused(400, "BadRequest", "metadata.managedFields must be nil")
            self._check_place(kind, space, body, name)
            live = self.objects.get((kind.kind, space, name))
            body = self._typed(kind, body)
            if live is not None:
                self._check_version(kind, live, body)
            try:
                result, owners = fields.apply(copy.deepcopy(live) if live else None, body, manager, force=force)
            except fields.Conflict as clash:
                who = clash.owners[0][0]
                how = next(how for (name_, how) in fields.owned(live or {}) if name_ == who)
                using = f" using {kind.version}" if how == "Update" else ""
                listed = ", ".join(field for _, field in clash.owners)
                count = f"{len(clash.owners)} conflict" + ("s" if len(clash.owners) > 1 else "")
                raise Refused(
                    409, "Conflict", f'Apply failed with {count}: conflict with "{who}"{using}: {listed}'
                ) from None
            return self._put(kind, space, live, result, owners, dry=dry), live is None

    def delete(self, kind: Kind, space: str, name: str, options: Document | None = None) -> Document:
        with self.lock:
            live = self.get(kind, space, name)
            given = (options or {}).get("preconditions", {})
            for key, word, rest in (
                ("uid", "UID", "deleted and then recreated"),
                ("resourceVersion", "ResourceVersion", "modified"),
            ):
                is_, was = live["metadata"][key], given.get(key)
                if was not in (None, is_):
                    text = f"the {word} in the precondition ({was}) does not match the {word} in record ({is_})"
                    text = f'on {kind.kind} "{name}": {text}. The object might have been {rest}'
                    raise Refused(409, "Conflict", f"Operation cannot be fulfilled {text}")
            propagation = (options or {}).get("propagationPolicy", "")
            if propagation == "Foreground":
                live["metadata"].setdefault("finalizers", []).append("foregroundDeletion")
            if _held(live):
                live["metadata"].setdefault("deletionTimestamp", now())
                live["metadata"].setdefault("deletionGracePeriodSeconds", 0)
                return self._keep((kind.kind, space, name), live, "MODIFIED")
            gone = self._drop((kind.kind, space, name))
            # A pod has its grace, and some kinds are answered as they were; of the others only their end is told.
            return gone if kind.kind in _ANSWERED_WHOLE else _ended(kind, gone)

    def lose(self, key: Key) -> None:
        """It is not there, and nobody was told: as after somebody's work on the cluster's own store."""
        with self.lock:
            self.objects.pop(key, None)

    def set_status(self, key: Key, status: Document) -> None:
        """What a controller writes."""
        with self.lock:
            live = self.objects.get(key)
            if live is not None and live.get("status") != status:
                self._keep(key, {**live, "status": status}, "MODIFIED")

    def bind(self, key: Key, node: str) -> None:
        """What the scheduler writes."""
        with self.lock:
            live = copy.deepcopy(self.objects[key])
            live["spec"]["nodeName"] = node
            self._keep(key, live, "MODIFIED")

    def finish(self, key: Key, finalizer: str) -> None:
        """A controller's work on a deletion is done."""
        with self.lock:
            live = copy.deepcopy(self.objects[key])
            live["metadata"]["finalizers"] = [f for f in live["metadata"].get("finalizers", []) if f != finalizer]
            if live["metadata"]["finalizers"]:
                self._keep(key, live, "MODIFIED")
            else:
                self._drop(key)

    # Rules

    def _check_place(self, kind: Kind, space: str, body: Document, name: str = "") -> None:
        metadata = body.setdefault("metadata", {})
        if kind.namespaced:
            if metadata.setdefault("namespace", space) != space:
                text = "the namespace of the provided object does not match the namespace sent on the request"
                raise Refused(400, "BadRequest", text)
            if ("Namespace", "", space) not in self.objects:
                raise Refused(404, "NotFound", f'namespaces "{space}" not found')
        if name and metadata.setdefault("name", name) != name:
            text = f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})"
            raise Refused(400, "BadRequest", text)

    def _check_alive(self, kind: Kind, space: str, body: Document) -> None:
        home = self.objects.get(("Namespace", "", space), {"metadata": {}})
        if kind.namespaced and "deletionTimestamp" in home["metadata"]:
            text = f"unable to create new content in namespace {space} because it is being terminated"
            raise Refused(403, "Forbidden", f'{kind.full} "{body["metadata"].get("name")}" is forbidden: {text}')

    def _check_finalizers(self, kind: Kind, live: Document, body: Document) -> None:
        new = [f for f in body["metadata"].get("finalizers") or [] if f not in live["metadata"].get("finalizers", [])]
        if new and "deletionTimestamp" in live["metadata"]:
            listed = ", ".join(json.dumps(finalizer) for finalizer in new)
            text = "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers"
            text = f"metadata.finalizers: {text} []string{{{listed}}}"
            raise Refused(422, "Invalid", f'{kind.full_kind} "{live["metadata"]["name"]}" is invalid: {text}')

    def _check_version(self, kind: Kind, live: Document, body: Document) -> None:
        version = body["metadata"].get("resourceVersion", "")
        if version not in ("", live["metadata"]["resourceVersion"]):
            raise Refused(
                409,
                "Conflict",
                f'Operation cannot be fulfilled on {kind.full} "{live["metadata"]["name"]}": the object has been modified;'
                " please apply your changes to the latest version and try again",
            )

    def _typed(self, kind: Kind, body: Document) -> Document:
        body = {**body, "apiVersion": kind.version, "kind": kind.kind}
        found = [f".{name}: field not declared in schema" for name in unknown_fields(kind, body)]
        found += [
            f".data.{name}: expected string, got &value.valueUnstructured{{Value:{value}}}"
            for name, value in (body.get("data") or {}).items()
            if kind.kind == "ConfigMap" and not isinstance(value, str)
        ]
        if found:
            where = f"{body['metadata'].get('namespace')}/{body['metadata'].get('name')}; /v1, Kind={kind.kind}"
            raise Refused(500, "", f"failed to create typed patch object ({where}): {found[0]}")
        return body

    def _put(
        self, kind: Kind, space: str, live: Document | None, body: Document, owners: dict[Any, Any], *, dry: bool
    ) -> Document:
        found = {**_without_nulls(body), "apiVersion": kind.version, "kind": kind.kind}
        for key, text in (found.pop("stringData", None) or {}).items():
            found.setdefault("data", {})[key] = base64.b64encode(text.encode()).decode()
        add_defaults(found)
        if live and kind.kind == "Job":
            _keep_job(live, found)
        if text := rules.refusal(live, found):
            raise Refused(422, "Invalid", f'{kind.full_kind} "{found["metadata"]["name"]}" is invalid: {text}')
        metadata = found["metadata"]
        old = (live or {}).get("metadata", {})
        metadata["uid"] = old.get("uid") or str(uuid.uuid4())
        metadata["creationTimestamp"] = old.get("creationTimestamp") or now()
        if "deletionTimestamp" in old:
            metadata["deletionTimestamp"] = old["deletionTimestamp"]
        if "spec" in found and kind.kind not in ("Namespace",):
            same = live is not None and live.get("spec") == found.get("spec")
            metadata["generation"] = old.get("generation", 1) if same else old.get("generation", 0) + 1
        if live is None and kind.kind == "Job":
            _own_job(found)
        metadata["managedFields"] = [
            {
                "manager": manager,
                "operation": operation,
                "apiVersion": kind.version,
                "time": now(),
                "fieldsType": "FieldsV1",
                "fieldsV1": fields.to_fields(paths),
            }
            for (manager, operation), paths in sorted(owners.items())
        ]
        metadata["resourceVersion"] = old.get("resourceVersion", "")
        if live is not None and _same(live, found):
            return copy.deepcopy(live)
        if dry:
            return found
        return self._keep((kind.kind, space, metadata["name"]), found, "MODIFIED" if live else "ADDED")

    def _keep(self, key: Key, found: Document, what: str) -> Document:
        self.version += 1
        found["metadata"]["resourceVersion"] = str(self.version)
        self.objects[key] = found
        self._tell(what, found)
        return copy.deepcopy(found)

    def _drop(self, key: Key) -> Document:
        found = self.objects.pop(key)
        self.version += 1
        self._tell("DELETED", found)
        return found

    def _tell(self, what: str, found: Document) -> None:
        self.events.append((self.version, what, copy.deepcopy(found)))
        self.news.notify_all()
        self.changed()

    def watch(self, kind: Kind, space: str, since: int, seconds: float) -> Iterator[tuple[str, Document]]:
        """Changes after a version, as they come."""
        end = datetime.now(UTC).timestamp() + seconds
        place = 0
        while True:
            with self.lock:
                while place >= len(self.events):
                    left = end - datetime.now(UTC).timestamp()
                    if left <= 0 or not self.news.wait(left):
                        return
                version, what, found = self.events[place]
                place += 1
            if version > since and found["kind"] == kind.kind and space in ("", found["metadata"].get("namespace", "")):
                yield what, found

    # To keep and to bring back

    def save(self, file: Path) -> None:
        with self.lock:
            file.write_text(json.dumps({"version": self.version, "objects": list(self.objects.items())}))

    def load(self, file: Path) -> None:
        with self.lock:
            held = json.loads(file.read_text())
            # Never back: who watches would see a change twice, or none.
            self.version = max(self.version, held["version"]) + 1
            self.objects = {tuple(key): found for key, found in held["objects"]}


def _without_nulls(body: Any) -> Any:
    """As the server reads it: what is null is not there (kubectl sends a template's `creationTimestamp` so)."""
    if isinstance(body, dict):
        return {key: _without_nulls(value) for key, value in body.items() if value is not None}
    return [_without_nulls(item) for item in body] if isinstance(body, list) else body


def _same(live: Document, found: Document) -> bool:
    def without(document: Document) -> Document:
        metadata = {k: v for k, v in document["metadata"].items() if k not in ("managedFields", "resourceVersion")}
        return {**document, "metadata": metadata}

    owners = [
        sorted(
            (e["manager"], e["operation"], json.dumps(e["fieldsV1"], sort_keys=True))
            for e in d["metadata"].get("managedFields", [])
        )
        for d in (live, found)
    ]
    return without(live) == without(found) and owners[0] == owners[1]


def _held(found: Document) -> bool:
    """Whether something must be done before an object may go."""
    return bool(found["metadata"].get("finalizers") or found.get("spec", {}).get("finalizers"))


def unknown_fields(kind: Kind, body: Document) -> list[str]:
    """Fields that a kind does not have; of a ConfigMap alone is that known."""
    return sorted({*body} - _OF_CONFIG_MAP) if kind.kind == "ConfigMap" else []


def _ended(kind: Kind, gone: Document) -> Document:
    about = {"name": gone["metadata"]["name"], "group": kind.group, "kind": kind.plural, "uid": gone["metadata"]["uid"]}
    details = {key: value for key, value in about.items() if value}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _own_job(found: Document) -> None:
    """The server gives each Job labels of its own, by which it knows its pods."""
    marks = {"batch.kubernetes.io/job-name": found["metadata"]["name"], "job-name": found["metadata"]["name"]}
    marks["batch.kubernetes.io/controller-uid"] = marks["controller-uid"] = found["metadata"]["uid"]
    template = found["spec"]["template"]
    for metadata in (found["metadata"], template.setdefault("metadata", {})):
        metadata["labels"] = {**(metadata.get("labels") or {}), **marks}
    found["spec"]["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": found["metadata"]["uid"]}}


def _keep_job(live: Document, found: Document) -> None:
    old = live["spec"]["template"]["metadata"].get("labels", {})
    new = found["spec"]["template"].setdefault("metadata", {}).setdefault("labels", {})
    marks = {key: value for key, value in old.items() if "controller-uid" in key or "job-name" in key}
    new.update(marks)
    found["metadata"]["labels"] = {**(found["metadata"].get("labels") or {}), **marks}
    found["spec"].setdefault("selector", live["spec"]["selector"])


def matches_labels(found: Document, selector: str) -> bool:
    labels = found["metadata"].get("labels") or {}
    for part in filter(None, selector.split(",")):
        name, equals, value = part.replace("==", "=").partition("=")
        if (labels.get(name) != value) if equals else (name not in labels):
            return False
    return True


def matches_fields(found: Document, selector: str) -> bool:
    for part in filter(None, selector.split(",")):
        path, _, value = part.partition("=")
        at: Any = found
        for step in path.split("."):
            at = at.get(step, "") if isinstance(at, dict) else ""
        if at != value:
            return False
    return True


def now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def kind_at(version: str, plural: str) -> Kind:
    found = BY_PLURAL.get((version, plural))
    if found is None:
        raise Refused(404, "NotFound", "the server could not find the requested resource")
    return found
