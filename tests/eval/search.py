"""How often a search finds the item that was meant: `python -m tests.eval.search` prints recall@1 and recall@5.

Two sets of queries as people type them, each with the item meant ("|" between several that are right). Of `queries.tsv` a
third, chosen by a hash of the query, is held out: the search was never tuned on it. `everyday.tsv` (brand names, slips of one
jamo, the keyboard left in English, first consonants, English) names each query's part itself: the search's misses on those
for tuning were mended, those held out were written afterwards and never looked at one by one. Both sets and the synonyms
are of few hands, those of the second written when the synonyms had been read: strangers will type what neither holds.
"""

import asyncio
import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from emulator.servers.postgres import Postgres
from functions.recycle_info import dataset, import_items, words
from functions.recycle_info import db as sql
from runtime import migrate
from shared.db import Database

SETS = {name: Path(__file__).parent.parent / "recycle_info" / f"{name}.tsv" for name in ("queries", "everyday")}
# Recall on the held-out part of each set.
GOALS = {1: 0.90, 5: 0.98}


class Case(Struct, frozen=True):
    """A query, the slugs that are right, and whether it is held out of tuning."""

    query: str
    wanted: frozenset[str]
    held_out: bool


class Answer(Struct, frozen=True):
    """The slugs found for a case, best first."""

    case: Case
    found: list[str]

    def right(self, k: int) -> bool:
        return not self.case.wanted.isdisjoint(self.found[:k])


def cases(name: str) -> list[Case]:
    """All cases of a set."""
    lines = [line.split("\t") for line in SETS[name].read_text(encoding="utf-8").splitlines()]
    return [
        Case(query, frozenset(wanted.split("|")), part == ["held out"] if part else held_out(query))
        for query, wanted, *part in lines
    ]


def held_out(query: str) -> bool:
    """Whether a query belongs to the third that is not looked at while tuning."""
    return hashlib.sha256(query.encode()).digest()[0] % 3 == 0


def recall(answers: Sequence[Answer], k: int) -> float:
    """The share of answers with a right item among the first `k`."""
    return sum(answer.right(k) for answer in answers) / len(answers)


async def evaluate(database: Database, cases: Sequence[Case]) -> list[Answer]:
    """Run cases on a database with the items."""
    answers = []
    async with database.connection() as conn:
        for case in cases:
            found = await sql.select_found(conn, words.read(case.query), 5)
            answers.append(Answer(case, [item.slug or "" for item in found]))
    return answers


def table(answers: Sequence[Answer]) -> str:
    """Recall of each part, and the misses of the part that may be looked at."""
    parts = {
        "tuning": [answer for answer in answers if not answer.case.held_out],
        "held out": [answer for answer in answers if answer.case.held_out],
        "all": list(answers),
    }
    lines = [f"{'queries':10}{'number':>8}{'recall@1':>10}{'recall@5':>10}"]
    for name, part in parts.items():
        lines.append(f"{name:10}{len(part):8}{recall(part, 1):10.3f}{recall(part, 5):10.3f}")
    for answer in parts["tuning"]:
        if not answer.right(1):
            wanted = "|".join(sorted(answer.case.wanted))
            lines.append(f"missed: {answer.case.query!r} wants {wanted}, found {', '.join(answer.found) or 'nothing'}")
    return "\n".join(lines)


async def _main(dsn: str) -> None:
    database = Database(dsn, size=1)
    await database.open()
    try:
        async with database.transaction() as conn:
            await import_items.load(conn, dataset.read_files())
        for name in SETS:
            print(f"{name}.tsv\n{table(await evaluate(database, cases(name)))}\n")
    finally:
        await database.close()


def main() -> None:
    """Evaluate on a cluster of its own, thrown away afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        server = Postgres(Path(folder), durable=False).start()
        try:
            migrate.prepare(server.superuser_dsn, server.state.passwords())
            migrate.apply(server.dsn("migrator"))
            asyncio.run(_main(server.dsn("api_recycle_role", search_path="recycle_info")))
        finally:
            server.destroy()


if __name__ == "__main__":
    main()
