"""One at a time: a Lease in the cluster that whoever changes it holds and renews. It ends by itself when its holder dies."""

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from k8s.programs.cluster import Cluster, ClusterError
from k8s.programs.manifests import NAMESPACE, document, labels
from k8s.programs.templates import Document, read
from runtime.services import ROOT
from shared import clock

NAME = "eco2-changes"
# A holder that has not renewed for so long, in seconds, is dead: kill -9, a lost connection, a token that ran out.
LASTS = 30
EVERY = 10.0


class Locked(Exception):
    """Another command is changing the cluster: the message says which, where and since when."""


class Interrupted(KeyboardInterrupt):
    """SIGTERM: a pipeline that is cancelled ends a command as Ctrl-C does, and the lock is given back on the way out."""


@contextlib.contextmanager
def alone(cluster: Cluster, what: str) -> Iterator[None]:
    """Hold the lock meanwhile; `what` is the command, for those that wait.

    Raises:
        Locked: another holds it, and is alive.
    """
    lock = _Lock(cluster, what)
    stop = threading.Event()
    keeper = threading.Thread(target=lock.keep, args=[stop], name="lock", daemon=True)
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        lock.take()
        keeper.start()
        cluster.may_change = lock.check
        yield
    finally:
        cluster.may_change = lambda: None
        stop.set()
        if keeper.ident is not None:
            keeper.join()
        lock.leave()
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: object) -> None:
    raise Interrupted


class _Lock:
    def __init__(self, cluster: Cluster, what: str) -> None:
        self.cluster = Cluster(cluster.context)
        self.holder = f"{socket.gethostname()} {os.getpid()} {what}"
        self.held: Document = {}
        self.lost = ""
        self._renewed = 0.0

    def take(self) -> None:
        lease = document("Lease", NAME, "coordination.k8s.io/v1", metadata={"labels": labels(NAME)})
        try:
            self.held = self.cluster.create(self._mine(lease))
        except ClusterError as error:
            if "AlreadyExists" not in str(error):
                raise
            self._take_over()
        self._renewed = time.monotonic()

    def _take_over(self) -> None:
        held = self.cluster.get("lease", NAME, NAMESPACE)
        if held is None:  # gone in between
            self.take()
            return
        if not _is_dead(held["spec"]):
            host, process, what = f"{held['spec'].get('holderIdentity')}  ".split(" ", 2)
            raise Locked(
                f"`eco2 {what.strip()}` is changing the cluster (on {host}, process {process}, since"
                f" {held['spec'].get('acquireTime', '')[:16]} UTC); if it is dead, its lock ends {LASTS} s after its last sign"
            )
        try:
            # Replaced only as it was read: of two that find it dead, one wins.
            self.held = self.cluster.replace(self._mine(held))
        except ClusterError as error:
            raise Locked(f"another command has just begun to change the cluster: {error}") from None

    def _mine(self, lease: Document) -> Document:
        now = f"{clock.now():%Y-%m-%dT%H:%M:%S.%fZ}"
        times = {"acquireTime": lease.get("spec", {}).get("acquireTime", now), "renewTime": now}
        if lease.get("spec", {}).get("holderIdentity") != self.holder:
            times["acquireTime"] = now
        spec = {"holderIdentity": self.holder, "leaseDurationSeconds": LASTS, **times}
        metadata = {key: value for key, value in lease["metadata"].items() if key != "managedFields"}
        return {**lease, "metadata": metadata, "spec": spec}

    def keep(self, stop: threading.Event) -> None:
        """Renew until told to stop; what goes wrong is found out by `check`."""
        while not stop.wait(EVERY):
            try:
                self.held = self.cluster.replace(self._mine(self.held))
                self._renewed = time.monotonic()
            except ClusterError as error:
                if "Conflict" in str(error) or "NotFound" in str(error):
                    self.lost = str(error)
                    return

    def check(self) -> None:
        """Raise where the lock is another's by now."""
        if self.lost:
            raise Locked(f"the lock was lost, and nothing more is changed: {self.lost}")
        if time.monotonic() - self._renewed > LASTS:
            raise Locked(f"the cluster has not answered for {LASTS} s, and the lock has ended: run the command again")

    def leave(self) -> None:
        """Give it back, where it is ours. If that fails it ends by itself."""
        with contextlib.suppress(ClusterError):
            held = self.cluster.get("lease", NAME, NAMESPACE)
            if held and held["spec"].get("holderIdentity") == self.holder:
                self.cluster.delete("lease", NAME, NAMESPACE)


def _is_dead(spec: Document) -> bool:
    """Whether a lock's holder has ended: it has not renewed in time, or was a process of this machine that has ended."""
    host, process, *_ = f"{spec.get('holderIdentity')}  ".split(" ")
    if host == socket.gethostname() and process.isdecimal() and not Path(f"/proc/{process}").exists():
        return Path("/proc/self").exists()
    renewed = datetime.fromisoformat(spec.get("renewTime") or "1970-01-01T00:00:00+00:00")
    return bool((clock.now() - renewed).total_seconds() > spec.get("leaseDurationSeconds", LASTS))


def make_namespaces(cluster: Cluster, root: Path = ROOT) -> None:
    """Make the namespaces where they are missing: locks and Secrets live in them."""
    text = (root / "k8s/base/namespaces.yaml").read_text(encoding="utf-8")
    wanted = read(text)
    if len(cluster.live(wanted)) < len(wanted):
        cluster.apply(wanted)
