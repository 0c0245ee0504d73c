"""Slips of the flow: each is one edit, and what Python makes of it is the slip that was meant."""

from pathlib import Path

import pytest

from tests.mutants.operators import mutants

SOURCE = '''
class Taker:
    async def take(self, conn, *, again=False):
        try:
            self.taken = True
            await conn.lock(key=self.key("a", 1))
            await conn.read(most=min(2, 20))
        except (KeyError, ValueError):
            raise Refused from None
        finally:
            self.open = False
        await conn.execute("INSERT INTO taken (id) VALUES (%(id)s) ON CONFLICT DO NOTHING", {"id": 1, "by": 2})
        await conn.execute(
            """
            INSERT INTO kept (id, a, b) VALUES (%(id)s, 1, 2) ON CONFLICT (id) DO UPDATE
            SET a = excluded.a, b = excluded.b
            WHERE kept.state = 'open'
            """
        )
        return {"a": 1, "b": 2}

    def is_taken(self):
        return True

    def key(self, user, kind):
        return f"{user}:{kind}"
'''


@pytest.mark.parametrize(
    ("kind", "after"),
    [
        ("finally dropped", "        except ZeroDivisionError:\n            raise\n        else:\n"),
        ("error let through", "except (KeyError, ZeroDivisionError):"),
        ("error swallowed", "ValueError):\n            pass\n"),
        ("min, max", "max(2, 20)"),
        ("answer", "return False"),
        ("flag", "again=True"),
        ("entry dropped", 'return {"a": 1, **{}}'),
        ("keyword dropped", "await conn.read(**{})"),
        ("assignment dropped", "        try:\n            pass\n"),
        ("order of statements", "await conn.read(most=min(2, 20))\n            await conn.lock("),
        ("part of a name dropped", 'f":{kind}"'),
        ("conflict met", 'VALUES (%(id)s)", {'),
        ("column not written", "SET b = excluded.b\n"),
        ("column not written", "SET a = excluded.a\n"),
        ("condition dropped", "WHERE (kept.state = 'open' OR true)"),
    ],
)
def test_a_slip_of_the_flow_is_one_edit(tmp_path: Path, kind: str, after: str) -> None:
    file = tmp_path / "take.py"
    file.write_text(SOURCE, encoding="utf-8")
    applied = [one.applied(SOURCE.encode()).decode() for one in mutants(file, tmp_path) if one.kind == kind]
    assert any(after in text for text in applied), applied
    for text in applied:
        compile(text, "take.py", "exec")


def test_what_is_put_together_or_told_in_any_order_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "tell.py"
    file.write_text(
        "def tell():\n    log.info('a')\n    parser.add_argument('b')\n    print('c', end='')\n", encoding="utf-8"
    )
    assert [one.kind for one in mutants(file, tmp_path) if one.kind == "order of statements"] == []


def test_the_end_that_is_left_out_is_the_one_s_own(tmp_path: Path) -> None:
    file = tmp_path / "nested.py"
    file.write_text(
        """
def end():
    try:
        try:
            go()
        finally:
            inner()
    finally:
        outer()
""",
        encoding="utf-8",
    )
    slips = [one for one in mutants(file, tmp_path) if one.kind == "finally dropped"]
    assert sorted(one.line for one in slips) == [6, 8]
    for one in slips:
        compile(one.applied(file.read_bytes()), "nested.py", "exec")
