"""One command at a time changes a cluster, and one that died keeps no other out."""

import os
import signal
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest

from k8s.programs import lock, secrets
from k8s.programs.cluster import Cluster
from k8s.programs.lock import Locked, alone
from shared import clock
from tests.k8s.api.kinds import Document
from tests.k8s.api.server import Server

KEY = ("Lease", "eco2", lock.NAME)


@pytest.fixture(autouse=True)
def namespace(cluster: Server) -> None:
    names = ("eco2", "database", "monitoring")
    Cluster().apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names])


@pytest.fixture(scope="module")
def ended() -> int:
    """The number of a process of this machine that has ended."""
    program = [sys.executable, "-S", "-c", "import os; print(os.getpid())"]
    return int(subprocess.run(program, capture_output=True, text=True, check=True).stdout)


def lease(holder: str, renewed: datetime) -> Document:
    text = f"{renewed:%Y-%m-%dT%H:%M:%S.%fZ}"
    spec = {"holderIdentity": holder, "leaseDurationSeconds": lock.LASTS, "renewTime": text, "acquireTime": text}
    metadata = {"name": lock.NAME, "namespace": "eco2"}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


def test_a_second_is_refused_and_told_of_the_first(cluster: Server) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with (
        alone(Cluster(), "deploy"),
        pytest.raises(Locked, match=r"`eco2 deploy` is changing the cluster \(on .*process"),
        alone(Cluster(), "rotate keys"),
    ):
        pass
    assert KEY not in cluster.store.objects
    assert signal.getsignal(signal.SIGTERM) is before


def test_one_elsewhere_that_renews_keeps_others_out(cluster: Server, ended: int) -> None:
    """Whatever its number, which says something on its own machine alone; and for as long as it said when it took the lock."""
    held = lease(f"elsewhere {ended} deploy", datetime.now(UTC) - timedelta(seconds=lock.LASTS + 5))
    held["spec"]["leaseDurationSeconds"] = 2 * lock.LASTS
    Cluster().create(held)
    with pytest.raises(Locked, match=f"on elsewhere, process {ended}"), alone(Cluster(), "deploy"):
        pass
    assert KEY in cluster.store.objects


def test_one_elsewhere_that_has_not_renewed_is_dead(cluster: Server) -> None:
    Cluster().create(lease("elsewhere 12 deploy", datetime.now(UTC) - timedelta(seconds=lock.LASTS + 5)))
    begun = clock.now()
    with alone(Cluster(), "deploy"):
        held = cluster.store.objects[KEY]["spec"]
        assert held["holderIdentity"].startswith(f"{socket.gethostname()} {os.getpid()}")
        # Since when it is held is told to those that wait: not since when the dead one held it.
        assert datetime.fromisoformat(held["acquireTime"]) >= begun


def test_one_of_this_machine_that_was_killed_is_dead_at_once(cluster: Server, ended: int) -> None:
    Cluster().create(lease(f"{socket.gethostname()} {ended} deploy", datetime.now(UTC)))
    with alone(Cluster(), "deploy"):
        pass


def test_two_that_find_it_dead_do_not_both_take_it(cluster: Server) -> None:
    Cluster().create(lease("elsewhere 12 deploy", datetime.now(UTC) - timedelta(seconds=lock.LASTS + 5)))

    def another(number: int) -> None:
        if cluster.requests[number][0] == "PUT":
            with cluster.store.lock:
                taken = lease("elsewhere 13 rotate", datetime.now(UTC))
                taken["metadata"] |= {"uid": "other", "resourceVersion": str(cluster.store.version + 1)}
                cluster.store._keep(KEY, taken, "MODIFIED")

    cluster.before_change = another
    with pytest.raises(Locked, match="another command has just begun"), alone(Cluster(), "deploy"):
        pass
    assert cluster.store.objects[KEY]["spec"]["holderIdentity"] == "elsewhere 13 rotate"


def test_what_was_given_back_a_moment_ago_is_taken(cluster: Server) -> None:
    Cluster().create(lease("elsewhere 12 deploy", datetime.now(UTC)))
    refused = len(cluster.requests)

    def given_back(number: int) -> None:
        if number == refused:
            cluster.answers_instead = lambda method, path: None
            with cluster.store.lock:
                del cluster.store.objects[KEY]

    def is_there(method: str, path: str) -> tuple[int, str] | None:
        if method != "POST":
            return None
        given_back(refused)
        return 409, "AlreadyExists"

    cluster.answers_instead = is_there
    with alone(Cluster(), "deploy"):
        assert cluster.store.objects[KEY]["spec"]["holderIdentity"].endswith(" deploy")


class Once(threading.Event):
    """Told to stop after one round."""

    def wait(self, timeout: float | None = None) -> bool:
        done = self.is_set()
        self.set()
        return done


def test_a_lock_that_could_not_be_renewed_has_ended_and_one_that_was_renewed_has_not(cluster: Server) -> None:
    held = lock._Lock(Cluster(), "deploy")
    held.take()
    held.check()
    before = cluster.store.objects[KEY]["spec"]["renewTime"]
    held._renewed -= lock.LASTS + 1
    with pytest.raises(Locked, match=r"has not answered for 30 s, and the lock has ended"):
        held.check()
    held.keep(Once())
    held.check()
    assert cluster.store.objects[KEY]["spec"]["renewTime"] > before
    cluster.answers_instead = lambda method, path: (403, "not now")
    held.keep(Once())
    held.check()  # once is not for ever: the next round may succeed
    held._renewed -= lock.LASTS + 1
    with pytest.raises(Locked, match="has not answered"):
        held.check()


def test_what_has_lost_its_lock_changes_nothing_more(cluster: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "EVERY", 0.05)
    mine = Cluster()
    with alone(mine, "deploy"):
        other = lease("elsewhere 12 deploy", datetime.now(UTC))
        with cluster.store.lock:
            other["metadata"] |= {"uid": "other", "resourceVersion": str(cluster.store.version + 1)}
            cluster.store._keep(KEY, other, "MODIFIED")
        with pytest.raises(Locked, match="the lock was lost"):
            for _ in range(100):
                mine.apply([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "eco2"}}])
    assert cluster.store.objects[KEY]["spec"]["holderIdentity"] == "elsewhere 12 deploy"


def test_what_has_lost_its_lock_for_no_one_changes_nothing_more_either(
    cluster: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "EVERY", 0.05)
    mine = Cluster()
    with alone(mine, "deploy"):
        mine.delete("lease", lock.NAME, "eco2")
        with pytest.raises(Locked, match="the lock was lost"):
            for _ in range(100):
                mine.apply([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "eco2"}}])
    assert KEY not in cluster.store.objects


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("words", [("deploy",), ("rotate", "grafana"), ("secrets", "init")])
def test_what_is_told_to_end_gives_the_lock_back(cluster: Server, words: tuple[str, ...], number: int) -> None:
    secrets.init(Cluster()) if words[0] == "rotate" else None
    told: list[int] = []

    def at_the_lock(count: int) -> None:
        if cluster.requests[count][:2] == ("POST", "/apis/coordination.k8s.io/v1/namespaces/eco2/leases"):
            told.append(count)
            process.send_signal(number)

    with subprocess.Popen([sys.executable, "-m", "runtime.cli", *words], stderr=subprocess.PIPE, text=True) as process:
        cluster.after_change = at_the_lock
        said = process.communicate(timeout=60)[1]
    assert told
    assert process.returncode == 130
    assert said.startswith(f"eco2 {words[0]}: interrupted: ")
    assert KEY not in cluster.store.objects
