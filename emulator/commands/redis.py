"""`eco2 redis`: a Redis console."""

import argparse
import os
from urllib.parse import unquote, urlsplit

from emulator import control
from emulator.commands.common import add_state, one_line, own_options, state_of
from emulator.servers.redis import binary

EXAMPLES = """\
eco2 redis  # a console on the broker
eco2 redis cache DBSIZE  # one question to the cache
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Open redis-cli on the broker (queues, streams, limits) or the cache."
    parser.add_argument("kind", nargs="?", choices=["broker", "cache"], default="broker", help="default: broker")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="for redis-cli, such as DBSIZE")
    add_state(parser)


@one_line
def main(args: argparse.Namespace) -> int:
    own_options(args)
    env: dict[str, str] = control.ask(state_of(args), "environment")["environment"]
    address = urlsplit(env["BROKER_REDIS_URL" if args.kind == "broker" else "CACHE_REDIS_URL"])
    # By the environment, since everybody on the machine sees a command line.
    os.environ["REDISCLI_AUTH"] = unquote(address.password or "")
    program = str(binary("redis-cli"))
    place = ["-h", address.hostname or "127.0.0.1", "-p", str(address.port or 6379)]
    os.execv(program, [program, *place, *args.arguments])  # noqa: S606
