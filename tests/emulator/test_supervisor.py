"""One emulator put together: who is told what when parts come and go, and what is left of a killed one"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emulator import supervisor as supervising
from emulator.process import born
from emulator.state.folder import State
from emulator.supervisor import Supervisor, end_leftovers
from emulator.system import System
from tests.emulator.trials import Trials

SLEEP = (sys.executable, "-S", "-c", "import time; time.sleep(600)")


@pytest.fixture
def put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Supervisor, dict[str, Any]]]:
    """An emulator whose parts do not run, and the last order of each."""
    monkeypatch.setattr(supervising, "Launcher", lambda environment, logs, early: Trials(logs))
    made = Supervisor(State(tmp_path), None, {}, lambda line: None, replicas={"worker-ai": 2, "api-waste": 2})
    made.system = System(made.state, *made._wanted)
    made._compose()
    orders: dict[str, Any] = {}
    monkeypatch.setattr(made.fleet, "order", orders.__setitem__)
    yield made, orders
    made.system.addresses.close()


def test_the_gateway_is_told_of_a_family_none_of_which_lives_and_of_code_that_does_not_load(
    put_together: tuple[Supervisor, dict[str, Any]],
) -> None:
    made, orders = put_together
    keepers = made.fleet.keepers
    keepers["worker-ai"].state = keepers["api-auth"].state = "failed"
    keepers["api-waste"].stale = "SyntaxError"
    made._order_gateway()
    told = orders["gateway"]
    assert (told["away"], told["errors"], told["apart"]) == (["api-auth"], {"api-waste": "SyntaxError"}, [])
    assert {name for _, name, _ in told["services"]} == {k.part.family for k in made.fleet.of_kind("service")}
    keepers["worker-ai/2"].state = "failed"
    made._order_gateway()
    assert sorted(orders["gateway"]["away"]) == ["api-auth", "worker-ai"]


def test_the_proxy_sends_nothing_to_a_replica_that_is_away_and_is_told_only_of_changes(
    put_together: tuple[Supervisor, dict[str, Any]],
) -> None:
    made, orders = put_together

    def places() -> set[str]:
        return {place["name"] for link in orders["proxy"]["links"] for place in link["to"]}

    made._order_proxy()
    before = places()
    orders.clear()
    made._follow_replicas()
    assert orders == {}
    made.fleet.keepers["api-waste/2"].state = "failed"
    made._follow_replicas()
    assert before - places() == {"api-waste/2"}
    orders.clear()
    made._order_everyone()
    assert set(orders) == {"proxy", "gateway"}
    for kind, name in (("proxy", "proxy"), ("gateway", "gateway")):
        orders.clear()
        (keeper,) = made.fleet.of_kind(kind)
        made._first_order(keeper.part)
        assert list(orders) == [name]


def test_the_first_reason_is_the_one_that_is_told(put_together: tuple[Supervisor, dict[str, Any]]) -> None:
    made, _ = put_together
    made.fleet.fatal(supervising.StartError("first"))
    made._give_up(supervising.StartError("second"))
    assert (str(made.fatal), made.stopping.is_set()) == ("first", True)


def test_what_a_killed_emulator_left_is_ended_and_no_one_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "LEFT", 0.0)
    end_leftovers(State(tmp_path))
    left, another, unknown = (subprocess.Popen(SLEEP) for _ in range(3))
    try:
        parts = [
            {"pid": left.pid, "born": born(left.pid)},
            {"pid": another.pid, "born": "1"},
            {"pid": unknown.pid, "born": None},
            {"pid": None},
        ]
        (tmp_path / "emulator.json").write_text(json.dumps({"parts": parts}))
        end_leftovers(State(tmp_path))
        assert (left.wait(30), another.poll(), unknown.poll()) == (-9, None, None)
        end_leftovers(State(tmp_path))
    finally:
        for process in (left, another, unknown):
            process.kill()
            process.wait()


def test_what_runs_is_written_for_commands_and_for_the_next_start(
    put_together: tuple[Supervisor, dict[str, Any]], tmp_path: Path
) -> None:
    made, _ = put_together
    with subprocess.Popen(SLEEP) as me:
        made.fleet.keepers["api-auth"].process = me
        made._write_about()
        about = json.loads((tmp_path / "emulator.json").read_text())
        found = {part["name"]: (part["pid"], part["born"]) for part in about["parts"]}
        assert found["api-auth"] == (me.pid, born(me.pid))
        assert found["api-waste"] == (None, None)
        assert (about["gateway"], about["control"], about["token"]) == (
            made.system.addresses.gateway_url,
            made._control.port,
            made._control.token,
        )
        me.kill()
