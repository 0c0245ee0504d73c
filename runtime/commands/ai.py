"""`eco2 ai report`: where the classifier is wrong in this installation, from what people said it was."""

import argparse
from collections import Counter, defaultdict
from datetime import timedelta
from typing import Any

import psycopg

from runtime.commands import operator, tables
from shared import clock

EXAMPLES = """\
eco2 ai report  # by kind of waste: how many answers, how many a person has judged, what they were instead
eco2 ai report --days 30  # since a change, say
eco2 ai report --json  # for programs
"""

_COLUMNS = ("waste_type", "answers", "judged", "wrong", "instead")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Where the classifier is wrong in this installation, by kind of waste. It counts the kinds that people chose "
        "(corrected_type) against those that they were given: no photo is read and no person named."
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="report")
    report = actions.add_parser("report", help="answers against corrections, most wrong first")
    report.add_argument(
        "--days", type=int, default=3650, metavar="N", help="analyses of the last N days (default: all)"
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
    tables.show(report(rows, as_json=args.json), _COLUMNS, as_json=args.json)
    return 0


def report(rows: list[tuple[Any, ...]], *, as_json: bool) -> list[dict[str, Any]]:
    """One row a kind that was answered, the most wrong first; `judged` are those that a person has said something of."""
    answers: Counter[str] = Counter()
    judged: Counter[str] = Counter()
    instead: dict[str, Counter[str]] = defaultdict(Counter)
    for answered, corrected, count in rows:
        answers[answered] += count
        if corrected is not None:
            judged[answered] += count
        if corrected not in (None, answered):
            instead[answered][corrected] += count
    wrong = {kind: instead[kind].total() for kind in answers}
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
        for kind in sorted(answers, key=lambda kind: (-wrong[kind], -answers[kind], kind))
    ]
