"""Which port each part gets."""

import socket
from pathlib import Path
from typing import Any

import pytest

from emulator import addresses as addressing
from emulator.network.links import Link
from emulator.process import StartError, free_port
from emulator.state.folder import State
from emulator.system import System


def test_no_part_is_given_the_port_that_was_asked_for_the_gateway(tmp_path: Path) -> None:
    state, wanted = State(tmp_path), free_port()
    for name in ("health-worker-storage", "s3", "api-auth"):
        state.write_json("ports.json", {name: wanted})
        addresses = System(state, wanted, {}).addresses
        try:
            assert addresses.gateway_url == f"http://127.0.0.1:{wanted}"
            servers = ("postgres", "redis-broker", "redis-cache")
            assert wanted not in map(addresses.port_of, [*servers, *addresses.listeners]), name
        finally:
            addresses.close()


class CountedState(State):
    written = 0

    def write_json(self, name: str, value: Any, durable: bool = True) -> None:
        self.written += name == "ports.json"
        super().write_json(name, value, durable)


def test_a_first_start_waits_for_the_disk_once_for_the_gateway_s_port_and_once_for_all_others(tmp_path: Path) -> None:
    state = CountedState(tmp_path)
    addresses = System(state, free_port(), {}).addresses
    try:
        assert len(addresses.listeners) > 10
        assert state.written <= 2
    finally:
        addresses.close()


def test_no_one_else_can_take_the_port_that_a_part_of_ours_listens_on(tmp_path: Path) -> None:
    system = System(State(tmp_path), free_port(), {})
    try:
        system.addresses.scale(system.service("ai"), 2)
        parts = {part.name: part for part in system.parts()}
        for name in ("s3", "proxy", "gateway", "dashboard", "api-auth", "worker-ai", "worker-ai/2", "syncer-ai/2"):
            port = int(parts[name].address.rpartition(":")[2])
            with pytest.raises(OSError, match="in use"):
                socket.create_server(("127.0.0.1", port))
            handed = [socket.socket(fileno=fd) for fd in parts[name].command().pass_fds]
            assert port in [one.getsockname()[1] for one in handed], f"{name} would have to take it anew at each start"
            for one in handed:
                one.detach()
    finally:
        system.addresses.close()


def test_a_replica_that_comes_later_tells_its_spans_to_the_dashboard_that_runs(tmp_path: Path) -> None:
    system = System(State(tmp_path), free_port(), {})
    try:
        told = {part.name: part.command().env["ECO2_SPANS"] for part in system.parts() if part.kind == "service"}
        system.addresses.scale(system.service("waste"), 2)
        (second,) = system.replica(system.service("waste"), 2)
        assert {*told.values(), second.command().env["ECO2_SPANS"]} == {
            f"127.0.0.1:{system.addresses.port_of('dashboard')}"
        }
    finally:
        system.addresses.close()


def pairs(system: System, *away: str) -> dict[str, Link]:
    return {f"{link.source}>{link.target}": link for link in system.addresses.links(away)}


def test_the_gateway_is_where_it_was_asked_for_or_where_it_was_or_at_the_next_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = free_port()
    monkeypatch.setattr(addressing, "GATEWAY_PORT", first)

    def gateway(wanted: int | None = None) -> int:
        found = System(State(tmp_path), wanted, {}).addresses
        port = int(found.gateway_url.rpartition(":")[2])
        found.close()
        return port

    assert gateway() == first
    with socket.create_server(("127.0.0.1", first)):
        second = gateway()
        assert first < second < first + 100
        with pytest.raises(StartError, match=f"port {first} for the gateway: address already in use; take another"):
            gateway(first)
    assert gateway() == second, "where it was the last time"
    assert gateway(first) == first
    assert gateway() == second, "what was asked for once is not kept"


def test_a_link_leads_to_the_replicas_that_are_there_and_to_all_when_none_is(tmp_path: Path) -> None:
    system = System(State(tmp_path), free_port(), {})
    waste = system.service("waste")
    try:
        system.addresses.scale(waste, 2)

        def places(*away: str) -> list[str]:
            return [place.name for place in pairs(system, *away)["gateway>api-waste"].to]

        assert places() == ["api-waste", "api-waste/2"]
        assert places("api-waste") == ["api-waste/2"]
        assert places("api-waste", "api-waste/2") == ["api-waste", "api-waste/2"]
        assert "api-waste/2>postgres" in pairs(system)
        second = system.addresses.listeners["api-waste/2"]
        system.addresses.scale(waste, 1)
        assert (second.fileno(), places()) == (-1, ["api-waste"]), "a connection would wait in it for no one"
        assert "api-waste/2>postgres" not in pairs(system)
        del system.services["waste"]
        system.addresses.forget(waste)
        assert [pair for pair in pairs(system) if "api-waste" in pair] == [], "nor of who would call it"
        assert "gateway>api-auth" in pairs(system)
        assert "api-waste" not in system.addresses.listeners
    finally:
        system.addresses.close()


def test_a_part_reaches_another_through_its_link_and_a_person_reaches_it_directly(tmp_path: Path) -> None:
    state = State(tmp_path)
    system = System(state, free_port(), {})
    there, waste = system.addresses, system.service("waste")
    try:
        links = {pair: link.port for pair, link in pairs(system).items()}
        assert len(set(links.values())) == len(links)
        ways = {
            "s3": [there.s3("api-waste"), there.s3()],
            "postgres": [there.dsn("api_waste_role", "waste", "api-waste"), there.dsn("api_waste_role", "waste")],
            "redis-broker": [there.redis("redis-broker", "api-waste", waste), there.redis("redis-broker")],
            "api-recycle-info": [there.service("api-recycle-info", "api-waste"), there.service("api-recycle-info")],
        }
        for target, (linked, direct) in ways.items():
            assert f"127.0.0.1:{links[f'api-waste>{target}']}" in linked
            assert f"127.0.0.1:{there.port_of(target)}" in direct
        assert waste.name in there.redis("redis-broker", "api-waste", waste)
        assert waste.name not in there.redis("redis-broker", "api-waste")
        health = [name for name in there.listeners if name.startswith("health-")]
        assert sorted(health) == sorted(
            f"health-{kind}-{name}" for kind in ("worker", "syncer") for name in ("ai", "storage")
        )
    finally:
        there.close()
