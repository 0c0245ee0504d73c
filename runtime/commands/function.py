"""`eco2 function`: switch one function off for a bad night, and on again. Nothing is lost meanwhile."""

import argparse
import json
import sys

import psycopg

from runtime.commands import operator
from runtime.loader import LoadError, discover
from runtime.services import ServiceError, find, suggestion

EXAMPLES = """\
eco2 function disable storage/process_photo  # its tasks wait
eco2 function enable storage/process_photo  # and are published
eco2 function list --json  # ["storage/process_photo"]
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "disable: a queue or schedule function's tasks wait in the outbox; an HTTP function answers 503.\n"
        "enable: the tasks that waited are published. Either takes effect within ten seconds, everywhere.\n"
        "list: what is disabled."
    )
    parser.add_argument("--json", action="store_true", help="print what is disabled as a JSON list")
    parser.add_argument("action", choices=["disable", "enable", "list"], help="see above")
    parser.add_argument("name", nargs="?", metavar="SERVICE/NAME", help="such as storage/process_photo")


def main(args: argparse.Namespace) -> int:
    try:
        name = _known(args.name or "") if args.action != "list" else ""
        with operator.connect() as conn:
            if args.action == "disable":
                conn.execute(
                    """
                    UPDATE public.settings
                    SET value = (SELECT coalesce(jsonb_agg(DISTINCT name), '[]')
                                 FROM jsonb_array_elements_text(value || to_jsonb(%s::text)) name)
                    WHERE key = 'functions.disabled'
                    """,
                    [name],
                )
            elif args.action == "enable":
                conn.execute(
                    "UPDATE public.settings SET value = value - %s::text WHERE key = 'functions.disabled'", [name]
                )
            row = conn.execute("SELECT value FROM public.settings WHERE key = 'functions.disabled'").fetchone()
    except (ServiceError, LoadError) as error:
        print(f"eco2 function: {error}", file=sys.stderr)
        return 2
    except (operator.NotConfigured, psycopg.Error) as error:
        return operator.complain("function", error)
    disabled = row[0] if row else []
    if args.json:
        print(json.dumps(disabled))
        return 0
    print("disabled: " + (", ".join(disabled) if disabled else "nothing"))
    return 0


def _known(name: str) -> str:
    service_name, _, function = name.partition("/")
    service = find(service_name)
    names = [found.name for found in discover(service)]
    if function not in names:
        raise LoadError(f"{service.name} has no function {function or '(none given)'}{suggestion(function, names)}")
    return f"{service.folder}/{function}"
