"""Budgets that are missed, and values that moved."""

from pathlib import Path
from typing import Any

import pytest

from tests.bench import __main__ as program
from tests.bench.history import Known, Run, add, judged, known, missed, moved, read, values


def _row(**fields: Any) -> dict[str, Any]:
    return {"bench": "a", "name": "a row", "ours": 12.0, "raw": 10.0, "ratio": 1.2, "unit": "ms"} | fields


@pytest.mark.parametrize(
    ("fields", "is_missed"),
    [
        ({"budget": "≤ 1.2 ×"}, False),
        ({"budget": "≤ 1.19 ×"}, True),
        ({"budget": ">= 1.2"}, False),
        ({"budget": "≥ 1.21"}, True),
        ({"budget": "<= 12 ms"}, False),
        ({"budget": "≤ 11.9 MiB"}, True),
        ({"budget": "≤ 11", "ratio": None}, True),
        ({"budget": "≤ 12", "ratio": None}, False),
        ({"budget": 12}, False),
        ({"budget": 11.9}, True),
        ({"budget": ""}, False),
        ({"budget": "–"}, False),
        ({}, False),
    ],
    ids=str,
)
def test_a_budget_is_of_the_ratio_or_of_the_value(fields: dict[str, Any], is_missed: bool) -> None:
    assert bool(missed(_row(**fields))) is is_missed


def test_a_budget_that_no_one_can_read_is_refused() -> None:
    with pytest.raises(ValueError, match="no budget: about 3"):
        missed(_row(budget="about 3"))


def _run(value: float, *, cpus: int = 2) -> Run:
    return Run("2026-01-01T00:00:00Z", cpus, "3.11.7", {"a: a row": value})


@pytest.mark.parametrize(
    ("before", "value", "has_moved"),
    [
        ([1.0, 1.02, 0.98, 1.0], 1.2, True),
        ([1.0, 1.02, 0.98, 1.0], 1.09, False),
        ([1.0, 1.4, 0.7, 1.0], 1.3, False),
        ([1.0, 1.0], 5.0, False),
        ([2.0, 2.0, 2.0], 1.7, True),
    ],
    ids=["far", "within a tenth", "within its noise", "too few runs", "better"],
)
def test_what_moved_by_more_than_its_noise_is_said(before: list[float], value: float, has_moved: bool) -> None:
    assert bool(moved(_run(value), [_run(one) for one in before])) is has_moved


def test_runs_on_another_machine_are_not_compared() -> None:
    assert not moved(_run(5.0), [_run(1.0, cpus=64)] * 5)


def test_a_history_goes_on_behind_a_line_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "build" / "history.jsonl"
    add(path, _run(1.0))
    with path.open("ab") as file:
        file.write(b'{"at": "2026\n')
    add(path, _run(2.0))
    assert [run.values["a: a row"] for run in read(path)] == [1.0, 2.0]


def test_a_ratio_is_compared_rather_than_a_time() -> None:
    assert values([_row(), _row(name="alone", ratio=None), _row(name="said", ratio=None, ours=None)]) == {
        "a: a row": 1.2,
        "a: alone": 12.0,
    }


@pytest.mark.parametrize(("words", "code"), [([], 0), (["--check"], 1)], ids=["told", "checked"])
def test_a_missed_budget_is_printed_and_ends_a_checked_run_with_1(
    words: list[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [_row(budget="≤ 1.1 ×"), _row(name="good", budget="≤ 1.3 ×")]
    assert program.report(rows, program.parse(words)) == code
    said = capsys.readouterr().out
    assert "a row: 1.2, and the budget is ≤ 1.1 ×" in said
    assert "good: " not in said
    assert [run.values["a: good"] for run in read(tmp_path / "build" / "bench-history.jsonl")] == [1.2]


def test_a_known_miss_is_told_and_ends_no_run_until_it_is_worse_than_known() -> None:
    misses = {"a: a row": Known("for a reason", "≤ 1.3 ×")}
    row = _row(budget="≤ 1.1 ×")
    assert judged([row], misses) == ([], ["a row: 1.2, and the budget is ≤ 1.1 × (for a reason)"], [])
    assert [len(said) for said in judged([row | {"ratio": 1.31}], misses)] == [1, 0, 0]
    assert judged([row | {"ratio": 1.1}], misses) == ([], [], ["a: a row"])
    assert [len(said) for said in judged([row | {"name": "another"}], misses)] == [1, 0, 0]


def test_each_known_miss_has_a_bench_a_reason_and_a_budget_that_can_be_read() -> None:
    found = known(program.KNOWN)
    for name, miss in found.items():
        bench, _, row = name.partition(": ")
        assert (program.FOLDER / f"{bench}.py").exists(), name
        assert len(miss.why.split()) > 3, name
        missed(_row(name=row, budget=miss.within))
