"""Makes roles, database, schemas and rights, as the superuser: the first job of an installation, harmless when run again.

POSTGRES_SUPERUSER_URL is the superuser's address, POSTGRES_SUPERUSER_URL_NEXT the one with the password that
`eco2 rotate superuser` was just giving it; PASSWORD_API_AUTH_ROLE and so on are the roles' passwords.
"""

import itertools
import os
import sys
import time
from collections.abc import Mapping

import psycopg

from runtime.migrate import MigrationError, prepare, schemas
from runtime.services import OWNER, load_services

SUPERUSER = "POSTGRES_SUPERUSER_URL"


def main(environ: Mapping[str, str] = os.environ, wait: float = 300) -> int:
    """Wait up to `wait` seconds for the server; the exit code is 2 for a missing setting."""
    roles = {OWNER, *schemas(load_services()).values()}
    names = {SUPERUSER, *(f"PASSWORD_{role.upper()}" for role in roles)}
    if missing := sorted(name for name in names if not environ.get(name)):
        print(f"prepare: not set: {', '.join(missing)}", file=sys.stderr)
        return 2
    passwords = {role: environ[f"PASSWORD_{role.upper()}"] for role in roles}
    urls = itertools.cycle(environ[name] for name in (SUPERUSER, f"{SUPERUSER}_NEXT") if environ.get(name))
    deadline = time.monotonic() + wait
    while True:
        try:
            prepare(next(urls), passwords)
        except psycopg.OperationalError as error:
            if time.monotonic() < deadline:
                time.sleep(2)
                continue
            print(f"prepare: {error}", file=sys.stderr)
            return 1
        except MigrationError as error:
            print(f"prepare: {error}", file=sys.stderr)
            return 1
        print(f"{len(passwords)} roles and {len(schemas(load_services()))} schemas are as they should be")
        return 0


if __name__ == "__main__":
    sys.exit(main())
