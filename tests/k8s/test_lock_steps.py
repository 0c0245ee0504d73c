"""The lock's own steps, on Leases as an API server keeps them: who is dead, what a renewal keeps, what is given back"""

import argparse
import os
import signal
import socket
import threading
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest

from k8s.programs import deploy, lock, rotate, secrets
from k8s.programs.cluster import Cluster, ClusterError
from k8s.programs.lock import LASTS, Locked, _is_dead, _Lock
from k8s.programs.templates import Document
from shared import clock

HERE = socket.gethostname()
NO_PROCESS = 2**22 + 1  # more than the kernel gives


class Leases(Cluster):
    """Keeps one Lease, with a version that a replacement has to name; fails while it is `away`."""

    def __init__(self, lease: Document | None = None) -> None:
        super().__init__()
        self.lease, self.version, self.away = None, 0, ""
        self.told: list[str] = []
        if lease:
            self._keep(lease)

    def _keep(self, lease: Document) -> Document:
        self.version += 1
        self.lease = {**lease, "metadata": {**lease["metadata"], "resourceVersion": str(self.version)}}
        return self.lease

    def _tell(self, word: str) -> None:
        self.told.append(word)
        if self.away:
            raise ClusterError(self.away)

    def create(self, document: Document) -> Document:
        self._tell("create")
        if self.lease:
            raise ClusterError("kubectl create: Error from server (AlreadyExists): leases")
        return self._keep(document)

    def replace(self, document: Document) -> Document:
        self._tell("replace")
        if not self.lease:
            raise ClusterError("kubectl replace: Error from server (NotFound): leases")
        if document["metadata"].get("resourceVersion") != self.lease["metadata"]["resourceVersion"]:
            raise ClusterError("kubectl replace: Error from server (Conflict): leases")
        return self._keep(document)

    def get(self, kind: str, name: str, space: str) -> Document | None:
        self._tell("get")
        assert (kind, name, space) == ("lease", lock.NAME, "eco2")
        return self.lease

    def delete(self, kind: str, name: str, space: str, *, wait: bool = True) -> None:
        self._tell("delete")
        assert (kind, name, space) == ("lease", lock.NAME, "eco2")
        self.lease = None


def spec(seconds: float = 0, holder: str = "elsewhere 1 deploy", **more: Any) -> Document:
    """Of a Lease that was renewed so many seconds ago."""
    renewed = f"{datetime.now(UTC) - timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S.%fZ}"
    return {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": LASTS, **more}


def lease(found: Document) -> Document:
    return {"kind": "Lease", "metadata": {"name": lock.NAME, "namespace": "eco2"}, "spec": found}


def holding(leases: Leases, what: str = "deploy") -> _Lock:
    held = _Lock(Cluster("there"), what)
    assert held.cluster.context == "there"
    held.cluster = leases
    return held


class Rounds(threading.Event):
    """Told to stop after so many rounds."""

    def __init__(self, left: int = 1) -> None:
        super().__init__()
        self.left = left

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout == lock.EVERY
        self.left -= 1
        return self.left < 0


SHORT, LONG = LASTS - 20, LASTS + 20


@pytest.mark.parametrize(
    ("ago", "given", "dead"),
    [
        (0, {}, False),
        (SHORT, {}, False),
        (LONG, {}, True),
        # For as long as its holder said.
        (LONG, {"leaseDurationSeconds": 3 * LASTS}, False),
        (SHORT + 10, {"leaseDurationSeconds": 10}, True),
        (SHORT, {"leaseDurationSeconds": ...}, False),
        (LONG, {"leaseDurationSeconds": ...}, True),
        # Of a process only this machine can say that it has ended.
        (0, {"holderIdentity": f"{HERE} {os.getpid()} deploy"}, False),
        (0, {"holderIdentity": f"{HERE} {NO_PROCESS} deploy"}, True),
        (0, {"holderIdentity": f"elsewhere {NO_PROCESS} deploy"}, False),
        (0, {"holderIdentity": f"{HERE} somebody deploy"}, False),
        (LONG, {"holderIdentity": f"{HERE} {os.getpid()} deploy"}, True),
        # What others' programs leave out.
        (0, {"renewTime": None}, True),
        (0, {"renewTime": ...}, True),
        (0, {"holderIdentity": ""}, False),
        (0, {"holderIdentity": ...}, False),
    ],
)
def test_a_holder_is_dead_that_has_not_renewed_or_whose_process_has_ended_here(
    ago: float, given: Document, dead: bool
) -> None:
    found = {name: value for name, value in (spec(ago) | given).items() if value is not ...}
    assert _is_dead(found) is dead


def test_a_renewal_keeps_who_has_it_since_when_and_a_new_holder_begins_anew() -> None:
    leases = Leases()
    held = holding(leases)
    held.take()
    assert leases.lease is not None
    first = leases.lease["spec"]
    assert first["holderIdentity"] == f"{HERE} {os.getpid()} deploy"
    assert first["leaseDurationSeconds"] == LASTS
    assert first["acquireTime"] == first["renewTime"]
    for _ in range(2):  # each names the version that the one before has made
        held.keep(Rounds())
        assert not held.lost
    again = leases.lease["spec"]
    assert (again["holderIdentity"], again["acquireTime"]) == (first["holderIdentity"], first["acquireTime"])
    assert again["renewTime"] > first["renewTime"]
    dead = Leases(lease(spec(LONG, acquireTime="2026-01-02T03:04:05.000000Z")))
    holding(dead).take()
    assert dead.lease is not None
    assert dead.lease["spec"]["acquireTime"] == dead.lease["spec"]["renewTime"]
    assert dead.told == ["create", "get", "replace"]


def test_what_the_cluster_alone_writes_is_not_sent_back() -> None:
    found = lease(spec(LONG))
    found["metadata"]["managedFields"] = [{"manager": "eco2"}]
    leases = Leases(found)
    holding(leases).take()
    assert leases.lease is not None
    assert "managedFields" not in leases.lease["metadata"]


def test_who_is_alive_is_named_to_who_has_to_wait() -> None:
    leases = Leases(lease(spec(holder="far 12 rotate redis", acquireTime="2026-01-02T03:04:05.000000Z")))
    with pytest.raises(Locked) as told:
        holding(leases).take()
    assert str(told.value) == (
        "`eco2 rotate redis` is changing the cluster (on far, process 12, since 2026-01-02T03:04 UTC);"
        " if it is dead, its lock ends 30 s after its last sign"
    )
    assert leases.told == ["create", "get"]


def test_a_cluster_that_can_not_be_asked_is_told_as_that() -> None:
    leases = Leases()
    leases.away = "no rights"
    with pytest.raises(ClusterError, match="no rights"):
        holding(leases).take()
    assert leases.told == ["create"]


@pytest.mark.parametrize("said", ["Error from server (Conflict)", "Error from server (NotFound)"])
def test_a_lock_that_is_another_s_is_lost_for_ever_and_one_that_was_not_heard_of_is_tried_for(said: str) -> None:
    leases = Leases()
    held = holding(leases)
    held.take()
    leases.away = "i/o timeout"
    held.keep(Rounds())
    held.check()
    leases.away = said
    stop = Rounds(5)
    held.keep(stop)
    assert stop.left == 4, "it ends by itself"
    leases.away = ""
    with pytest.raises(Locked, match="the lock was lost"):
        held.check()


def test_a_lock_that_was_not_renewed_in_time_has_ended_and_one_that_was_has_not() -> None:
    held = holding(Leases())
    held.take()
    held._renewed -= LASTS + 1
    with pytest.raises(Locked, match=r"has not answered for 30 s, and the lock has ended: run the command again$"):
        held.check()
    held.keep(Rounds())
    held.check()


class Raced(Leases):
    """Another command takes the dead one's lock in the moment between look and grasp."""

    def get(self, kind: str, name: str, space: str) -> Document | None:
        found = super().get(kind, name, space)
        self._keep(lease(spec(holder="elsewhere 2 rotate")))
        return found


def test_of_two_that_find_it_dead_one_wins() -> None:
    leases = Raced(lease(spec(LONG)))
    with pytest.raises(Locked, match=r"another command has just begun to change the cluster: .*Conflict"):
        holding(leases).take()
    assert leases.lease is not None
    assert leases.lease["spec"]["holderIdentity"] == "elsewhere 2 rotate"


def test_while_a_command_is_alone_its_lock_is_renewed_asked_and_at_the_end_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leases, mine = Leases(), Cluster()
    free = mine.may_change
    monkeypatch.setattr(lock, "Cluster", lambda context: leases)
    monkeypatch.setattr(lock, "EVERY", 0.001)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError), lock.alone(mine, "deploy"):
        assert leases.lease is not None
        assert signal.getsignal(signal.SIGTERM) is not before
        with pytest.raises(lock.Interrupted):
            signal.raise_signal(signal.SIGTERM)
        mine.may_change()
        begun = leases.version
        while leases.version == begun:
            pass
        leases.away = "Error from server (Conflict)"
        with pytest.raises(Locked, match="the lock was lost"):
            while True:
                mine.may_change()
        leases.away = ""
        raise ZeroDivisionError
    assert leases.lease is None
    assert signal.getsignal(signal.SIGTERM) is before
    mine.may_change()
    assert free() is None
    leases.lease = lease(spec())
    with pytest.raises(Locked, match="is changing the cluster"), lock.alone(mine, "deploy"):
        pytest.fail("another has it")
    assert signal.getsignal(signal.SIGTERM) is before
    assert leases.lease is not None


def test_what_is_given_back_is_one_s_own_and_a_cluster_that_is_away_keeps_no_one() -> None:
    leases = Leases()
    held = holding(leases)
    held.take()
    leases.away = "connection refused"
    held.leave()  # what the command has to say is not hidden behind this
    leases.away = ""
    assert leases.lease is not None
    held.leave()
    assert leases.lease is None
    held.leave()
    others = Leases(lease(spec()))
    holding(others).leave()
    assert others.lease is not None
    assert "delete" not in others.told


def test_the_times_are_those_of_our_clock() -> None:
    leases = Leases()
    before = clock.now()
    holding(leases).take()
    assert leases.lease is not None
    assert before <= datetime.fromisoformat(leases.lease["spec"]["renewTime"]) <= clock.now()


@pytest.mark.parametrize(
    ("command", "words"),
    [(deploy, []), (rotate, ["grafana"]), (secrets, ["init"])],
    ids=["deploy", "rotate", "secrets"],
)
def test_whatever_changes_the_cluster_does_so_alone(
    command: ModuleType, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def held(cluster: Cluster, what: str) -> None:
        raise Locked(f"another is at work, and no {what}")

    monkeypatch.setattr(command, "alone", held)
    monkeypatch.setattr(command, "chosen", lambda args: Leases())
    monkeypatch.setattr(command, "make_namespaces", lambda cluster: None, raising=False)
    monkeypatch.setattr(command, "current", lambda checkout: True, raising=False)
    parser = argparse.ArgumentParser()
    command.configure(parser)
    assert command.main(parser.parse_args(words)) == 1
    assert "another is at work" in capsys.readouterr().err
