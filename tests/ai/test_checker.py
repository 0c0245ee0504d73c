"""The words of functions/ai fit together, and the checker sees what does not."""

from pathlib import Path

import pytest

from functions.ai import checker


def test_the_words_fit_together() -> None:
    assert checker.problems() == []
    assert checker.main() == 0


def test_a_phrase_that_can_never_be_found_is_seen() -> None:
    assert "can't be found" in " ".join(checker._table({"ko": ["음쓰 봉투"]}))
    assert "small letters" in " ".join(checker._table({"en": ["The Bin"]}))
    assert "2 times" in " ".join(checker._table({"ko": ["버리", "버리"]}))
    assert "2 times" in " ".join(checker._table({"all": [["깨진", "깨진"], ["유리"]]}))


def test_a_text_in_one_language_alone_is_seen() -> None:
    assert list(checker._table({"ko": ["값"], "what_ko": "값은", "what_en": ""})) == [
        "what_ko is written in one language alone"
    ]
    assert list(checker._table({"ko": ["값"], "what_ko": "", "what_en": "", "helper": True})) == []


def test_a_list_that_no_one_reads_and_one_that_no_file_has_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (words := tmp_path / "words").mkdir()
    for file in checker.LISTS:
        (words / f"{file}.toml").write_text("[read]\nko = ['<within>']\n[within]\n[idle]\n", encoding="utf-8")
    program = " ".join(f"{file.upper()}.read" for file in checker.LISTS)
    (tmp_path / "program.py").write_text(f"{program} ROLES.missing", encoding="utf-8")
    monkeypatch.setattr(checker, "FOLDER", words)
    found = [problem.partition(":")[0] for problem in checker._lists()]
    assert found == [
        "words/grammar.toml [idle]",
        "words/topics.toml [idle]",
        "words/roles.toml [idle]",
        "words/roles.toml [missing]",
        "words/ways.toml [idle]",
    ]
