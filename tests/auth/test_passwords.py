"""Places to hash in, and what is no password"""

import ast
import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from functions.auth import passwords
from runtime.services import ROOT
from tests.auth.conftest import PASSWORD, wait_for_a_place

# Whoever is called with a place in hand says so in their docstrings.
INSIDE = {"confirm.py", "passwords.py"}
TAKES_ONE, NEEDS_ONE = {"slot", "attempt"}, {"hashed", "matches", "check"}


async def test_so_many_wait_and_the_next_is_asked_to_come_again() -> None:
    async with AsyncExitStack() as stack:
        for _ in range(passwords.AT_ONCE):
            await stack.enter_async_context(passwords.slot("198.51.100.1"))
        waiting = [asyncio.create_task(wait_for_a_place(f"198.51.100.{one}")) for one in range(passwords.WAITING + 1)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [task.done() for task in waiting] == [False] * passwords.WAITING + [True]
    assert passwords.Busy().headers["Retry-After"] == "5"
    assert [await task for task in waiting] == [True] * passwords.WAITING + [False]


async def test_whatever_fails_in_a_place_leaves_it_to_the_next() -> None:
    for _ in range(passwords.AT_ONCE + 1):
        with pytest.raises(KeyError):
            async with asyncio.timeout(60), passwords.slot("198.51.100.1"):
                raise KeyError


async def test_no_one_has_the_password_that_unknown_users_are_compared_with() -> None:
    # The tests' NOBODY is this password's hash.
    assert await passwords.matches(PASSWORD, passwords.NOBODY)
    assert not await passwords.matches(PASSWORD, None)


def _called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _outside(node: ast.AST, file: Path) -> list[str]:
    """Where a password is hashed or compared in no place."""
    if isinstance(node, ast.AsyncWith) and any(_called(item.context_expr) in TAKES_ONE for item in node.items):
        return []
    here = [f"{file.name}: {ast.unparse(node)}"] if _called(node) in NEEDS_ONE else []
    return here + [found for child in ast.iter_child_nodes(node) for found in _outside(child, file)]


def test_passwords_are_hashed_in_one_of_the_few_places_alone() -> None:
    files = [file for file in (ROOT / "functions/auth").glob("*.py") if file.name not in INSIDE]
    # `returning.check` is about addresses.
    found = [line for file in files for line in _outside(ast.parse(file.read_text(encoding="utf-8")), file)]
    assert [line for line in found if "returning.check" not in line] == []
