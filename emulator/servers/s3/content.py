"""An object's content where it lies on disk, in the place of the buffer in which moto would keep all objects of a state."""

from pathlib import Path
from typing import Any


class Content:
    """What moto's key reads: from byte `begin` of a file to its end, opened for each read. Nothing is ever written into it."""

    def __init__(self, path: Path, begin: int) -> None:
        self._path = path
        self._begin = begin
        self._at = 0

    def seek(self, at: int) -> None:
        self._at = at

    def read(self, most: int = -1) -> bytes:
        with self._path.open("rb") as file:
            file.seek(self._begin + self._at)
            found = file.read(most)
        self._at += len(found)
        return found

    def close(self) -> None:
        """Nothing is open between two reads."""


def leave(key: Any, place: Path) -> None:
    """Have moto's key read its content at the end of the file that has it, and hold it no more."""
    key._value_buffer.close()
    key._value_buffer = Content(place, place.stat().st_size - key.size)
