"""What the emulator's commands make of their words, and what they do where nothing runs"""

import argparse
import asyncio
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from emulator import control
from emulator.commands import (
    common,
    down,
    exec,  # noqa: A004 - the command's name
    fault,
    invoke,
    kill,
    logs,
    pause,
    record,
    redis,
    reset,
    roll,
    scale,
    status,
    top,
)
from emulator.process import CalledWrongly, StartError
from emulator.state.folder import State
from runtime.services import ROOT
from shared import clock


def run(command: ModuleType, *words: str) -> int:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    code: int = command.main(parser.parse_args(words))
    return code


@pytest.mark.parametrize(
    ("command", "words", "code", "says"),
    [
        (exec, [], 2, "which command? eco2 exec -- pytest"),
        (exec, ["--"], 2, "which command? eco2 exec -- pytest"),
        (exec, ["--", "no-such-program"], 2, "no-such-program: no such command"),
        (exec, ["--", "--", "true"], 2, "--: no such command"),
        (exec, ["--running", "true"], 3, "eco2 up"),
        (fault, ["add", "s3", "cut", "5%"], 2, "cut takes no amount"),
        (fault, ["add", "s3", "cut"], 3, "eco2 up"),
        (logs, [], 3, "eco2 up"),
        (top, ["-n", "0"], 2, "-n takes 1 to 500"),
        (top, ["-n", "501"], 2, "-n takes 1 to 500"),
        (top, ["-n", "500"], 3, "eco2 up"),
        (top, ["-n", "1"], 3, "eco2 up"),
        (redis, ["cache", "DBSIZE"], 3, "eco2 up"),
        (invoke, ["auth/me"], 3, "eco2 up"),
        (reset, ["--yes"], 0, ""),
    ],
)
def test_a_wrong_call_is_told_from_one_where_nothing_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: ModuleType, words: list[str], code: int, says: str
) -> None:
    place = ["--state", str(tmp_path / "state")]
    own = [words[0], *place, *words[1:]] if command is fault else [*place, *words]
    assert run(command, *own) == code
    assert says in capsys.readouterr().err
    assert not (tmp_path / "state").exists(), "nothing was made"


@pytest.mark.parametrize(
    ("kind", "text", "fields"),
    [
        ("cut", "", {}),
        ("hang", "", {}),
        ("latency", "300ms", {"seconds": 0.3, "spread": 0.0}),
        ("latency", "300ms±100", {"seconds": 0.3, "spread": 0.1}),
        ("latency", "2s+-500ms", {"seconds": 2.0, "spread": 0.5}),
        ("latency", "1.5s±1", {"seconds": 1.5, "spread": 1.0}),
        ("throttle", "50KB/s", {"rate": 50_000.0}),
        ("throttle", "2m", {"rate": 2_000_000.0}),
        ("throttle", "7B", {"rate": 7.0}),
        ("reset", "5%", {"chance": 0.05}),
        ("swallow", "100%", {"chance": 1.0}),
        ("cut", "1s", "cut takes no amount"),
        ("hang", "1s", "hang takes no amount"),
        ("latency", "300", "latency needs an amount such as 300ms±100, not '300'"),
        ("latency", "5%", "latency needs an amount such as 300ms±100, not '5%'"),
        ("latency", "1.2.3s", "latency needs an amount such as 300ms±100, not '1.2.3s'"),
        ("swallow", "", "swallow needs an amount such as 5%, not ''"),
        ("throttle", "0", "throttle needs an amount such as 50KB/s, not '0'"),
        ("throttle", "300ms", "throttle needs an amount such as 50KB/s, not '300ms'"),
        ("reset", "101%", "reset needs an amount such as 5%, not '101%'"),
        ("swallow", "5", "swallow needs an amount such as 5%, not '5'"),
        ("reset", "50KB/s", "reset needs an amount such as 5%, not '50KB/s'"),
    ],
)
def test_how_bad_a_day_is_to_be(kind: str, text: str, fields: Any) -> None:
    if isinstance(fields, dict):
        assert fault.amount(kind, text) == pytest.approx(fields)
        return
    with pytest.raises(CalledWrongly) as refused:
        fault.amount(kind, text)
    assert str(refused.value) == fields


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("30", 30.0), ("30s", 30.0), ("1.5m", 90.0), ("2h", 7200.0), ("1d", 86400.0), ("366d", 366 * 86400.0)),
        *((wrong, None) for wrong in ("-1", "", "1w", "m", "1.m", "366.1d", "inf", "nan", "1e9d")),
    ],
)
def test_a_time_is_a_number_and_its_unit(text: str, seconds: float | None) -> None:
    if seconds is not None:
        assert common.duration(text) == seconds
        return
    with pytest.raises(argparse.ArgumentTypeError):
        common.duration(text)


@pytest.mark.parametrize(("text", "good"), [("1", True), ("65535", True), ("0", False), ("65536", False), ("x", False)])
def test_a_port_is_one_to_listen_on(text: str, good: bool) -> None:
    if good:
        assert common.port(text) == int(text)
        return
    with pytest.raises(argparse.ArgumentTypeError, match=f"^{text} is no port: 1 to 65535$"):
        common.port(text)


def test_how_many_of_what_is_said_in_one_word_or_several() -> None:
    assert common.counts(["worker-ai=2,api-auth=1", "api-waste=0"]) == {"worker-ai": 2, "api-auth": 1, "api-waste": 0}
    for wrong in ("worker-ai", "worker-ai=", "=3", "worker-ai=-1", "a=1,,b=2"):
        with pytest.raises(CalledWrongly, match="does not say how many of what: worker-ai=3"):
            common.counts([wrong])


@pytest.mark.parametrize(("answer", "means"), [("y", True), (" YES ", True), ("n", False), ("", False), (None, False)])
def test_only_a_yes_is_one(answer: str | None, means: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO("" if answer is None else f"{answer}\n"))
    assert common.confirmed("Delete it?") is means


def test_our_options_behind_another_program_s_words_are_ours(tmp_path: Path) -> None:
    args = argparse.Namespace(state=None, name=None, arguments=["DBSIZE", "--name", "two", "--st", "x"])
    common.own_options(args)
    assert (args.name, args.state, args.arguments) == ("two", None, ["DBSIZE", "--st", "x"])
    for wrong in ("../two", "", "a b"):
        with pytest.raises(CalledWrongly, match="is no name: letters, digits, - and _"):
            common.state_of(argparse.Namespace(state=tmp_path, name=wrong))
    assert common.state_of(argparse.Namespace(state=tmp_path, name="a-b_1")).path == tmp_path


def test_a_reset_deletes_all_but_what_was_made_on_purpose(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = {"model", "snapshots", "recordings", "lock", "named"}
    for name in (*kept - {"lock"}, "keys", "objects"):
        (tmp_path / name).mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "theirs").touch()
    (tmp_path / "link").symlink_to(tmp_path / "snapshots")
    place = ["--state", str(tmp_path)]
    assert run(reset, *place, "--yes") == 1
    assert f"nothing was deleted: {tmp_path} is no state folder" in capsys.readouterr().err
    (tmp_path / "secrets.json").write_text("{}")
    assert run(reset, *place, "--yes") == 0
    assert {path.name for path in tmp_path.iterdir()} == kept
    assert capsys.readouterr().out == f"{tmp_path} is empty; the next `eco2 up` begins anew\n"


def test_a_reset_asks_first_and_waits_for_nobody_who_holds_the_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "secrets.json").write_text("{}")
    monkeypatch.setattr(sys, "stdin", StringIO("n\n"))
    assert run(reset, "--state", str(tmp_path)) == 1
    assert capsys.readouterr().out.endswith("nothing was deleted\n")
    with State(tmp_path).lock():
        assert run(reset, "--state", str(tmp_path), "--yes") == 1
    assert (tmp_path / "secrets.json").exists()


@pytest.mark.parametrize(("code", "told"), [(0, 0), (3, 3), (-15, 143), (-9, 137)])
def test_a_command_s_end_is_told_as_a_shell_tells_it(code: int, told: int) -> None:
    assert exec._exit_code(code) == told


@pytest.mark.parametrize("told", [False, True])
async def test_a_command_that_ends_by_itself_ends_as_it_does_also_where_all_is_to_stop(told: bool) -> None:
    stopping = asyncio.Event()
    if told:
        stopping.set()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "raise SystemExit(7)")
    assert await exec._end_of(process, stopping) == 7


@pytest.mark.parametrize(
    ("answer", "lines"),
    [
        (None, ["(nil)"]),
        (b"\xea\xb0\x80\xff", ["가\\xff"]),
        (5, ["5"]),
        ([], ["(empty)"]),
        ([b"a", None], ["1) a", "2) (nil)"]),
        ({b"a": [1, [2]]}, ["1) a", "2) 1) 1", "   2) 1) 2"]),
    ],
)
def test_an_answer_of_redis_for_a_person(answer: object, lines: list[str]) -> None:
    assert redis.lines(answer) == lines


def test_a_console_of_the_machine_s_own_gets_the_password_where_no_one_else_sees_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "redis-cli"
    program.write_text("")
    program.chmod(0o755)
    environment = {"BROKER_REDIS_URL": "redis://:p%40ss@127.0.0.1:6400/0"}
    became: list[list[str]] = []

    def become(_: str, words: list[str]) -> None:
        became.append(words)
        raise SystemExit(0)

    monkeypatch.setattr(control, "ask", lambda *_, **__: {"environment": environment})
    monkeypatch.setattr(redis.os, "execv", become)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("REDISCLI_AUTH", "")
    with pytest.raises(SystemExit):
        run(redis, "broker", "DBSIZE", "--state", str(tmp_path))
    assert became == [[str(program), "-h", "127.0.0.1", "-p", "6400", "DBSIZE"]]
    assert os.environ["REDISCLI_AUTH"] == "p@ss"


@pytest.mark.parametrize(("text", "good"), [("0", True), ("40", True), ("-1", False), ("x", False)])
def test_lines_are_counted(text: str, good: bool) -> None:
    most = logs.logbook.MOST
    assert logs._count(str(most)) == most
    for wrong in [str(most + 1), *([] if good else [text])]:
        with pytest.raises(argparse.ArgumentTypeError, match=f"is no number of lines: 0 to {most}"):
            logs._count(wrong)
    assert not good or logs._count(text) == int(text)


def test_a_path_gets_all_its_parameters_and_no_more() -> None:
    template = "/analyses/{analysis_id:uuid}/images/{name}"
    assert invoke._fill(template, {"analysis_id": "1", "name": "web"}) == "/analyses/1/images/web"
    with pytest.raises(CalledWrongly, match="give --path name="):
        invoke._fill(template, {"analysis_id": "1"})
    with pytest.raises(CalledWrongly, match=r"has no x, y$"):
        invoke._fill("/a", {"x": "1", "y": "2"})
    assert invoke._pair(" q = a=b ", "=") == ("q", "a=b")
    with pytest.raises(CalledWrongly, match="'q' should be NAME:VALUE"):
        invoke._pair("q", ":")


def test_a_function_is_found_by_its_name_or_said_to_have_no_address() -> None:
    assert invoke._route("auth/me") == ("GET", "/api/v1/auth/me")
    for name, says in (
        ("auth/mee", "auth has no function mee: did you mean me"),
        ("auth", "auth has no function "),
        ("storage/process_photo", "storage/process_photo has no address: it runs on queue storage"),
        ("aut/me", "aut"),
    ):
        with pytest.raises(CalledWrongly, match=says):
            invoke._route(name)


def test_a_body_is_given_by_hand_by_file_or_by_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "body").write_text('{"a": "가"}', encoding="utf-8")
    (tmp_path / "none").write_text("{")
    monkeypatch.setattr(sys, "stdin", StringIO("[1]"))
    given = ('{"b": 1}', f"@{tmp_path / 'body'}", "-")
    assert [invoke._body(one) for one in given] == [{"b": 1}, {"a": "가"}, [1]]
    for wrong, says in (
        ("{", "^--json is no JSON: "),
        ("-", "^standard input is no JSON: "),
        (f"@{tmp_path / 'none'}", f"^{tmp_path / 'none'} is no JSON: "),
        (f"@{tmp_path / 'nowhere'}", "can't be read: No such file or directory"),
    ):
        with pytest.raises(CalledWrongly, match=says):
            invoke._body(wrong)


class Auth:
    """A service that knows some people by their passwords and registers others; it notes what it is asked."""

    def __init__(self, **people: str) -> None:
        self.people, self.asked = people, list[str]()
        self.status = 201

    def __call__(self, request: httpx.Request) -> httpx.Response:
        given = json.loads(request.content)
        self.asked.append(request.url.path.rpartition("/")[2])
        if self.asked[-1] == "register":
            if self.status == 201 and given["username"] in self.people:
                return httpx.Response(409)
            self.people[given["username"]] = given["password"]
            return httpx.Response(self.status, json={"detail": "no room"})
        if self.people.get(given["username"]) != given["password"]:
            return httpx.Response(401, json={"detail": "wrong"})
        return httpx.Response(200, json={"access_token": f"token-{len(self.asked)}", "expires_in": 900})


@pytest.fixture
def person(tmp_path: Path) -> Any:
    """`person(auth)`: her token from a state folder that the calls share."""
    state = State(tmp_path)
    state.create()
    clock.write_offset(str(tmp_path / "clock"), 0.0)

    def token(auth: Callable[[httpx.Request], httpx.Response], name: str = "mina") -> str:
        with httpx.Client(base_url="http://gateway", transport=httpx.MockTransport(auth)) as client:
            return invoke.token_of(name, state, client)

    yield token
    clock.use_file(None)


def test_a_person_is_registered_at_first_sight_and_her_token_kept_until_it_ends(person: Any, tmp_path: Path) -> None:
    auth = Auth()
    assert person(auth) == "token-3"
    assert auth.asked == ["login", "register", "login"]
    assert person(auth) == "token-3"
    assert len(auth.asked) == 3, "she is known"
    for ahead, asked in ((900 - 70, 3), (900 - 50, 4)):  # a minute before it ends it is made anew
        clock.write_offset(str(tmp_path / "clock"), float(ahead))
        person(auth)
        assert len(auth.asked) == asked
    assert auth.asked[-1] == "login"
    assert (tmp_path / "people.json").stat().st_mode & 0o777 == 0o600


def test_whoever_has_a_password_of_their_own_is_nobody_to_call_as(person: Any) -> None:
    with pytest.raises(StartError, match="mina is registered already, with a password of their own"):
        person(Auth(mina="her own"))
    auth = Auth()
    auth.status = 507
    with pytest.raises(StartError, match="mina cannot be registered: no room"):
        person(auth)
    with pytest.raises(StartError, match="mina cannot log in: away"):
        person(lambda _: httpx.Response(503, json={"detail": "away"}))
    for wrong in ("ab", "a b c", "x" * 101):
        with pytest.raises(CalledWrongly, match="can't be a user's name"):
            person(Auth(), wrong)
    assert person(Auth(), "abc")


WHERE = {"--state", "--name"}
# They ask no emulator, or are no command.
OF_NONE = {"completion", "dashboard_api", "common"}


def actions(parser: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, set[str]]]:
    """A command, or each of its actions, with the options that it takes."""
    below = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    for one in below:
        for word, inner in one.choices.items():
            yield from actions(inner, f"{name} {word}")
    if not below:
        yield name, {option for one in parser._actions for option in one.option_strings}


def test_each_action_of_each_command_can_be_told_which_emulator_is_meant() -> None:
    found = {}
    for file in sorted((ROOT / "emulator/commands").glob("[!_]*.py")):
        command = importlib.import_module(f"emulator.commands.{file.stem}")
        if file.stem not in OF_NONE:
            parser = argparse.ArgumentParser()
            command.configure(parser)
            found |= dict(actions(parser, file.stem))
    assert {"fault list", "snapshot import", "up"} <= set(found)
    assert {name for name, options in found.items() if not options >= WHERE} == set()


CUT = {"target": "s3", "kind": "cut", "source": None}
RESET = {"target": "s3", "kind": "reset", "source": "api-waste", "chance": 0.05}
PART = {"name": "worker-ai", "state": "paused"}


@pytest.mark.parametrize(
    ("command", "words", "asked", "answer", "says"),
    [
        (fault, ["list"], ["fault-list", {}], {"faults": []}, "no faults\n"),
        (fault, ["list"], ["fault-list", {}], {"faults": ["f1: a", "f2: b"]}, "f1: a\nf2: b\n"),
        (fault, ["list", "--json"], ["fault-list", {}], {"faults": ["f1: 가"]}, '[\n  "f1: 가"\n]\n'),
        (fault, ["add", "s3", "cut"], ["fault-add", {"fault": CUT, "seconds": None}], {"faults": ["f1"]}, "f1\n"),
        (
            fault,
            ["add", "s3", "reset", "5%", "--service", "api-waste", "--for", "10s"],
            ["fault-add", {"fault": RESET, "seconds": 10.0}],
            {"faults": ["f1"]},
            "f1\n",
        ),
        (fault, ["clear", "f2"], ["fault-clear", {"id": "f2"}], {"faults": []}, "no faults\n"),
        (fault, ["clear"], ["fault-clear", {"id": None}], {"faults": []}, "no faults\n"),
        (kill, ["worker-ai"], ["kill", {"part": "worker-ai"}], {"part": PART}, "worker-ai was killed\n"),
        (pause, ["worker-ai"], ["pause", {"part": "worker-ai"}], {"part": PART}, "worker-ai is paused\n"),
        (pause, ["worker-ai", "--resume"], ["resume", {"part": "worker-ai"}], {"part": PART}, "worker-ai is paused\n"),
        (roll, ["api-waste"], ["roll", {"service": "api-waste"}], {"replaced": ["a", "b"]}, "replaced a, b\n"),
        (scale, ["a=1", "b=2"], ["scale", {"replicas": {"a": 1, "b": 2}}], {"said": ["x", "y"]}, "x\ny\n"),
        (status, ["-o", "env"], ["environment", {}], {"environment": {"B": "x y", "A": "1"}}, "A=1\nB='x y'\n"),
        (record, ["on", "bug"], ["record-on", {"name": "bug"}], {"said": "from now on"}, "from now on\n"),
        (record, ["off"], ["record-off", {}], {"said": "it has ended"}, "it has ended\n"),
    ],
)
def test_what_a_command_asks_of_the_emulator_and_what_it_says_then(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: ModuleType,
    words: list[str],
    asked: list[object],
    answer: dict[str, Any],
    says: str,
) -> None:
    orders: list[object] = []

    def ask(state: State, do: str, **more: object) -> dict[str, Any]:
        orders.extend([state.path, do, more])
        return answer

    monkeypatch.setattr(control, "ask", ask)
    assert run(command, *words, "--state", str(tmp_path)) == 0
    assert (orders, capsys.readouterr().out) == ([tmp_path, *asked], says)


@pytest.mark.parametrize(("state", "code"), [("ready", 0), ("paused", 1), ("silent", 1), ("failed", 1)])
def test_the_status_is_good_when_every_part_is_ready(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: str, code: int
) -> None:
    about = {"parts": [{"name": "api-auth", "state": "ready"}, {"name": "api-waste", "state": state}]}
    orders: list[object] = []
    monkeypatch.setattr(
        control, "ask", lambda state, do, **more: orders.append((do, more)) or {"about": about, "troubles": []}
    )
    for words in (["--json"], ["-o", "json"]):
        assert run(status, *words) == code
        assert json.loads(capsys.readouterr().out) == about
    assert orders == [("status", {"look": True})] * 2


def test_down_has_stopped_when_its_process_has_and_finds_nothing_to_stop(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers: list[Any] = [control.Between("it is starting"), {"pid": ended()}, control.NotRunning("none runs")]

    def ask(state: State, do: str) -> Any:
        assert do == "stop"
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(control, "ask", ask)
    assert (run(down), capsys.readouterr().out) == (0, "stopped\n")
    assert (run(down), capsys.readouterr().out) == (0, "nothing to stop: none runs\n")
    assert answers == []


def ended() -> int:
    """The number of a process that there was."""
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as process:
        return process.pid
