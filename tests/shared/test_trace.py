"""What a request is called: goes on under the trace it came with, or begins one, and says nothing of another's"""

import asyncio
import contextvars

import pytest

from shared import trace

TRACE, PARENT = "0123456789abcdef" * 2, "fedcba9876543210"
RANDOM = "a" * 32 + "b" * 16


@pytest.mark.parametrize("flags", ["00", "01"])
def test_a_trace_goes_on_under_a_span_of_our_own(flags: str) -> None:
    assert trace.enter(f"00-{TRACE}-{PARENT}-{flags}", RANDOM) == f"00-{TRACE}-{'b' * 16}-{flags}"
    assert trace.current() == f"00-{TRACE}-{'b' * 16}-{flags}"


@pytest.mark.parametrize(
    "incoming",
    [
        *(None, "", "nonsense", f"01-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-01-more", f"00-{TRACE}-{PARENT}"),
        *(f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE.upper()}-{PARENT}-01"),
        f"00-{TRACE}-{PARENT}-01\n",
    ],
)
def test_without_one_that_can_be_read_a_trace_begins(incoming: str | None) -> None:
    assert trace.enter(incoming, RANDOM) == f"00-{'a' * 32}-{'b' * 16}-01"
    one, other = trace.enter(incoming), trace.enter(incoming)
    assert one != other
    assert trace.enter(one).split("-")[1] == one.split("-")[1]


def test_a_span_inside_is_taken_back_and_one_that_ends_elsewhere_changes_nothing() -> None:
    trace.enter(None, RANDOM)
    outer = trace.current()
    token = trace.set_current("inner")
    assert trace.current() == "inner"
    trace.reset_current(token)
    assert trace.current() == outer
    token = contextvars.copy_context().run(trace.set_current, "elsewhere")
    trace.reset_current(token)
    assert trace.current() == outer


async def test_each_request_has_its_own_id_and_trace() -> None:
    async def request(name: str) -> tuple[str, str]:
        trace.set_request_id(name)
        trace.set_current(name)
        await asyncio.sleep(0)
        return trace.request_id(), trace.current()

    found = await asyncio.gather(*(asyncio.create_task(request(name)) for name in ("a", "b")))
    assert found == [("a", "a"), ("b", "b")]


@pytest.mark.parametrize(
    ("value", "good"),
    [
        (b"a", True),
        (b"A-9._:z", True),
        (b"x" * 128, True),
        (b"x" * 129, False),
        (b"", False),
        (b"a b", False),
        (b"a\n", False),
    ],
)
def test_a_client_may_call_its_request_what_a_log_can_hold(value: bytes, good: bool) -> None:
    assert bool(trace.REQUEST_ID.fullmatch(value)) is good
