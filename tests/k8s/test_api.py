"""The test's API server answers as a real one did: each recorded request is made again, and the answers are compared.

The recordings (tests/k8s/recordings) are of Kubernetes 1.36 with kubectl 1.32. What is left out of the comparison is in
`VOLATILE` and, step by step with its reason, in `NOT_PLAYED`.
"""

import copy
import fnmatch
import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.k8s.api.kinds import KINDS, Document
from tests.k8s.api.server import Server

FOLDER = Path(__file__).parent / "recordings"
# Times, ids, and what controllers and admission write beside the request.
VOLATILE = {
    "clusterIP",
    "clusterIPs",
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "managedFields",
    "generation",
    "status",
    "selfLink",
}
# Requests that are not made again, by why: patterns over "recording: step: METHOD status".
NOT_PLAYED = {
    "rights: the tests' cluster has one user, who may do all": [
        *("refusals: a user without rights: *: * 403", "refusals: a user without rights: auth can-i *"),
        *("refusals: but no Secret, and nothing in another namespace: * 403", "refusals: nor write: * 403"),
        *("refusals: anonymous: 403: *", "refusals: a token that is none: 401: *"),
    ],
    "no namespace of ours has a quota or a LimitRange": [
        *("admission: a pod without the requests that the quota counts: POST 403", "admission: one too many: POST 403"),
        *("admission: a ConfigMap too many: POST 403", "admission: over the LimitRange: POST 403"),
    ],
    "each pod is given a token's volume and tolerations, which no program of ours reads": [
        *("admission: one that fits: POST 201", "admission: defaults of the LimitRange: POST 201"),
        "defaults: Pod, client-side: the answer holds the defaults: POST 201",
    ],
    "the recording does not hold what was asked: a body of 1 MiB, managedFields, the form of the answer": [
        *("refusals: a ConfigMap that is too large: POST 422", "field_managers: managedFields in the text: PATCH 400"),
        "refusals: an answer in a form that is not there: GET 406",
    ],
    "tables for people: kubectl makes them itself where the server has none": [
        *("defaults: and it is not there: GET 200", "refusals: and without -o: GET 200"),
        "deletion: its pods have ended or are ending: GET 200",
    ],
    "a group that the tests' cluster does not have": ["refusals: apply of a kind that is not there: GET 200"],
    "three faults in one answer: tests/k8s/test_manifests.py has a validator": [
        "refusals: a Deployment that is not valid: POST 422"
    ],
    "owners that kubectl moves from its own apply to the server's: ours was never another": [
        "field_managers: server-side after it: PATCH 200"
    ],
}


def steps() -> Iterator[Any]:
    for file in sorted(FOLDER.glob("*.json")):
        found = json.loads(file.read_text(encoding="utf-8"))
        # Others show states (tests/k8s/test_rollout.py), or what pods and budgets make of a request (test_drain.py).
        if file.stem != "eviction" and any(exchanges(step) for step in found["steps"]):
            yield pytest.param(file.stem, found["steps"], id=file.stem)


def exchanges(step: Document) -> list[Document]:
    return [entry for entry in step.get("requests") or [step] if "request" in entry]


def name_of(recording: str, step: Document, exchange: Document) -> str:
    return f"{recording}: {step['says']}: {exchange['request']['method']} {exchange['answer']['status']}"


def is_played(name: str) -> bool:
    return not any(fnmatch.fnmatchcase(name, pattern) for patterns in NOT_PLAYED.values() for pattern in patterns)


def plain(found: Any) -> Any:
    """An object without what differs from one cluster to the next."""
    if isinstance(found, dict):
        kept = {
            key: plain(value) for key, value in found.items() if key not in VOLATILE and "controller-uid" not in key
        }
        annotations = kept.get("annotations", {})
        if isinstance(annotations, dict):
            annotations.pop("deployment.kubernetes.io/revision", None)
            annotations.pop("kubectl.kubernetes.io/last-applied-configuration", None)
        if "generateName" in kept:
            kept.pop("name", None)
        return {key: value for key, value in kept.items() if value not in ({}, [], None)}
    return [plain(item) for item in found] if isinstance(found, list) else found


def reason(body: Document) -> str:
    """What a refusal says, without the refused value (a template is printed whole) and without how it differs."""
    text = re.sub(r"Invalid value: .*: ", "Invalid value: ... ", body.get("message", "").partition("\n@@")[0])
    return re.sub(r"in (precondition|record) \([^)]*\)", r"in \1", text)


def owners(found: Document) -> list[tuple[str, str]]:
    """The owners by apply; those by other changes are seen in the conflicts that they make."""
    entries = [entry for entry in found["metadata"].get("managedFields", []) if entry["operation"] == "Apply"]
    return sorted((entry["manager"], json.dumps(entry["fieldsV1"], sort_keys=True)) for entry in entries)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    made.controllers.close()  # the requests alone
    yield made
    made._http.shutdown()
    made._http.server_close()


class Replay:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.versions: dict[str, str] = {}  # recorded resourceVersion to ours

    def ask(self, request: Document) -> tuple[int, Document]:
        host, port = self.server._http.server_address[:2]
        connection = http.client.HTTPConnection(str(host), int(port), timeout=10)
        body = copy.deepcopy(request.get("body"))
        if isinstance(body, dict) and (version := (body.get("metadata") or {}).get("resourceVersion")):
            body["metadata"]["resourceVersion"] = self.versions.get(version, "1")
        try:
            headers = {"Content-Type": request.get("content_type") or "application/json", "User-Agent": "curl/8"}
            connection.request(
                request["method"],
                request["path"],
                body if body is None or isinstance(body, str) else json.dumps(body),
                headers,
            )
            answer = connection.getresponse()
            text = answer.read().decode()
            is_json = answer.headers.get_content_type() == "application/json"
            return answer.status, json.loads(text) if is_json else {"message": text}
        finally:
            connection.close()

    def seed(self, found: Document) -> None:
        """The recording begins with an object that is there."""
        kind = next((kind for kind in KINDS if kind.kind == found["kind"]), None)
        if kind is None:  # the text of an OpenAPI document and the like
            return
        space = found["metadata"].get("namespace", "") if kind.namespaced else ""
        self.need_namespace(space)
        key = (kind.kind, space, found["metadata"]["name"])
        with self.server.store.lock:
            if key not in self.server.store.objects or kind.kind == "Namespace":
                self.server.store._keep(key, copy.deepcopy(found), "ADDED")

    def seed_for(self, path: str, answered: Document) -> None:
        """What a recorded deletion found there, where no recorded request has made it."""
        if answered["kind"] != "Status":
            metadata = {k: v for k, v in answered["metadata"].items() if not k.startswith("deletion")}
            self.seed({**answered, "metadata": metadata})
            return
        plural, name = path.split("/")[-2:]
        kind = next(kind for kind in KINDS if kind.plural == plural)
        space = path.split("/namespaces/")[1].split("/")[0]
        metadata = {"name": name, "namespace": space, "uid": answered["details"]["uid"]}
        self.seed({"apiVersion": kind.version, "kind": kind.kind, "metadata": metadata})

    def forget(self, found: Document) -> None:
        self.server.store.lose((found["kind"], found["metadata"].get("namespace", ""), found["metadata"]["name"]))

    def forget_all(self, space: str, name: str) -> None:
        with self.server.store.lock:
            for key in [key for key in self.server.store.objects if key[1:] == (space, name)]:
                self.server.store.lose(key)

    def need_namespace(self, space: str) -> None:
        if space and ("Namespace", "", space) not in self.server.store.objects and "nowhere" not in space:
            self.ask({"method": "POST", "path": "/api/v1/namespaces", "body": {"metadata": {"name": space}}})


def test_what_is_not_played_is_recorded() -> None:
    names = [
        name_of(recording, step, exchange)
        for recording, recorded in (parameters.values for parameters in steps())
        for step in recorded
        for exchange in exchanges(step)
    ]
    for pattern in [pattern for patterns in NOT_PLAYED.values() for pattern in patterns]:
        assert fnmatch.filter(names, pattern), pattern


@pytest.mark.parametrize(("recording", "recorded"), list(steps()))
def test_a_recorded_request_gets_the_recorded_answer(recording: str, recorded: list[Document], server: Server) -> None:
    replay = Replay(server)
    compared = 0
    for step in recorded:
        for exchange in exchanges(step):
            request, answer = exchange["request"], exchange["answer"]
            if not is_played(name_of(recording, step, exchange)):
                continue
            where = f"{step['says']}: {request['method']} {request['path']}"
            if found := re.search(r"/namespaces/([^/?]+)/", request["path"]):
                replay.need_namespace(found[1])
            body = answer.get("body") or {}
            if isinstance(body, str):
                body = {"message": body}
            if answer["status"] == 409 and body.get("reason") == "AlreadyExists":
                replay.seed(request["body"])
            if request["method"] == "DELETE" and answer["status"] == 200:
                replay.seed_for(request["path"], body)
            if request["method"] == "GET" and answer["status"] == 200 and "metadata" in body and "items" not in body:
                replay.seed(body)
            # Between two steps the recorder tidied up.
            if answer["status"] == 201 and request["method"] in ("POST", "PATCH"):
                replay.forget(body)
            if answer["status"] == 404 and (gone := re.search(r"/namespaces/([^/]+)/\w+/([^/?]+)$", request["path"])):
                replay.forget_all(gone[1], gone[2])
            status, got = replay.ask(request)
            assert status == answer["status"], f"{where}: {got.get('message')}"
            compared += 1
            if status >= 300:
                assert reason(got) == reason(body), where
                continue
            if "metadata" in got and "items" not in got and body["kind"] != "Scale" and request["method"] != "DELETE":
                replay.versions[body["metadata"].get("resourceVersion", "")] = got["metadata"].get(
                    "resourceVersion", ""
                )
                assert plain(got) == plain(body), where
                if "apply-patch" in (request.get("content_type") or "") and body["metadata"].get("managedFields"):
                    assert owners(got) == owners(body), where
    assert compared >= 8
