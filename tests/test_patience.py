"""Whoever asks another program says how long it waits, and takes no proxy of the environment: only a bad day would show it."""

import ast
from collections.abc import Iterator

import pytest

from runtime.services import ROOT

PLACES = ("functions", "shared", "runtime")
# What is called by whoever asks, and what it must be told.
NEEDS = {
    "httpx.AsyncClient": {"timeout", "trust_env"},
    "httpx.Client": {"timeout", "trust_env"},
    "OAuth2Client": {"timeout", "trust_env"},
    "PyJWKClient": {"timeout", "lifespan"},
    "smtplib.SMTP": {"timeout"},
    "smtplib.SMTP_SSL": {"timeout"},
    "socket.create_connection": {"timeout"},
    "redis.Redis.from_url": {"socket_timeout", "socket_connect_timeout", "retry"},
    "redis.asyncio.Redis.from_url": {"socket_timeout", "socket_connect_timeout", "retry"},
    "self._client.chat.completions.create": {"timeout"},
}


def asked() -> Iterator[tuple[str, str, set[str]]]:
    """Each such call: where, what, and the names of its arguments; a limit of None is none."""
    for place in PLACES:
        for file in sorted((ROOT / place).rglob("*.py")):
            text = file.read_text(encoding="utf-8")
            if not any(name in "".join(text.split()) for name in NEEDS):
                continue  # each process of a run collects these tests, and to walk all trees takes it most of a second
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Call) and (name := ast.unparse(node.func)) in NEEDS:
                    given = {word.arg for word in node.keywords if word.arg and ast.unparse(word.value) != "None"}
                    yield f"{file.relative_to(ROOT)}:{node.lineno}", name, given


ASKED = list(asked())


@pytest.mark.parametrize(("where", "name", "given"), ASKED, ids=[f"{name} {n}" for n, (_, name, _) in enumerate(ASKED)])
def test_who_asks_says_how_long_it_waits(where: str, name: str, given: set[str]) -> None:
    assert NEEDS[name] - given == set(), where


def test_what_is_looked_for_is_there() -> None:
    # Services ask each other without httpx; who takes it up again is held to the same.
    assert {name for _, name, _ in ASKED} == {name for name in NEEDS if not name.startswith("httpx.")}


# Many wait in the queues of the workers: each person's tasks take turns with the others' (`enqueue`).
WAITED_FOR = {"ProcessPhoto", "ClassifyPhoto", "AnswerQuestion"}


def test_what_a_person_waits_for_takes_turns_by_person() -> None:
    found = set()
    for file in sorted((ROOT / "functions").rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        calls = [node for node in ast.walk(ast.parse(text if "enqueue" in text else "")) if isinstance(node, ast.Call)]
        made = {ast.unparse(call.func) for call in calls} & WAITED_FOR
        found |= made
        if made:
            words = [
                {word.arg for word in call.keywords}
                for call in calls
                if ast.unparse(call.func) in ("enqueue", "tasks.enqueue")
            ]
            asking = [given for given in words if "reply" in given]
            assert asking, file
            assert all("person" in given for given in asking), file
    assert found == WAITED_FOR


def test_what_is_swept_in_batches_is_committed_batch_by_batch() -> None:
    """One transaction around them all would hold every row of every batch until the last one, and lose all with it."""
    found = []
    for file in sorted((ROOT / "functions").rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        if "range(BATCHES)" not in text:
            continue
        loops = [
            node
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.For) and "BATCHES" in ast.unparse(node.iter)
        ]
        inside = [ast.unparse(item.context_expr) for loop in loops for item in _entered(loop)]
        assert inside, file
        assert text.count("db.transaction()") == inside.count("db.transaction()"), file
        found.append(file)
    assert found


def _entered(node: ast.AST) -> list[ast.withitem]:
    return [item for one in ast.walk(node) if isinstance(one, ast.AsyncWith) for item in one.items]
