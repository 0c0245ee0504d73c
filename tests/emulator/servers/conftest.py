"""The object store as a process of its own, one a module."""

from collections.abc import Iterator

import pytest

from emulator.process import stop
from tests.emulator.servers.test_s3 import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(tmp_path_factory.mktemp("s3")).start()
    yield store
    assert store.process is not None
    stop(store.process)
