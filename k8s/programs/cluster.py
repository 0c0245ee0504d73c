"""The cluster as kubectl shows it: every object by its own namespace, what is transient tried again.

kubectl brings what a client library would have to learn anew: contexts, exec plugins of the clouds, proxies, versions.
"""

import argparse
import contextlib
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from k8s.programs.environments import environment
from k8s.programs.templates import Document

# Who owns the fields that these programs write (server-side apply).
MANAGER = "eco2"
# What a busy or restarting API server answers, and what a network does: worth another try.
TRANSIENT = re.compile(
    r"connection refused|was refused|connection reset|connection lost|i/o timeout|TLS handshake timeout|\bEOF\b|etcdserver:"
    r"|currently unable to handle the request|Too Many Requests|TooManyRequests|InternalError|request did not complete"
)
PAUSES = (0.5, 1.0, 2.0, 4.0)


class ClusterError(Exception):
    """The cluster did not do what it was asked: the message says what, and kubectl's own reason in a line."""


class Cluster:
    """kubectl with a context (None: the current one). It is never told one namespace for all: objects name their own."""

    def __init__(self, context: str | None = None) -> None:
        self.context = context
        # Asked before each change: a command that has lost its lock must not go on.
        self.may_change: Callable[[], None] = lambda: None

    def run(self, *words: str, text: str | None = None) -> str:
        """What kubectl prints.

        Raises:
            ClusterError: it is not installed, or failed, and not by what passes.
        """
        for pause in (*PAUSES, None):
            try:
                done = subprocess.run(self._argv(words), input=text, capture_output=True, text=True, check=False)
            except FileNotFoundError:
                raise ClusterError("kubectl is not installed") from None
            if not done.returncode:
                return done.stdout
            said = done.stderr.strip() or done.stdout.strip()
            if pause is None or not TRANSIENT.search(said):
                break
            time.sleep(pause)
        raise ClusterError(f"kubectl {' '.join(words[:3])}: {_reason(said)}")

    def _argv(self, words: Sequence[str]) -> list[str]:
        return ["kubectl", *(["--context", self.context] if self.context else []), *words]

    # Reading

    def get(self, kind: str, name: str, space: str) -> Document | None:
        """One object, or None where there is none."""
        found = self.run("get", kind, name, "--namespace", space, "--ignore-not-found", "--output", "json")
        return json.loads(found) if found.strip() else None

    def select(self, kinds: str, space: str, selector: str = "") -> list[Document]:
        """The objects of some kinds in a namespace that have certain labels."""
        words = ["--selector", selector] if selector else []
        found = self.run("get", kinds, "--namespace", space, *words, "--output", "json")
        return _items(found)

    def live(self, documents: Iterable[Document]) -> list[Document]:
        """Those of some objects that the cluster has, as it has them."""
        words = ("--ignore-not-found", "--output", "json", "--filename", "-")
        return _items(self.run("get", *words, text=_stream(documents)))

    def would_be(self, documents: Iterable[Document]) -> list[Document]:
        """What the API server would make of objects that it has, were they applied.

        Raises:
            ClusterError: it would refuse one, with its reason.
        """
        words = ("--dry-run=server", "--output", "json", "--filename", "-")
        return _items(self.run("apply", *_OWNER, *words, text=_stream(documents)))

    # Changing

    def apply(self, documents: Iterable[Document]) -> None:
        """Create or change objects: their fields become as they are here, whoever wrote them before."""
        self.may_change()
        self.run("apply", *_OWNER, "--filename", "-", text=_stream(documents))

    def create(self, document: Document) -> Document:
        """Create one object; return it as it is then.

        Raises:
            ClusterError: there is one of that name ("AlreadyExists"), or see `run`.
        """
        found: Document = json.loads(
            self.run("create", "--output", "json", "--filename", "-", text=_stream([document]))
        )
        return found

    def replace(self, document: Document) -> Document:
        """Replace an object that is still of the `resourceVersion` given.

        Raises:
            ClusterError: somebody else has changed it since ("Conflict"), or see `run`.
        """
        found: Document = json.loads(
            self.run("replace", "--output", "json", "--filename", "-", text=_stream([document]))
        )
        return found

    def patch(self, kind: str, name: str, space: str, change: Document) -> None:
        """Merge some fields into an object."""
        self.may_change()
        words = ("--type=merge", "--patch", json.dumps(change), f"--field-manager={MANAGER}")
        self.run("patch", kind, name, "--namespace", space, *words)

    def delete(self, kind: str, name: str, space: str, *, wait: bool = True) -> None:
        """Delete an object, where there is one, and wait until it is gone: a pod of a lost node never is."""
        self.may_change()
        self.run("delete", f"{kind}/{name}", "--ignore-not-found", "--namespace", space, f"--wait={str(wait).lower()}")

    def undo(self, kind: str, name: str, space: str) -> None:
        """Back to the revision before of a Deployment or StatefulSet."""
        self.may_change()
        self.run("rollout", "undo", f"{kind}/{name}", "--namespace", space)

    @contextlib.contextmanager
    def forward(self, pod: str, space: str, port: int) -> Iterator[int]:
        """A port of this machine that leads to a pod's, while the block runs.

        Raises:
            ClusterError: the pod can't be reached.
        """
        words = ("port-forward", "--namespace", space, f"pod/{pod}", f":{port}", "--address", "127.0.0.1")
        with subprocess.Popen(self._argv(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                found = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
                if found is None:
                    said = process.communicate(timeout=10)[1]
                    raise ClusterError(f"kubectl port-forward pod/{pod}: {_reason(said)}")
                yield int(found[1])
            finally:
                process.terminate()


_OWNER = ("--server-side", "--force-conflicts", f"--field-manager={MANAGER}")


def _stream(documents: Iterable[Document]) -> str:
    """Objects as kubectl reads them from its standard input: JSON, which costs us a fiftieth of what YAML does."""
    return "\n".join(map(json.dumps, documents))


def _items(text: str) -> list[Document]:
    """One object, a list of some, or nothing: all that `kubectl --output json` prints."""
    if not text.strip():
        return []
    found = json.loads(text)
    items: list[Document] = found.get("items", [found])
    return items


def _reason(text: str) -> str:
    """kubectl's reason in one line: the first that says an error, without the advice after it."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    told = [line for line in lines if re.match(r"(?i)error|the |unable|Apply failed", line)]
    # A refused template is printed whole before the reason.
    return re.sub(r"Invalid value: .*\}\"?: ", "", (told or lines[-1:] or ["it said nothing"])[0])[:500]


def kustomize(folder: str) -> str:
    """What kustomize makes of a folder, as YAML."""
    return Cluster().run("kustomize", folder)


def options(parser: argparse.ArgumentParser) -> None:
    """The options of every command that meets a cluster."""
    parser.add_argument("--env", default="prod", help="an environment of k8s/environments.toml (default: prod)")
    parser.add_argument("--context", help="kubectl's context (default: the environment's, else the current one)")


def chosen(args: argparse.Namespace) -> Cluster:
    """The cluster that those options name.

    Raises:
        UnknownEnvironment: there is no such environment.
    """
    return Cluster(args.context or environment(args.env).context or None)
