"""A test finds a context that no other one has set"""

from contextvars import ContextVar

import pytest

_set: ContextVar[bool] = ContextVar("set", default=False)


@pytest.mark.parametrize("which", ["one", "another"])
def test_what_a_test_sets_ends_with_it(which: str) -> None:
    assert not _set.get(), which
    _set.set(True)


@pytest.mark.parametrize("which", ["one", "another"])
async def test_what_a_test_in_a_loop_sets_ends_with_it(which: str) -> None:
    assert not _set.get(), which
    _set.set(True)
