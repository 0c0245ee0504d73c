"""What code was found to mean is kept from one command to the next, and is never that of other code or another reader."""

from pathlib import Path

import pytest

from runtime.loader import Function
from runtime.readings import Import, Readings

FUNCTION = Function("waste", "f", "queue", "queue waste", "functions/waste/f.py")


class Reader:
    """Reads code in a way that tells which code it was, and counts."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def meaning(self, code: str) -> str:
        self.read.append(code)
        return f"means {code}"

    def imports(self, code: str, package: str, dynamic: bool) -> list[Import]:
        self.read.append(f"{package} {code} {dynamic}")
        return [Import(f"{package}.{code}", lazy=dynamic)]

    def function(self) -> Function:
        self.read.append("a function")
        return FUNCTION

    def nothing(self) -> None:
        self.read.append("no function")


@pytest.fixture
def reader() -> Reader:
    return Reader()


def test_what_was_read_before_is_known(tmp_path: Path, reader: Reader) -> None:
    for _ in range(2):
        readings = Readings(tmp_path, __file__)
        assert readings.meaning("a", reader.meaning) == "means a"
        assert readings.imports("a", "p", True, reader.imports) == [Import("p.a", lazy=True)]
        assert readings.function("a", "f.py", "/a", reader.function) == FUNCTION
        assert readings.function("b", "f.py", "/a", reader.nothing) is None
        readings.keep()
    assert reader.read == ["a", "p a True", "a function", "no function"]


@pytest.mark.parametrize("other", [("b", "f.py", "/a"), ("a", "g.py", "/a"), ("a", "f.py", "/b")])
def test_a_function_is_of_its_code_its_file_and_its_prefix(
    tmp_path: Path, reader: Reader, other: tuple[str, str, str]
) -> None:
    for asked in (("a", "f.py", "/a"), other):
        readings = Readings(tmp_path, __file__)
        readings.function(*asked, reader.function)
        readings.keep()
    assert reader.read == ["a function", "a function"]


def test_other_code_another_package_and_another_way_to_read_it_are_read_anew(tmp_path: Path, reader: Reader) -> None:
    readings = Readings(tmp_path, __file__)
    found = [readings.imports(*of, reader.imports) for of in (("a", "p", True), ("a", "p", False), ("a", "q", True))]
    assert found == [[Import("p.a", lazy=True)], [Import("p.a")], [Import("q.a", lazy=True)]]
    readings.keep()
    assert Readings(tmp_path, __file__).meaning("b", reader.meaning) == "means b"


def test_a_changed_reader_knows_nothing_of_the_one_before(tmp_path: Path, reader: Reader) -> None:
    module = tmp_path / "reader.py"
    for text in ("first", "second"):
        module.write_text(text)
        readings = Readings(tmp_path, str(module))
        readings.meaning("a", reader.meaning)
        readings.keep()
    assert reader.read == ["a", "a"]


def test_what_is_asked_for_no_more_is_forgotten(tmp_path: Path, reader: Reader) -> None:
    for code in ("old", "new", "old"):
        readings = Readings(tmp_path, __file__)
        readings.meaning(code, reader.meaning)
        readings.keep()
    assert reader.read == ["old", "new", "old"]


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x81\xa7readers\x01"], ids=["empty", "nonsense", "other"])
def test_a_file_that_can_not_be_read_is_written_anew(tmp_path: Path, reader: Reader, content: bytes) -> None:
    file = tmp_path / "build/readings.msgpack"
    file.parent.mkdir()
    file.write_bytes(content)
    for _ in range(2):
        readings = Readings(tmp_path, __file__)
        readings.meaning("a", reader.meaning)
        readings.keep()
    assert reader.read == ["a"]
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_where_nothing_can_be_written_all_is_read_each_time(tmp_path: Path, reader: Reader) -> None:
    (tmp_path / "build").write_text("no folder")
    for _ in range(2):
        readings = Readings(tmp_path, __file__)
        readings.meaning("a", reader.meaning)
        readings.keep()
    assert reader.read == ["a", "a"]
