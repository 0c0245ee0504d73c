"""The parts of a process: each is made once, whoever asks for it, and of those that were made none is left open"""

import threading

import pytest

from runtime.parts import Parts
from runtime.services import find
from shared.settings import read


@pytest.fixture
def parts(environment: dict[str, str]) -> Parts:
    service = find("waste")
    return Parts(service, read(environment, service="waste", database_env=service.database.env))


def test_a_part_that_two_threads_ask_for_at_once_is_made_once(parts: Parts) -> None:
    making, go_on = threading.Event(), threading.Event()
    made: list[object] = []

    def make() -> object:
        made.append(object())
        making.set()
        assert go_on.wait(60)
        return made[-1]

    parts._makers["objects"] = make
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(parts["objects"])) for _ in range(2)]
    threads[0].start()
    assert making.wait(60)
    threads[1].start()
    threads[1].join(0.05)
    assert found == [], "it waits for who is making it"
    go_on.set()
    for thread in threads:
        thread.join()
    assert found == made * 2
    assert len(made) == 1


async def test_every_part_that_was_made_is_closed_and_what_listens_first(parts: Parts) -> None:
    closed: list[str] = []

    class Open:
        def __init__(self, name: str) -> None:
            self.name = name

        async def aclose(self) -> None:
            closed.append(self.name)

        close = aclose

    class OpenHere(Open):
        def close(self) -> None:  # type: ignore[override]  # these two are closed at once
            closed.append(self.name)

    names = sorted({*parts} - {"settings"})
    parts._made |= {name: (OpenHere if name in ("publisher", "objects") else Open)(name) for name in names}
    await parts.close()
    assert sorted(closed) == names
    assert closed.index("hub") < closed.index("broker"), "it listens there"
