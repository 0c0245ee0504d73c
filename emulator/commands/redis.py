"""`eco2 redis`: a console on the broker or the cache."""

import argparse
import os
import shlex
import shutil
import sys
from urllib.parse import unquote, urlsplit

import redis

from emulator import control
from emulator.commands.common import NOTHING_RUNS, add_state, one_line, own_options, state_of
from emulator.process import StartError

_CONSOLES = ("valkey-cli", "redis-cli")

EXAMPLES = """\
eco2 redis  # a console on the broker
eco2 redis cache DBSIZE  # one question to the cache
"""
EXIT_CODES = {1: "the server refused the command"} | NOTHING_RUNS


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Open a console on the broker (queues, streams, limits) or the cache: valkey-cli or redis-cli where the machine has "
        "one, else a plain one."
    )
    parser.add_argument("kind", nargs="?", choices=["broker", "cache"], default="broker", help="default: broker")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="a command, such as DBSIZE")
    add_state(parser)


@one_line
def main(args: argparse.Namespace) -> int:
    own_options(args)
    env: dict[str, str] = control.ask(state_of(args), "environment")["environment"]
    url = env["BROKER_REDIS_URL" if args.kind == "broker" else "CACHE_REDIS_URL"]
    address = urlsplit(url)
    if program := next(filter(None, map(shutil.which, _CONSOLES)), None):
        # By the environment, since everybody on the machine sees a command line.
        os.environ["REDISCLI_AUTH"] = unquote(address.password or "")
        place = ["-h", address.hostname or "127.0.0.1", "-p", str(address.port or 6379)]
        os.execv(program, [program, *place, *args.arguments])  # noqa: S606 - becomes it, no shell
    with redis.Redis.from_url(url) as client:
        client.response_callbacks.clear()  # the server's own words: PONG, not True
        return _one(client, args.arguments) if args.arguments else _console(client, args.kind)


def _one(client: redis.Redis, words: list[str]) -> int:
    try:
        answer: object = client.execute_command(*words)  # type: ignore[no-untyped-call] # redis-py has no types here
        for line in lines(answer):
            print(line)
    except redis.ConnectionError as error:
        raise StartError(str(error)) from None
    except redis.RedisError as error:
        print(f"(error) {error}", file=sys.stderr)
        return 1
    return 0


def _console(client: redis.Redis, kind: str) -> int:
    asked = f"{kind}> " if sys.stdin.isatty() else ""
    while True:
        try:
            words = shlex.split(input(asked))
        except (EOFError, KeyboardInterrupt):
            return 0
        except ValueError as error:
            print(f"(error) {error}", file=sys.stderr)
            continue
        if words and words[0].lower() in ("quit", "exit"):
            return 0
        if words:
            _one(client, words)


def lines(answer: object, indent: str = "") -> list[str]:
    """An answer for a person: lists numbered, nothing as (nil)."""
    if isinstance(answer, dict):
        answer = [each for pair in answer.items() for each in pair]
    if isinstance(answer, list | tuple | set):
        found = []
        for number, each in enumerate(answer, 1):
            first, *rest = lines(each, indent + "   ")
            found += [f"{indent}{number}) {first.removeprefix(indent + '   ')}", *rest]
        return found or [f"{indent}(empty)"]
    if isinstance(answer, bytes):
        answer = answer.decode(errors="backslashreplace")
    return [indent + ("(nil)" if answer is None else str(answer))]
