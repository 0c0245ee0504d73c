"""What must exist before services start: signing keys, then roles, schemas and migrations (`python -m
emulator.prepare`).

It is started with everything else and imports while PostgreSQL starts. It says `keys` and `migrations` on standard
output when each is done, and in lines `! …` what a person has to know; the rest goes to standard error. SUPERUSER_DSN and
MIGRATION_DB_URL come from the environment, the roles' passwords from the state folder (ECO2_STATE).
"""

import os
import sys
import time
from pathlib import Path

import psycopg

from emulator.state.folder import State
from functions.auth import keys
from runtime import migrate
from runtime.services import readable
from shared.identity import KeySetError

# What no waiting mends: a wrong password, and files that can't be read.
_HOPELESS = ("authentication failed", "could not read file", "could not open file", "invalid page")
PATIENCE = 60.0  # seconds for PostgreSQL to start, recover or make its cluster


def main() -> int:
    folder = Path(os.environ["ECO2_STATE"])
    try:
        keys.init(folder / "keys")
    except KeySetError as error:
        print(f"keys: {error}; put it back, or `eco2 reset` begins anew", file=sys.stderr)
        return 1
    print("keys", flush=True)
    # One whose service.toml is wrong gets its schema when that is mended.
    services = readable()
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            migrate.prepare(os.environ["SUPERUSER_DSN"], State(folder).passwords(), services)
            applied = migrate.apply(os.environ["MIGRATION_DB_URL"], services)
            edited = migrate.edited(os.environ["MIGRATION_DB_URL"], services)
            break
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline or any(sign in str(error) for sign in _HOPELESS):
                print(f"migrations: {error}", file=sys.stderr)
                return 1
            time.sleep(0.02)
        except (migrate.MigrationError, psycopg.Error) as error:
            print(f"migrations: {error}", file=sys.stderr)
            return 1
    if applied:
        print(f"migrations applied: {len(applied)}, the last is {applied[-1]}", file=sys.stderr)
    for name in edited:
        print(f"! {migrate.EDITED.format(name)}")
    print("migrations", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
