"""`eco2 invoke SERVICE/FUNCTION`: call one function of the running system, as a user if wanted."""

import argparse
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from emulator import control
from emulator.commands.common import NOTHING_RUNS, add_state, one_line, state_of
from emulator.plain_http import PLAIN
from emulator.process import CalledWrongly, StartError
from emulator.state.folder import State
from runtime.loader import Function, discover
from runtime.services import ServiceError, find, suggestion
from shared import clock

# A token is made anew this long before its 15 minutes are over.
_SOON = 60.0

EXAMPLES = """\
eco2 invoke auth/me --as jun  # as a user, registered at first use
eco2 invoke recycle_info/search --query q=페트병  # a parameter of the query
eco2 invoke waste/get_analysis --as jun --path analysis_id=ID  # one in the path
eco2 invoke auth/login --json '{"username": "mina", "password": "correct horse"}'  # a body
eco2 invoke waste/create_analysis --as jun --json @body.json  # from a file; `--json -` reads a pipe
"""
EXIT_CODES = {1: "no answer, or one that is an error"} | NOTHING_RUNS


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Call an HTTP function by its name, through the gateway. The answer goes to standard output, its status and time "
        "to standard error."
    )
    parser.add_argument("function", metavar="SERVICE/FUNCTION", help="as `eco2 functions` names it")
    parser.add_argument("--json", metavar="BODY", help="the request's body; @FILE reads a file, - a pipe")
    parser.add_argument("--as", dest="person", metavar="NAME", help="as this user, who is registered at first use")
    parser.add_argument("--path", action="append", default=[], metavar="NAME=VALUE", help="a parameter in the path")
    parser.add_argument("--query", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the query")
    parser.add_argument("--header", action="append", default=[], metavar="NAME:VALUE", help="a header of the request")
    add_state(parser)


@one_line
def main(args: argparse.Namespace) -> int:
    state = state_of(args)
    gateway = control.find(state)["gateway"]
    method, template = _route(args.function)
    path = _fill(template, dict(_pair(word, "=") for word in args.path))
    headers = dict(_pair(word, ":") for word in args.header)
    body = _body(args.json) if args.json is not None else None
    query: list[tuple[str, str | int | float | bool | None]] = [_pair(word, "=") for word in args.query]
    try:
        with httpx.Client(base_url=gateway, timeout=60, **PLAIN) as client:
            if args.person:
                headers["Authorization"] = f"Bearer {token_of(args.person, state, client)}"
            started = time.perf_counter()
            answer = client.request(method, path, json=body, params=query, headers=headers)
            took = (time.perf_counter() - started) * 1000
    except httpx.HTTPError as error:
        raise StartError(f"{gateway}{path} does not answer: {error}") from None
    print(f"{answer.status_code} {answer.reason_phrase} {method} {path} {took:.0f} ms", file=sys.stderr)
    if answer.content:
        print(_pretty(answer))
    return 0 if answer.is_success else 1


def _body(given: str) -> Any:
    """The JSON itself, or that of `@FILE` or `-`, standard input. CalledWrongly when it is none."""
    try:
        if given == "-":
            return json.load(sys.stdin)
        return json.loads(Path(given[1:]).read_text(encoding="utf-8") if given.startswith("@") else given)
    except OSError as error:
        raise CalledWrongly(f"--json: {given[1:]} can't be read: {error.strerror}") from None
    except ValueError as error:
        where = {"-": "standard input", "@": given[1:]}.get(given[:1], "--json")
        raise CalledWrongly(f"{where} is no JSON: {error}") from None


def _pretty(answer: httpx.Response) -> str:
    if "json" in answer.headers.get("content-type", ""):
        return json.dumps(answer.json(), indent=2, ensure_ascii=False)
    return answer.text


def _route(name: str) -> tuple[str, str]:
    """The method and path of a function. StartError when there is none, or it is not an HTTP function."""
    folder, _, wanted = name.partition("/")
    try:
        functions: list[Function] = discover(find(folder))
    except ServiceError as error:
        raise CalledWrongly(str(error)) from None
    for function in functions:
        if function.name == wanted:
            if function.trigger != "http":
                raise CalledWrongly(f"{name} has no address: it runs on {function.where}")
            method, _, path = function.where.partition(" ")
            return method, path
    names = [function.name for function in functions if function.trigger == "http"]
    raise CalledWrongly(f"{folder} has no function {wanted}{suggestion(wanted, names)}")


def _fill(template: str, values: dict[str, str]) -> str:
    def put(found: re.Match[str]) -> str:
        name = found[1].partition(":")[0]
        if name not in values:
            raise CalledWrongly(f"the path is {template}: give --path {name}=...")
        return values.pop(name)

    path = re.sub(r"{([^}]+)}", put, template)
    if values:
        raise CalledWrongly(f"the path {template} has no {', '.join(values)}")
    return path


def _pair(word: str, separator: str) -> tuple[str, str]:
    name, found, value = word.partition(separator)
    if not found:
        raise CalledWrongly(f"{word!r} should be NAME{separator}VALUE")
    return name.strip(), value.strip()


def token_of(person: str, state: State, client: httpx.Client) -> str:
    """An access token of the user with that name, registered at first sight; kept in the state folder until it ends."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{3,100}", person):
        raise CalledWrongly(f"{person!r} can't be a user's name, which has 3 to 100 letters, digits, '.', '_' or '-'")
    # Two tabs that ask for the same new person at once register her once, and both keep what they have made.
    with state.held("people"):
        return _token_of(person, state, client)


def _token_of(person: str, state: State, client: httpx.Client) -> str:
    clock.use_file(str(state.path / "clock"))  # tokens end by the system's time
    people = state.read_json("people.json", dict[str, dict[str, Any]]) or {}
    known = people.setdefault(person, {"password": state.secret(f"person-{person}")})
    if known.get("ends", 0) - clock.time() > _SOON:
        return str(known["token"])
    login = {"username": person, "password": known["password"]}
    answer = client.post("/api/v1/auth/login", json=login)
    if answer.status_code == 401:
        made = client.post("/api/v1/auth/register", json=login | {"email": f"{person}@example.com"})
        if made.status_code == 409:
            raise StartError(
                f"{person} is registered already, with a password of their own: take another name for --as"
            )
        if made.status_code != 201:
            raise StartError(f"{person} cannot be registered: {made.json().get('detail', made.text)}")
        answer = client.post("/api/v1/auth/login", json=login)
    if answer.status_code != 200:
        raise StartError(f"{person} cannot log in: {answer.json().get('detail', answer.text)}")
    tokens = answer.json()
    known |= {"token": tokens["access_token"], "ends": clock.time() + tokens["expires_in"]}
    state.write_json("people.json", people)
    return str(tokens["access_token"])
