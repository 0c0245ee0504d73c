"""The cluster as kubectl shows it: every object by its own namespace, what is transient tried again.

kubectl brings what a client library would have to learn anew: contexts, exec plugins of the clouds, proxies, versions.
"""

import json
import subprocess
import time
from collections.abc import Iterable

from k8s.programs.templates import Document, dump

# Who owns the fields that these programs write (server-side apply).
MANAGER = "eco2"
# What a busy or restarting API server answers, and what a network does: worth another try.
TRANSIENT = (
    "connection refused",
    "was refused",
    "connection reset",
    "connection lost",
    "i/o timeout",
    "TLS handshake timeout",
    "unexpected EOF",
    "etcdserver:",
    "currently unable to handle the request",
    "Too Many Requests",
    "Timeout: request did not complete",
    "the object has been modified",
)
PAUSES = (0.5, 1.0, 2.0, 4.0)


class ClusterError(Exception):
    """The cluster did not do what it was asked: the message says what, and kubectl's own reason."""


class Cluster:
    """kubectl with a context (None: the current one). It is never told one namespace for all: objects name their own."""

    def __init__(self, context: str | None = None) -> None:
        self.context = context

    def run(self, *words: str, text: str | None = None) -> str:
        """What kubectl prints.

        Raises:
            ClusterError: it is not installed, or failed, and not by what passes.
        """
        argv = ["kubectl", *(["--context", self.context] if self.context else []), *words]
        for pause in (*PAUSES, None):
            try:
                done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
            except FileNotFoundError:
                raise ClusterError("kubectl is not installed") from None
            if not done.returncode:
                return done.stdout
            said = done.stderr.strip() or done.stdout.strip()
            if pause is None or not any(word in said for word in TRANSIENT):
                break
            time.sleep(pause)
        raise ClusterError(f"kubectl {' '.join(words[:3])}: {last_line(said)}")

    def get(self, kind: str, name: str, space: str) -> Document | None:
        """One object, or None where there is none."""
        words = ["--namespace", space] if space else []
        found = self.run("get", kind, name, *words, "--ignore-not-found", "--output", "json")
        return json.loads(found) if found.strip() else None

    def list(self, kinds: str, space: str, selector: str = "") -> list[Document]:
        """The objects of some kinds in a namespace that have certain labels."""
        words = ["--selector", selector] if selector else []
        found = self.run("get", kinds, "--namespace", space, *words, "--output", "json")
        items: list[Document] = json.loads(found)["items"]
        return items

    def apply(self, documents: Iterable[Document]) -> None:
        """Create or change objects: their fields become as they are here, whoever wrote them before."""
        words = ("--server-side", "--force-conflicts", f"--field-manager={MANAGER}", "--filename", "-")
        self.run("apply", *words, text=dump(documents, header=""))

    def create(self, document: Document) -> None:
        """Create one object.

        Raises:
            ClusterError: there is one of that name ("AlreadyExists"), or see `run`.
        """
        self.run("create", "--filename", "-", text=dump([document], header=""))

    def delete(self, kind: str, name: str, space: str) -> None:
        """Delete an object, where there is one, and wait until it is gone."""
        self.run("delete", f"{kind}/{name}", "--ignore-not-found", "--namespace", space)


def kustomize(folder: str) -> str:
    """What kustomize makes of a folder, as YAML."""
    return Cluster().run("kustomize", folder)


def last_line(text: str) -> str:
    """The last line of what a program said."""
    return (text.strip().splitlines() or [""])[-1]
