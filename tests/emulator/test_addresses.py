"""Which port each part gets."""

import socket
from pathlib import Path

import pytest

from emulator.process import free_port
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
