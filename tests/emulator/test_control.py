"""How commands reach a running emulator, whom it answers, and what is said where there is none."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from emulator import control
from emulator.control import Between, ControlServer, NotRunning, Say
from emulator.process import CalledWrongly, StartError
from emulator.state.folder import State


@pytest.fixture
def state(tmp_path: Path) -> State:
    found = State(tmp_path / "state")
    found.create()
    return found


async def carry_out(request: dict[str, Any], say: Say) -> dict[str, Any]:
    match request["do"]:
        case "greet":
            say("one")
            say("two")
            return {"name": request["name"]}
        case "wrong":
            raise CalledWrongly("there is no such part")
        case "fails":
            raise StartError("it can't be done")
        case "breaks":
            raise ValueError("not a number")
    return {}


@pytest.fixture
async def server(state: State) -> AsyncIterator[ControlServer]:
    found = ControlServer(carry_out)
    await found.start()
    write(state, found)
    yield found
    found.close()


def write(state: State, server: ControlServer) -> None:
    about = {"pid": os.getpid(), "gateway": "", "control": server.port, "token": server.token}
    state.write_json(control.FILE, about)


async def test_an_order_is_answered_with_lines_before_and_what_goes_wrong_is_raised(
    state: State, server: ControlServer
) -> None:
    def ask() -> None:
        heard: list[str] = []
        assert control.ask(state, "greet", heard.append, name="mina")["name"] == "mina"
        assert heard == ["one", "two"]
        with pytest.raises(CalledWrongly, match="there is no such part"):
            control.ask(state, "wrong")
        with pytest.raises(StartError, match="it can't be done") as failed:
            control.ask(state, "fails")
        assert not isinstance(failed.value, CalledWrongly)
        with pytest.raises(StartError, match="ValueError: not a number"):
            control.ask(state, "breaks")

    await asyncio.to_thread(ask)


@pytest.mark.parametrize(
    "request_", [{"do": "greet", "name": "x"}, {"token": "other", "do": "greet", "name": "x"}, ["token"], "token"]
)
async def test_who_does_not_know_the_token_gets_nothing(server: ControlServer, request_: object) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(json.dumps(request_).encode() + b"\n")
    assert json.loads(await reader.readline()) == {"ok": False, "error": "wrong token"}
    assert await reader.read() == b"", "and the connection ends"
    writer.close()


async def test_a_token_is_known_when_all_of_it_is(server: ControlServer) -> None:
    for given in (f"{server.token}x", server.token[:-1], ""):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(json.dumps({"token": given, "do": "greet", "name": "x"}).encode() + b"\n")
        assert json.loads(await reader.readline()) == {"ok": False, "error": "wrong token"}
        writer.close()


async def test_an_answer_may_take_longer_than_the_connection(
    state: State, server: ControlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, goes_on = socket.create_connection, asyncio.Event()

    async def takes_long(request: dict[str, Any], say: Say) -> dict[str, Any]:
        say("begun")
        await goes_on.wait()
        return {}

    server.handle = takes_long
    monkeypatch.setattr(socket, "create_connection", lambda address, timeout: connect(address, timeout / 1000))
    asking = asyncio.create_task(asyncio.to_thread(control.ask, state, "snapshot-save", lambda line: None))
    await asyncio.wait({asking}, timeout=0.05)  # ten times as long as it had to connect
    goes_on.set()
    assert await asking == {"ok": True}


async def test_of_a_file_that_was_cut_short_nothing_of_before_is_in_the_first_line(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"one\nhalf of")
    lines = control.follow(file, 0, pause=0.001)
    assert await anext(lines) == b"one"
    file.write_bytes(b"new\nha")
    assert await anext(lines) == b"new"
    file.unlink()
    coming = asyncio.ensure_future(anext(lines))
    await asyncio.wait({coming}, timeout=0.02)
    file.write_bytes(b"a file of its own\n")
    assert await coming == b"a file of its own"
    await lines.aclose()


async def test_an_emulator_that_ends_before_its_answer_is_not_running(state: State) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.close()

    server = await asyncio.start_server(cut, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    state.write_json(control.FILE, {"pid": os.getpid(), "gateway": "", "control": port, "token": "x"})
    async with server:
        with pytest.raises(NotRunning, match="ended meanwhile"):
            await asyncio.to_thread(control.ask, state, "status")
    with pytest.raises(NotRunning, match="does not answer"):
        await asyncio.to_thread(control.ask, state, "status")


def test_where_none_runs_it_is_said_which_way(state: State) -> None:
    with pytest.raises(NotRunning, match="`eco2 up` starts it"):
        control.find(state)
    ended = subprocess.run(
        [sys.executable, "-S", "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    state.write_json(control.FILE, {"pid": int(ended.stdout), "gateway": "", "control": 1, "token": "x"})
    with pytest.raises(NotRunning, match="`eco2 up` starts it"):
        control.find(state)
    state.write_json(control.FILE, {"pid": os.getpid()})
    with pytest.raises(NotRunning, match="`eco2 up` starts it"):
        control.find(state)
    whole = {"pid": os.getpid(), "gateway": "", "control": 1, "token": "x"}
    with state.lock():
        state.write_json(control.FILE, whole)
        assert control.find(state) == whole
        for lost in whole:
            state.write_json(control.FILE, {name: value for name, value in whole.items() if name != lost})
            with pytest.raises(StartError, match=f"is damaged, though an emulator .pid {os.getpid()}. runs") as damaged:
                control.find(state)
            assert not isinstance(damaged.value, NotRunning)
        (state.path / control.FILE).unlink()
        with pytest.raises(Between, match="just starting, or ending"):
            control.find(state)


async def test_a_file_is_followed_by_whole_lines_also_when_it_is_cut_short_and_made_anew(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"before\none\nha")
    lines = control.follow(log, len(b"before\n"), pause=0)
    async with asyncio.timeout(30):
        assert await anext(lines) == b"one"
        with log.open("ab") as more:
            more.write(b"lf\n")
        assert await anext(lines) == b"half"
        log.write_bytes(b"new\nx")
        assert await anext(lines) == b"new"
        log.unlink()
        waiting = asyncio.ensure_future(anext(lines))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        log.write_bytes(b"again\n")
        assert await waiting == b"again"
