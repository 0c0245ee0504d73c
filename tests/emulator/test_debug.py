"""`eco2 up --debug`: a debugger's port for a part, the same after each of its restarts, and nothing left of it at the end."""

import json
import socket
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from emulator.process import alive
from tests.emulator.conftest import ROOT, Emulator
from tests.support import wait_until


class Debugger:
    """As much of the debug adapter protocol as it takes to stop somewhere: messages of JSON behind a Content-Length line."""

    def __init__(self, address: str) -> None:
        host, _, port = address.partition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        self.stream = self.socket.makefile("rb")
        self.count = 0
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.stream.close()
        self.socket.close()

    def send(self, command: str, **arguments: Any) -> int:
        self.count += 1
        request = {"seq": self.count, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(request).encode()
        self.socket.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        return self.count

    def read(self) -> dict[str, Any]:
        length = 0
        while line := self.stream.readline().strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        assert length > 0
        message: dict[str, Any] = json.loads(self.stream.read(length))
        return message

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """The command's answer; events on the way are kept."""
        sent = self.send(command, **arguments)
        while (message := self.read()).get("request_seq") != sent:
            self.events.append(message)
        assert message["success"], message
        body: dict[str, Any] = message.get("body") or {}
        return body

    def event(self, name: str) -> dict[str, Any]:
        """The event's body, as soon as it comes."""
        while not any(message.get("event") == name for message in self.events):
            self.events.append(self.read())
        found = next(message for message in self.events if message.get("event") == name)
        self.events.remove(found)
        body: dict[str, Any] = found.get("body") or {}
        return body

    def attach(self) -> None:
        assert self.ask("initialize", adapterID="eco2")["supportsConfigurationDoneRequest"]
        self.send("attach")
        self.event("initialized")

    def leave(self) -> None:
        self.ask("disconnect", terminateDebuggee=False)


@pytest.mark.slow
def test_a_debugger_reaches_the_part_again_after_each_restart_and_nothing_is_left(own_emulator: Emulator) -> None:
    def up() -> str:
        return own_emulator.eco2("up", "--detach", "--port", str(own_emulator.port), "--debug", "auth").stdout

    def part() -> dict[str, Any]:
        found: dict[str, Any] = next(each for each in own_emulator.about["parts"] if each["name"] == "api-auth")
        return found

    printed = up()
    address = part()["debug"]
    assert f"debugger {address}" in printed
    assert f"debugger {address}" in own_emulator.eco2("status").stdout
    assert [each["name"] for each in own_emulator.about["parts"] if "debug" in each] == ["api-auth"]

    with Debugger(address) as debugger, own_emulator.client() as client:
        debugger.attach()
        file = ROOT / "functions/auth/jwks.py"
        line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if text.strip().startswith("return"))
        debugger.ask("setBreakpoints", source={"path": str(file)}, breakpoints=[{"line": line}])
        debugger.ask("configurationDone")
        # The answer waits in the breakpoint until the debugger goes.
        request = socket.create_connection(("127.0.0.1", own_emulator.port), timeout=30)
        request.sendall(b"GET /api/v1/auth/jwks.json HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        assert debugger.event("stopped")["reason"] == "breakpoint"
        debugger.leave()
        with request, request.makefile("rb") as answer:
            assert answer.readline().split()[1] == b"200"
        assert client.get("/api/v1/auth/jwks.json").status_code == 200

    before = part()["pid"]
    own_emulator.eco2("kill", "api-auth")
    wait_until(lambda: not alive(before) and part()["state"] == "ready" and part()["pid"] not in (None, before))
    assert part()["debug"] == address
    with Debugger(address) as debugger:
        debugger.attach()
        debugger.leave()

    log = (own_emulator.folder / "logs" / "api-auth.log").read_text()
    assert "frozen" not in log
    assert imports_debugpy(part()["pid"])
    others = [each for each in own_emulator.about["parts"] if each["pid"] and each["name"] != "api-auth"]
    assert not any(imports_debugpy(each["pid"]) for each in others)

    with Debugger(address) as debugger:  # still there when it all ends
        debugger.attach()
        own_emulator.down()
    assert own_emulator.pids() == []
    up()
    assert part()["debug"] == address


def imports_debugpy(pid: int) -> bool:
    """Whether the process has one of debugpy's threads."""
    names = [(task / "comm").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return len(names) > 1 and "pydevd" in Path(f"/proc/{pid}/maps").read_text()


def test_an_unknown_service_is_one_line(new_emulator: Emulator) -> None:
    done = new_emulator.eco2("up", "--detach", "--debug", "api-aut", check=False)
    assert (done.returncode, done.stderr) == (1, "eco2: no service api-aut to debug: did you mean api-auth?\n")
    assert new_emulator.pids() == []
