"""What all our servers have in common: what uvicorn says of itself, how many may wait, which moment an answer is of"""

import asyncio
import resource
import signal
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Any

import pytest

from runtime.http import host
from runtime.http.protocol import ProblemProtocol
from runtime.http.server import BACKLOG, Server, configured
from shared import clock


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """An application that is asked nothing."""


@pytest.fixture
def few_files() -> Iterator[int]:
    """The limit of open files lowered, as a login shell sets it; what the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, hard) - 1, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_server_takes_as_many_connections_as_the_system_allows(few_files: int) -> None:
    configured(nothing)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (few_files, few_files)


def test_every_server_is_configured_alike_and_has_its_own_beside() -> None:
    config = configured(nothing, port=81, lifespan="on")
    assert (config.port, config.lifespan, config.http) == (81, "on", ProblemProtocol)
    assert (config.loop, config.ws, config.backlog) == ("uvloop", "none", BACKLOG)
    assert (config.log_config, config.access_log, config.server_header) == (None, False, False)


def test_an_answer_is_of_its_second_and_names_no_server(
    later: Callable[[float], None],
) -> None:
    config = configured(nothing)
    config.load()
    state = Server(config).server_state
    [(name, value)] = state.default_headers
    assert name == b"date"
    assert abs(parsedate_to_datetime(value.decode()) - clock.now()).total_seconds() < 60
    later(3600)
    [(_, hour_later)] = state.default_headers
    seconds = (parsedate_to_datetime(hour_later.decode()) - parsedate_to_datetime(value.decode())).total_seconds()
    assert 3600 <= seconds < 3660
    assert value.endswith(b" GMT")


def test_one_who_wants_no_date_gets_none() -> None:
    config = configured(nothing, date_header=False, headers=[("x-own", "1")])
    config.load()
    assert Server(config).server_state.default_headers == [(b"x-own", b"1")]


@pytest.mark.parametrize("before", [True, False])
async def test_a_server_sleeps_until_it_is_told_to_stop_and_not_if_it_was_told_before(before: bool) -> None:
    server = Server(configured(nothing))
    if before:
        server.handle_exit(signal.SIGTERM, None)
    sleeping = asyncio.create_task(server.main_loop())
    for _ in range(5):
        await asyncio.sleep(0)
    assert sleeping.done() is before
    server.handle_exit(signal.SIGTERM, None)
    async with asyncio.timeout(60):
        await sleeping
    assert server.should_exit


async def test_a_host_that_stops_says_so_before_it_waits_for_what_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else who listens to events would be waited for, and a load balancer would send more."""
    steps: list[str] = []

    async def wait(*_: Any) -> None:
        steps.append("wait")

    monkeypatch.setattr(Server, "shutdown", wait)
    edge: Any = SimpleNamespace(drain=lambda: steps.append("drain"))
    await host._Server(configured(edge), edge).shutdown()
    assert steps == ["drain", "wait"]
