"""An API server for tests: real kubectl talks to it over HTTP. What it refuses and how it answers is checked against recordings
of a real one (tests/k8s/recordings); pods are played by `controllers`.
"""

import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.k8s.api import budgets, fields, forms
from tests.k8s.api.controllers import Controllers
from tests.k8s.api.kinds import KINDS, Document, Kind
from tests.k8s.api.store import Refused, Store, kind_at

_PATH = re.compile(
    r"^/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+)/(?P<version>[^/]+))"
    r"(?:/namespaces/(?P<space>[^/]+))?/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>[^/]+))?$"
)
# A deploy sends a hundred objects: libyaml reads them eight times as fast.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ONE_NAMESPACE = re.compile(r"^/api/v1/namespaces(?:/(?P<name>[^/]+))?$")


class Server:
    """The API server with its store and controllers; `kubeconfig` is a file for kubectl."""

    def __init__(self, folder: Path) -> None:
        self.store = Store()
        self.controllers = Controllers(self.store)
        self.requests: list[tuple[str, str, str]] = []  # method, path, content type of each that may change something
        self.answers_instead: Callable[[str, str], tuple[int, str] | None] = lambda method, path: None
        self.before_change: Callable[[int], None] = lambda number: None
        self.after_change: Callable[[int], None] = lambda number: None
        self.logs: dict[str, str] = {}  # a pod's name, or the beginning of it, to its log
        owner = self

        class Handler(_Handler):
            server_owner = owner

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=[0.05], daemon=True)
        self._thread.start()
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(json.dumps(self._config()))

    def _config(self) -> Document:
        address = f"http://127.0.0.1:{self._http.server_address[1]}"
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": address}}],
            "users": [{"name": "test", "user": {}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        }

    def close(self) -> None:
        self.controllers.close()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    server_owner: Server
    protocol_version = "HTTP/1.1"
    wbufsize = 65536
    disable_nagle_algorithm = True

    def log_message(self, *args: object) -> None:
        pass

    def _do(self) -> None:
        owner = self.server_owner
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        content_type = (self.headers.get("Content-Type") or "").partition(";")[0]
        if instead := owner.answers_instead(self.command, parts.path):
            self._answer(instead[0], _failure(instead[0], "", instead[1]))
            return
        try:
            if (found := _discovery(parts.path)) is not None:
                self._answer(200, found)
                return
            if self.command != "GET":
                number = len(owner.requests)
                owner.requests.append((self.command, parts.path, content_type))
                # Who listens hears of what began after that: the client may have its answer before the hook is called.
                before, after = owner.before_change, owner.after_change
                dry = query.get("dryRun") == "All"
                if not dry:
                    before(number)
                self._resource(parts.path, query, raw, content_type)
                if not dry:
                    after(number)
                return
            self._resource(parts.path, query, raw, content_type)
        except Refused as refused:
            self._answer(refused.code, _failure(refused.code, refused.reason, refused.message, refused.causes))
        except (BrokenPipeError, ConnectionResetError):
            pass

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _do  # noqa: N815 - names that http.server looks for

    def _resource(self, path: str, query: dict[str, str], raw: bytes, content_type: str) -> None:
        store = self.server_owner.store
        if one := _ONE_NAMESPACE.match(path):
            kind, space, name, sub = kind_at("v1", "namespaces"), "", one["name"] or "", ""
        elif found := _PATH.match(path):
            version = found["core"] or f"{found['group']}/{found['version']}"
            if version not in {kind.version for kind in KINDS}:
                self._raw(404, "text/plain", b"404 page not found\n")
                return
            kind = kind_at(version, found["plural"])
            space, name, sub = found["space"] or "", found["name"] or "", found["sub"] or ""
        else:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        dry = query.get("dryRun") == "All"
        manager = query.get("fieldManager") or (self.headers.get("User-Agent") or "unknown").partition("/")[0]
        if self.command == "GET":
            self._get(kind, space, name, sub, query)
        elif self.command == "POST" and sub == "eviction":
            with store.lock:
                pod = store.get(kind, space, name)
                budgets.check_eviction(store, pod)
                if not dry:
                    store.delete(kind, space, name)
            self._answer(201, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})
        elif self.command == "POST":
            forms.check_new(kind, name, raw, content_type, strict=query.get("fieldValidation") == "Strict")
            body = forms.known_fields(kind, _body(raw), strict=False)
            self._answer(201, store.create(kind, space, body, manager, dry=dry))
        elif self.command == "PUT":
            self._answer(200, store.replace(kind, space, name, _body(raw), manager, dry=dry))
        elif self.command == "DELETE":
            # `kubectl drain` sends its options as protobuf; the grace that they hold means nothing to pods that are played.
            readable = raw and not content_type.endswith("protobuf")
            self._answer(200, store.delete(kind, space, name, _body(raw) if readable else None))
        else:
            self._patch(kind, space, name, sub, query, raw, content_type, manager, dry=dry)

    def _patch(
        self,
        kind: Kind,
        space: str,
        name: str,
        sub: str,
        query: dict[str, str],
        raw: bytes,
        content_type: str,
        manager: str,
        *,
        dry: bool,
    ) -> None:
        store, body = self.server_owner.store, _body(raw)
        if content_type == "application/apply-patch+yaml":
            if "fieldManager" not in query:
                text = (
                    'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
                )
                raise Refused(422, "Invalid", text)
            force = query.get("force") == "true"
            found, new = store.apply(kind, space, name, body, query["fieldManager"], force=force, dry=dry)
            self._answer(201 if new else 200, found)
            return
        how: dict[str, Callable[[Document], Document]] = {
            "application/strategic-merge-patch+json": lambda live: fields.strategic(live, body),
            "application/merge-patch+json": lambda live: fields.merge_patch(live, body),
            "application/json-patch+json": lambda live: fields.json_patch(live, body),  # type: ignore[arg-type]  # a JSON patch is a list, not an object
        }
        if sub == "scale":
            store.patch(kind, space, name, lambda live: fields.merge_patch(live, body), "")
            self._answer(200, {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {}, "spec": body["spec"]})
            return
        strict = query.get("fieldValidation") == "Strict"

        def change(live: Document) -> Document:
            return forms.known_fields(kind, how[content_type](live), body, strict=strict)

        try:
            self._answer(200, store.patch(kind, space, name, change, manager, dry=dry))
        except fields.Failed:
            raise Refused(422, "Invalid", "the server rejected our request due to an error in our request") from None

    def _get(self, kind: Kind, space: str, name: str, sub: str, query: dict[str, str]) -> None:
        store = self.server_owner.store
        if sub == "log":
            store.get(kind, space, name)
            said = next((text for start, text in self.server_owner.logs.items() if name.startswith(start)), "")
            self._raw(200, "text/plain", said.encode())
        elif name:
            self._answer(200, store.get(kind, space, name))
        elif query.get("watch") in ("true", "1"):
            self._watch(kind, space, query)
        else:
            items = store.select(kind, space, query.get("labelSelector", ""), query.get("fieldSelector", ""))
            for item in items:
                item.pop("kind"), item.pop("apiVersion")
            listing = {"kind": f"{kind.kind}List", "apiVersion": kind.version, "items": items}
            self._answer(200, {**listing, "metadata": {"resourceVersion": str(store.version)}})

    def _watch(self, kind: Kind, space: str, query: dict[str, str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        since, seconds = int(query.get("resourceVersion") or 0), float(query.get("timeoutSeconds") or 60)
        for what, found in self.server_owner.store.watch(kind, space, since, seconds):
            line = json.dumps({"type": what, "object": found}).encode() + b"\n"
            self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def _answer(self, status: int, body: Any) -> None:
        self._raw(status, "application/json", json.dumps(body).encode())

    def _raw(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


def _body(raw: bytes) -> Document:
    found: Document = yaml.load(raw, Loader=_LOADER)
    return found


def _failure(code: int, reason: str, message: str, causes: list[Document] | None = None) -> Document:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        **({"reason": reason} if reason else {}),
        **({"details": {"causes": causes}} if causes else {}),
        "code": code,
    }


_VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


def _discovery(path: str) -> Document | None:
    """What kubectl asks before anything else: the version, the groups, their kinds, and whether fields are validated here."""
    versions = sorted({kind.version for kind in KINDS} - {"v1"})
    if path == "/version":
        return {"major": "1", "minor": "36", "gitVersion": "v1.36.2", "platform": "linux/amd64"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
    if path == "/apis":
        groups = [_group(version) for version in versions]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    if path == "/openapi/v3":
        every = {
            f"api{'s/' + v if v != 'v1' else '/v1'}": {"serverRelativeURL": f"/openapi/v3/{v}"}
            for v in [*versions, "v1"]
        }
        return {"paths": every}
    if path.startswith("/openapi/v3/"):
        return _openapi(path.removeprefix("/openapi/v3/"))
    version = path.removeprefix("/apis/") if path.startswith("/apis/") else path.removeprefix("/api/")
    if version not in (*versions, "v1"):
        return None
    resources = [
        {
            "name": k.plural,
            "singularName": k.kind.lower(),
            "namespaced": k.namespaced,
            "kind": k.kind,
            "verbs": _VERBS,
            "shortNames": list(k.short),
        }
        for k in KINDS
        if k.version == version
    ]
    if version == "v1":
        under = {"singularName": "", "namespaced": True}
        resources.append({"name": "pods/log", **under, "kind": "Pod", "verbs": ["get"]})
        about = {"group": "policy", "version": "v1", "kind": "Eviction"}
        resources.append({"name": "pods/eviction", **under, **about, "verbs": ["create"]})
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}


def _group(version: str) -> Document:
    group, _, number = version.partition("/")
    this = {"groupVersion": version, "version": number}
    return {"name": group, "versions": [this], "preferredVersion": this}


def _openapi(version: str) -> Document:
    parameters = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in ("fieldValidation", "dryRun")]
    paths = {}
    for kind in KINDS:
        if kind.version == version:
            start = f"/apis/{version}" if "/" in version else "/api/v1"
            where = f"{start}/namespaces/{{namespace}}" if kind.namespaced else start
            group, _, number = version.rpartition("/")
            about = {"group": group, "version": number, "kind": kind.kind}
            operation = {"parameters": parameters, "x-kubernetes-group-version-kind": about, "responses": {}}
            paths[f"{where}/{kind.plural}/{{name}}"] = {"patch": operation}
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.36.2"}, "paths": paths, "components": {}}
