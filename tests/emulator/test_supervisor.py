"""One emulator put together: who is told what when parts come and go, and what is left of a killed one"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from emulator import supervisor as supervising
from emulator.network.links import Fault
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
    left = subprocess.Popen(SLEEP)
    another, unknown = (subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2))
    try:
        parts = [
            {"pid": left.pid, "born": born(left.pid)},
            {"pid": another.pid, "born": "1"},
            {"pid": unknown.pid, "born": None},
            {"pid": None},
        ]
        (tmp_path / "emulator.json").write_text(json.dumps({"parts": parts}))
        end_leftovers(State(tmp_path))
        assert left.wait(30) == -9
        # Who was killed, too, may still be ending, but answers no more.
        assert [one.communicate(b"here")[0] for one in (another, unknown)] == [b"here"] * 2
        end_leftovers(State(tmp_path))

        def waited(seconds: float) -> None:
            pytest.fail("for one that had ended before")

        monkeypatch.setattr(supervising, "LEFT", 600.0)
        monkeypatch.setattr(time, "sleep", waited)
        ended = subprocess.Popen(SLEEP)
        ended.kill()
        ended.wait()
        (tmp_path / "emulator.json").write_text(json.dumps({"parts": [{"pid": ended.pid, "born": None}]}))
        end_leftovers(State(tmp_path))
        monkeypatch.undo()
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


async def test_at_the_end_nothing_begins_any_more_and_servers_end_without_faults_before_their_addresses(
    put_together: tuple[Supervisor, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, orders = put_together
    steps: list[str] = []

    async def stop() -> None:
        steps.append(f"parts, {len(orders['proxy']['faults'])} faults, {made.stopping.is_set()}")

    monkeypatch.setattr(made.fleet, "stop", stop)
    close = made.system.addresses.close
    for owner, name, step in (
        (made._control, "close", "orders"),
        (made._launcher, "stop_programs", "programs"),
        (made._launcher, "close", "templates"),
        (made.system.addresses, "close", "addresses"),
    ):
        monkeypatch.setattr(owner, name, lambda step=step: steps.append(step), raising=False)
    made._faults.add(Fault(id="f1", target="s3", kind="cut"), None)
    await made._stop()
    close()
    assert steps == ["orders", "programs", "parts, 0 faults, True", "templates", "addresses"]


@pytest.mark.parametrize("good", [True, False])
def test_a_restored_state_is_kept_when_every_part_runs_on_it(
    put_together: tuple[Supervisor, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, good: bool
) -> None:
    made, _ = put_together
    confirmed: list[State] = []
    monkeypatch.setattr(supervising.restore, "confirm", confirmed.append)
    for keeper in made.fleet.keepers.values():
        keeper.state = "ready"
    if not good:
        made.fleet.keepers["api-auth"].state, made.fleet.keepers["api-auth"].error = "failed", "no such table"
    assert made._believe("yesterday") is good
    assert (confirmed, made.stopping.is_set()) == ([made.state] if good else [], not good)
    assert (str(made.fatal) if made.fatal else "") == ("" if good else "api-auth: no such table")


@pytest.mark.parametrize(
    ("ends", "started", "why"), [("well", True, ""), ("told", False, ""), ("wrong", False, "no room")]
)
async def test_a_start_ends_when_all_runs_or_someone_says_stop_or_something_can_t_be(
    put_together: tuple[Supervisor, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, ends: str, started: bool, why: str
) -> None:
    made, _ = put_together
    given_up: list[str] = []

    async def settled() -> None:
        return

    async def run() -> None:
        if ends == "wrong":
            raise supervising.StartError("no room")
        if ends == "told":
            made.stopping.set()
            try:
                await asyncio.Future()
            finally:
                given_up.append("set-up")

    before = asyncio.all_tasks()
    monkeypatch.setattr(made.fleet, "begin", lambda: None)
    monkeypatch.setattr(made.fleet, "settled", settled)
    monkeypatch.setattr(made.setup, "run", run)
    async with asyncio.timeout(30) as patience:
        assert await made._start() is started
    assert not patience.expired()
    assert (str(made.fatal) if made.fatal else "", made.stopping.is_set()) == (why, not started)
    assert given_up == (["set-up"] if ends == "told" else [])
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before, "nothing is left that would go on"


@pytest.mark.parametrize("restored", [False, True])
@pytest.mark.parametrize("ends", ["no start", "a part failed", "broken"])
async def test_an_emulator_that_can_t_go_on_says_why_ends_its_parts_and_gives_a_restored_state_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: str, restored: bool
) -> None:
    made = Supervisor(State(tmp_path), None, {}, lambda line: None)
    made.state.create()
    steps: list[str] = []

    async def start() -> bool:
        steps.append(f"started, found: {(tmp_path / 'emulator.json').exists()}")
        made.fleet.keepers["api-auth"].error = "no such table"
        if ends == "no start":
            made._give_up(supervising.StartError("no room"))
        return ends != "no start"

    async def stop() -> None:
        steps.append("stopped")
        made._control.close()
        made.system.addresses.close()

    async def on_ready(_: Supervisor) -> None:
        raise LookupError("broken")

    for owner, name, step in (
        (supervising, "end_leftovers", "processes"),
        (supervising.inspection, "inspect", "files"),
        (supervising.recorder, "finish_left", "recording"),
    ):
        monkeypatch.setattr(owner, name, lambda *_, step=step: steps.append(step))

    def swap(_: State) -> SimpleNamespace | None:
        steps.append("swap")
        return SimpleNamespace(name="yesterday") if restored else None

    monkeypatch.setattr(supervising, "Launcher", lambda environment, logs, early: Trials(logs))
    monkeypatch.setattr(made, "_listen_to_signals", lambda: None)
    monkeypatch.setattr(made, "_start", start)
    monkeypatch.setattr(made, "_stop", stop)
    monkeypatch.setattr(supervising.restore, "swap", swap)
    monkeypatch.setattr(supervising.restore, "pending", lambda _: restored or None)
    monkeypatch.setattr(supervising.restore, "undo", lambda _: steps.append("undone"))
    believed = ends == "broken" or not restored
    monkeypatch.setattr(made, "_believe", lambda _: believed or bool(made._give_up(supervising.StartError("no table"))))
    # A part that failed ends only the first run on a restored state.
    why = "no room" if ends == "no start" else "no table" if ends == "a part failed" and restored else ""
    with pytest.raises(supervising.StartError if why else LookupError) as ended:
        await made.run(on_ready)
    undone = bool(why) and restored
    assert str(ended.value) == (
        f"the restored state yesterday did not start: {why}; the state before is back, and `eco2 up` starts it"
        if undone
        else why or "broken"
    )
    # What was left is ended and looked at before anything is swapped or begun.
    begin = ["processes", "files", "recording", "swap"]
    assert steps == [*begin, "started, found: True", "stopped", *(["undone"] if undone else [])]
    assert not (tmp_path / "emulator.json").exists()
