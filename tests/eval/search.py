"""How often a search finds the item that was meant: `python -m tests.eval.search` prints recall@1 and recall@5.

Three sets of queries as people type them, each with the item meant ("|" between several that are right), and names of things
that are in no list, which no item may answer. `names.tsv` and `strangers.tsv` say in their last column the wave that a query
belongs to: each wave was written before it was tried, and what it showed was mended then, so docs/EVALUATION.md has what each
found when it was new. All sets are of the hands that wrote the items: strangers will type what none of them holds.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from emulator.servers.postgres import Postgres
from functions.recycle_info import dataset, import_items, words
from functions.recycle_info import db as sql
from runtime import migrate
from shared.db import Database

_FOLDER = Path(__file__).parent.parent / "recycle_info"
SETS = ("queries", "everyday", "names")
GOALS = {1: 0.95, 5: 0.98}
# The share of names in no list that may meet an item.
MOST_STRANGERS = 0.05


class Case(Struct, frozen=True):
    """A query, the slugs that are right (none for a stranger), and the wave it was written in."""

    query: str
    wanted: frozenset[str]
    wave: str


class Answer(Struct, frozen=True):
    """The slugs answered for a case, best first: what is below the floor is none."""

    case: Case
    found: list[str]

    def right(self, k: int) -> bool:
        return not self.case.wanted.isdisjoint(self.found[:k])


def cases(name: str) -> list[Case]:
    """All cases of a set."""
    lines = [line.split("\t") for line in (_FOLDER / f"{name}.tsv").read_text(encoding="utf-8").splitlines()]
    return [Case(query, frozenset(wanted.split("|")), wave[0] if wave else "all") for query, wanted, *wave in lines]


def strangers() -> list[Case]:
    """Names of what is in no list."""
    lines = [line.split("\t") for line in (_FOLDER / "strangers.tsv").read_text(encoding="utf-8").splitlines()]
    return [Case(query, frozenset(), wave) for query, wave in lines]


def recall(answers: Sequence[Answer], k: int) -> float:
    """The share of answers with a right item among the first `k`."""
    return sum(answer.right(k) for answer in answers) / len(answers)


async def evaluate(database: Database, cases: Sequence[Case]) -> list[Answer]:
    """Run cases on a database with the items."""
    answers = []
    async with database.connection() as conn:
        for case in cases:
            found = await sql.select_found(conn, words.read(case.query), 5)
            answers.append(Answer(case, [item.slug or "" for item in found if item.score >= sql.FLOOR]))
    return answers


def table(answers: Sequence[Answer]) -> str:
    """Recall of each wave and of all, and the misses."""
    waves = {wave: [answer for answer in answers if answer.case.wave == wave] for wave in _waves(answers)}
    lines = [f"{'wave':10}{'number':>8}{'recall@1':>10}{'recall@5':>10}"]
    for name, part in {**waves, "all": list(answers)}.items():
        lines.append(f"{name:10}{len(part):8}{recall(part, 1):10.3f}{recall(part, 5):10.3f}")
    for answer in answers:
        if not answer.right(1):
            wanted = "|".join(sorted(answer.case.wanted))
            lines.append(f"missed: {answer.case.query!r} wants {wanted}, found {', '.join(answer.found) or 'nothing'}")
    return "\n".join(lines)


def strangers_table(answers: Sequence[Answer]) -> str:
    """The share of strangers of each wave that met an item, and which."""
    lines = [f"{'wave':10}{'number':>8}{'met an item':>13}"]
    for wave in _waves(answers):
        part = [answer for answer in answers if answer.case.wave == wave]
        lines.append(f"{wave:10}{len(part):8}{sum(bool(answer.found) for answer in part) / len(part):13.3f}")
    lines += [f"met: {answer.case.query!r} found {', '.join(answer.found)}" for answer in answers if answer.found]
    return "\n".join(lines)


def _waves(answers: Sequence[Answer]) -> list[str]:
    return sorted({answer.case.wave for answer in answers})


async def _main(dsn: str) -> None:
    database = Database(dsn, size=1)
    await database.open()
    try:
        async with database.transaction() as conn:
            await import_items.load(conn, dataset.read_files())
        for name in SETS:
            print(f"{name}.tsv\n{table(await evaluate(database, cases(name)))}\n")
        print(f"strangers.tsv\n{strangers_table(await evaluate(database, strangers()))}\n")
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
