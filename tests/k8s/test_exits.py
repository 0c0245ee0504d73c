"""Whatever keeps a command from its end is one line of its own and an exit code: no stack, and no success"""

import argparse
from typing import Any

import psycopg
import pytest
from redis import RedisError

from k8s.programs import deploy, plan, rotate, secrets
from k8s.programs.cluster import ClusterError
from k8s.programs.deploy import DeployError
from k8s.programs.environments import UnknownEnvironment
from k8s.programs.images import UnknownImage
from k8s.programs.lock import Interrupted, Locked
from k8s.programs.rollout import RolloutError
from k8s.programs.room import RoomError
from k8s.programs.running import NotARecord
from runtime.closure import ClosureError
from runtime.loader import LoadError
from runtime.services import ServiceError

CHECKOUT = (NotARecord, ClusterError, ClosureError, LoadError, RoomError, ServiceError, UnknownEnvironment)
CAN_NOT: list[tuple[Any, type[Exception]]] = [
    *((deploy, error) for error in (*CHECKOUT, DeployError, Locked, RolloutError, UnknownImage)),
    *((plan, error) for error in CHECKOUT),
    *((rotate, error) for error in (ClusterError, Locked, RolloutError, UnknownEnvironment)),
    *((rotate, error) for error in (psycopg.OperationalError, RedisError)),
    *((secrets, error) for error in (ClusterError, Locked, UnknownEnvironment)),
]
ARGS = argparse.Namespace(dry_run=True, role=None, what="keys", to=None, running=None, env="prod", json=False)


def name_of(command: Any) -> str:
    return str(command.__name__.rpartition(".")[2])


def ends(command: Any, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    def fail(args: argparse.Namespace) -> None:
        raise error

    monkeypatch.setattr(command, "chosen", fail)
    monkeypatch.setattr(plan, "current", lambda checkout: True)
    code: int = command.main(ARGS)
    return code


@pytest.mark.parametrize(("command", "error"), CAN_NOT)
def test_what_can_not_be_done_is_a_line_and_a_failure(
    command: Any, error: type[Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends(command, error("it is away"), monkeypatch) == 1
    said = capsys.readouterr()
    assert said.err.splitlines()[-1].startswith(f"eco2 {name_of(command)}: ")
    assert "it is away" in said.err
    assert said.out == ""


@pytest.mark.parametrize("interrupted", [KeyboardInterrupt, Interrupted])
@pytest.mark.parametrize("command", [deploy, rotate, secrets])
def test_who_is_interrupted_hears_what_is_left_to_do(
    command: Any,
    interrupted: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ends(command, interrupted(), monkeypatch) == 130
    assert capsys.readouterr().err.startswith(f"eco2 {name_of(command)}: interrupted: ")
