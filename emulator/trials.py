"""What a reload tries in a child of the template before anything is replaced; the last line of its log is why it failed."""

import os
import sys
from pathlib import Path

from emulator.state.folder import State


def check(arguments: list[str]) -> int:
    """Load everything of a service as its process would; the last line of the log is the reason when it cannot be."""
    from runtime.loader import LoadError, discover, load_http, load_queue_functions
    from runtime.services import ServiceError, find

    try:
        service = find(arguments[0])
        if not service.is_worker:
            from runtime.http.host import build

            build([service.folder], os.environ, background=False)
            load_http(service)
        if any(function.trigger == "queue" for function in discover(service)):
            from dramatiq.brokers.stub import StubBroker

            load_queue_functions(service, StubBroker())
    except (ServiceError, LoadError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def reach() -> int:
    """Write the files of each service's closure to the state folder."""
    from runtime.closure import Checkout, ClosureError
    from runtime.services import readable

    checkout = Checkout(services=readable())
    found = {}
    for folder, service in checkout.services.items():
        try:
            found[folder] = sorted({file for closure in checkout.functions(service) for file in closure.files()})
        except ClosureError as error:
            print(f"closure of {folder}: {error}", file=sys.stderr)
    State(Path(os.environ["ECO2_STATE"])).write_json("closures.json", found, durable=False)
    return 0


def migrate() -> int:
    """Apply what is not applied: a line `applied NAME` each, then `edited …` for what was written into a file too late; the
    last line of a failure is its reason."""
    import psycopg

    from runtime.migrate import EDITED, MigrationError, apply, edited
    from runtime.services import readable

    # Somebody's console may hold a lock on the table: that is said, not waited for without end.
    os.environ["PGOPTIONS"] = "-c lock_timeout=5s"
    dsn = os.environ["MIGRATION_DB_URL"]
    services = readable()
    try:
        for name in apply(dsn, services):
            print("applied", name)
        for name in edited(dsn, services):
            print("edited", EDITED.format(name))
    except (MigrationError, psycopg.Error) as error:
        print(" ".join(str(error).split()))
        return 1
    return 0
