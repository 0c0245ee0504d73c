"""`eco2 ai report`: where the classifier is wrong in this installation, from what people said it was."""

import argparse
from collections import Counter, defaultdict
from datetime import timedelta
from typing import Any

import psycopg

from runtime.commands import operator, tables
from shared import clock

EXAMPLES = """\
eco2 ai report  # by kind that was answered: how many, how many of these a person has judged, what it was instead
eco2 ai report --days 30  # since a change, say
eco2 ai report --json  # for programs
"""

_COLUMNS = ("waste_type", "answers", "judged", "wrong", "instead")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Where the classifier is wrong in this installation, by kind of waste. It counts the kinds that people chose "
        "(corrected_type) against those that they were given: no photo is read and no person named. Most people say "
        "nothing to a right answer: compare kinds by `wrong`, and do not read it as a share of all answers. `unknown` is "
        "what was left open; `instead` says what it was."
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="report")
    report = actions.add_parser("report", help="answers against corrections, most wrong first")
    report.add_argument(
        "--days", type=operator.number, default=operator.MOST, metavar="N", help="of the last N days (default: all)"
    )
    report.add_argument("--json", action="store_true", help="for programs")


def main(args: argparse.Namespace) -> int:
    try:
        with operator.connect() as conn:
            rows = conn.execute(
                """
                SELECT waste_type, corrected_type, count(*)
                FROM waste.analyses
                WHERE status = 'success' AND created_at >= %s
                GROUP BY waste_type, corrected_type
                """,
                [(clock.now() - timedelta(days=args.days)).replace(tzinfo=None)],
            ).fetchall()
    except (operator.NotConfigured, psycopg.Error) as error:
        return operator.complain("ai", error)
    if not rows and not args.json:
        print("no answers yet" if args.days == operator.MOST else f"no answers in the last {args.days} days")
        return 0
    tables.show(report(rows, as_json=args.json), _COLUMNS, as_json=args.json)
    return 0


def report(rows: list[tuple[Any, ...]], *, as_json: bool) -> list[dict[str, Any]]:
    """One row a kind that was answered, the most wrong first; `judged` are those that a person has said something of.

    `unknown` comes last and is never wrong: what people chose for it is what the classifier misses.
    """
    answers: Counter[str] = Counter()
    judged: Counter[str] = Counter()
    instead: dict[str, Counter[str]] = defaultdict(Counter)
    for answered, corrected, count in rows:
        answers[answered] += count
        if corrected is not None:
            judged[answered] += count
        if corrected not in (None, answered):
            instead[answered][corrected] += count
    wrong = {kind: instead[kind].total() if kind != "unknown" else 0 for kind in answers}
    return [
        {
            "waste_type": kind,
            "answers": answers[kind],
            "judged": judged[kind],
            "wrong": wrong[kind],
            "instead": dict(instead[kind].most_common())
            if as_json
            else ", ".join(f"{other} {count}" for other, count in instead[kind].most_common()),
        }
        for kind in sorted(answers, key=lambda kind: (kind == "unknown", -wrong[kind], -answers[kind], kind))
    ]
