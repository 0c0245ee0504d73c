"""Which port each part gets."""

from pathlib import Path

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
            given = [*addresses.ports.values(), *(one.getsockname()[1] for one in addresses.listeners.values())]
            assert wanted not in given, name
        finally:
            addresses.close()
