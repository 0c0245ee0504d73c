"""`eco2 psql`: PostgreSQL's console under one service's role."""

import argparse
import os
from urllib.parse import unquote, urlsplit

from emulator import control
from emulator.commands.common import NOTHING_RUNS, add_state, one_line, own_options, state_of
from emulator.process import CalledWrongly
from emulator.servers.postgres import binaries
from runtime.services import ServiceError, find

EXAMPLES = """\
eco2 psql waste  # a console under the role of api-waste
eco2 psql auth -c 'SELECT count(*) FROM users'  # one question
eco2 psql migrator  # the owner of all tables
"""
EXIT_CODES = NOTHING_RUNS


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Open psql under a service's own role and schema: it sees what the service sees, and no more."
    parser.add_argument(
        "service", metavar="SERVICE", help="such as auth or api-waste; `migrator` for the owner of all tables"
    )
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="for psql, such as -c 'SELECT 1'")
    add_state(parser)


@one_line
def main(args: argparse.Namespace) -> int:
    own_options(args)
    state = state_of(args)
    env: dict[str, str] = control.ask(state, "environment")["environment"]
    try:
        variable = "MIGRATION_DB_URL" if args.service == "migrator" else find(args.service).database.env
    except ServiceError as error:
        raise CalledWrongly(str(error)) from None
    address = urlsplit(env[variable])
    # By the environment, since everybody on the machine sees a command line.
    os.environ["PGPASSWORD"] = unquote(address.password or "")
    plain = address._replace(netloc=f"{address.username}@{address.hostname}:{address.port}").geturl()
    program = str(binaries() / "psql")
    os.execv(program, [program, plain, *args.arguments])  # noqa: S606 - becomes it, no shell
