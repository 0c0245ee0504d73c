"""The proxy between two parts: what goes wrong goes wrong as asked, and is well again when cleared."""

import asyncio
import contextlib
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Iterator

import msgspec
import pytest

from emulator.network.links import Fault, Link, Order, Place
from emulator.network.proxy import Served
from emulator.network.upstream import Upstream
from tests import support
from tests.proxies import ProxyThread
from tests.runtime.owner import eventually


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            while data := self.request.recv(65536):
                self.server.seen.append(data)  # type: ignore[attr-defined]  # the fixture `echo` sets it
                self.request.sendall(data)


class Shout(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(65536):
            self.request.sendall(data.upper())


class Count(socketserver.BaseRequestHandler):
    """Answers when all has come."""

    def handle(self) -> None:
        size = 0
        while data := self.request.recv(65536):
            size += len(data)
        self.request.sendall(b"%d" % size)


@contextlib.contextmanager
def served(handler: type[socketserver.BaseRequestHandler]) -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def seen() -> list[bytes]:
    return []


@pytest.fixture
def echo(seen: list[bytes]) -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        server.seen = seen  # type: ignore[attr-defined]  # the handler reads it there
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy() -> Iterator[ProxyThread]:
    with ProxyThread(seed=7) as proxy:
        yield proxy


def ask(port: int, data: bytes = b"hello") -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(data)
        try:
            connection.shutdown(socket.SHUT_WR)
        except OSError:  # "not connected": the reset was here first
            raise ConnectionResetError from None
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer


def test_without_a_fault_everything_passes(proxy: ProxyThread, echo: int) -> None:
    data = bytes(range(256)) * 20_000
    assert ask(proxy.link("echo", echo), data) == data


def test_a_cut_resets_old_and_new_connections_until_it_is_cleared(proxy: ProxyThread, echo: int) -> None:
    port = proxy.link("echo", echo)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as old:
        old.sendall(b"a")
        assert old.recv(1) == b"a"
        fault = proxy.add("echo", "cut")
        with pytest.raises(ConnectionResetError):
            old.recv(1)
    with pytest.raises(ConnectionError):
        ask(port)
    proxy.clear(fault)
    assert ask(port) == b"hello"


def test_a_fault_of_one_source_leaves_the_others_alone(proxy: ProxyThread, echo: int) -> None:
    waste, auth = proxy.link("postgres", echo, source="api-waste"), proxy.link("postgres", echo, source="api-auth")
    proxy.add("postgres", "cut", source="api-waste")
    with pytest.raises(ConnectionError):
        ask(waste)
    assert ask(auth) == b"hello"


def test_redis_names_both_servers() -> None:
    fault = Fault(id="1", target="redis", kind="cut")
    assert hits(fault, "redis-broker")
    assert hits(fault, "redis-cache")
    assert not hits(fault, "s3")


def hits(fault: Fault, target: str, source: str = "a") -> bool:
    place = Place(target, 2)
    return fault.hits(Link(source, target.partition("/")[0], 1, (place,)), place)


def test_a_replica_is_named_by_its_number_and_all_of_them_by_their_family() -> None:
    of_one = Fault(id="1", target="api-waste/2", kind="cut")
    assert [hits(of_one, name) for name in ("api-waste/2", "api-waste", "api-waste/3")] == [True, False, False]
    first = Fault(id="1", target="api-waste/1", kind="cut")
    assert [hits(first, name) for name in ("api-waste", "api-waste/2")] == [True, False]
    of_all = Fault(id="1", target="api-waste", kind="cut")
    assert hits(of_all, "api-waste")
    assert hits(of_all, "api-waste/2")
    from_one = Fault(id="1", target="postgres", kind="cut", source="worker-ai/2")
    sources = ("worker-ai/2", "worker-ai")
    assert [hits(from_one, "postgres", source) for source in sources] == [True, False]
    assert hits(Fault(id="1", target="postgres", kind="cut", source="worker-ai"), "postgres", "worker-ai/2")


def test_connections_go_to_replicas_in_turn_and_a_fault_takes_one_of_them(proxy: ProxyThread, echo: int) -> None:
    with served(Shout) as shout:
        port = proxy.link("api-waste", echo)
        second = Place("api-waste/2", shout)
        proxy.links[-1] = Link("test", "api-waste", port, (*proxy.links[-1].to, second))
        proxy.clear()
        assert sorted(ask(port) for _ in range(4)) == [b"HELLO", b"HELLO", b"hello", b"hello"]
        proxy.add("api-waste/2", "cut")
        answers = []
        for _ in range(4):
            with contextlib.suppress(ConnectionError):
                answers.append(ask(port))
        assert answers == [b"hello", b"hello"]
        proxy.links[-1] = Link("test", "api-waste", port, proxy.links[-1].to[:1])
        proxy.clear()
        assert {ask(port) for _ in range(4)} == {b"hello"}


def test_what_went_to_a_replica_that_is_left_out_goes_on_and_suffers_as_before(proxy: ProxyThread, echo: int) -> None:
    port = proxy.link("api-waste", echo)
    first = proxy.links[-1].to
    proxy.links[-1] = Link("test", "api-waste", port, (*first, Place("api-waste/2", echo)))
    proxy.clear()
    with contextlib.ExitStack() as stack:
        both = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5)) for _ in range(2)]
        for left in (False, True):
            if left:
                proxy.links[-1] = Link("test", "api-waste", port, first)
                proxy.clear()
            for connection in both:
                connection.sendall(b"a")
                assert connection.recv(1) == b"a"
        proxy.add("api-waste", "cut")
        for connection in both:
            with pytest.raises(ConnectionResetError):
                connection.recv(1)


@pytest.mark.parametrize("ends", ["its client", "its link"])
def test_of_a_connection_that_has_ended_nothing_is_left(proxy: ProxyThread, echo: int, ends: str) -> None:
    port = proxy.link("echo", echo)
    [listener] = proxy.proxy.listeners.values()
    [road] = listener._roads.values()
    proxy.add("echo", "throttle", rate=1.0)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"x" * 1000)  # a quarter of an hour on its way
        eventually(lambda: any(half._walk for one in list(road.connections) for half in (one.client, one.server)))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # as one that is killed
        if ends == "its link":
            proxy.links.clear()
            proxy.clear()
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
    eventually(lambda: not road.connections)
    eventually(lambda: not [task for task in asyncio.all_tasks(proxy.loop) if not task.done()])


def test_a_throttle_without_a_rate_holds_up_nothing(proxy: ProxyThread, echo: int) -> None:
    port = proxy.link("echo", echo)
    proxy.add("echo", "throttle")
    assert ask(port) == b"hello"


@pytest.mark.parametrize("faulty", [False, True], ids=["as it comes", "in a line"])
@pytest.mark.parametrize("data", [b"", b"abc"], ids=["nothing", "something"])
def test_who_has_said_all_is_still_answered(proxy: ProxyThread, data: bytes, faulty: bool) -> None:
    with served(Count) as count:
        port = proxy.link("count", count)
        if faulty:
            proxy.add("count", "latency", seconds=0.001)
        assert ask(port, data) == b"%d" % len(data)


@pytest.mark.parametrize("faulty", [False, True], ids=["as it comes", "in a line"])
def test_what_no_one_takes_holds_up_who_sends_it_and_arrives_whole(proxy: ProxyThread, faulty: bool) -> None:
    piece, much, sent = bytes(65536), 1 << 26, 0
    with socket.create_server(("127.0.0.1", 0)) as sink:
        port = proxy.link("sink", sink.getsockname()[1])
        if faulty:
            proxy.add("sink", "latency", seconds=0.001)
        with socket.create_connection(("127.0.0.1", port), timeout=0.2) as source, sink.accept()[0] as taker:
            with pytest.raises(TimeoutError):
                while sent < much:
                    sent += source.send(piece)
            source.shutdown(socket.SHUT_WR)
            taken = 0
            while data := taker.recv(1 << 20):
                taken += len(data)
            assert taken == sent


def test_latency_comes_once_an_answer(proxy: ProxyThread, echo: int) -> None:
    port = proxy.link("echo", echo)
    proxy.add("echo", "latency", seconds=0.2)
    start = time.monotonic()
    assert ask(port) == b"hello"
    assert time.monotonic() - start >= 0.2


def test_a_hung_link_answers_nothing_and_then_everything(proxy: ProxyThread, echo: int) -> None:
    port = proxy.link("echo", echo)
    with socket.create_connection(("127.0.0.1", port), timeout=0.2) as connection:
        fault = proxy.add("echo", "hang")
        connection.sendall(b"a")
        with pytest.raises(TimeoutError):
            connection.recv(1)
        proxy.clear(fault)
        connection.settimeout(5)
        assert connection.recv(1) == b"a"


def test_a_swallowed_answer_was_work_done(proxy: ProxyThread, echo: int, seen: list[bytes]) -> None:
    port = proxy.link("echo", echo)
    proxy.add("echo", "swallow")
    with pytest.raises(ConnectionResetError):
        ask(port)
    assert seen == [b"hello"]


def test_throttling_bounds_the_rate(proxy: ProxyThread, echo: int) -> None:
    port = proxy.link("echo", echo)
    proxy.add("echo", "throttle", rate=100_000)
    start = time.monotonic()
    assert len(ask(port, b"x" * 20_000)) == 20_000
    assert time.monotonic() - start >= 0.2


def test_chance_is_the_same_again_from_the_same_seed(echo: int) -> None:
    def run() -> list[bool]:
        with ProxyThread(seed=3) as proxy:
            port = proxy.link("echo", echo)
            proxy.add("echo", "reset", chance=0.5)
            return [_passes(port) for _ in range(20)]

    first = run()
    assert first == run()
    assert 0 < sum(first) < 20


def _passes(port: int) -> bool:
    try:
        return ask(port) == b"hello"
    except ConnectionError:
        return False


def test_an_absent_server_is_a_reset(proxy: ProxyThread) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(ConnectionError):
        ask(proxy.link("gone", port))


async def test_the_proxy_is_ready_while_it_does_what_it_was_told_last() -> None:
    made, client = Served(0), Upstream()

    async def said(order: bytes = b"") -> tuple[int, list[str]]:
        if order:
            await made._obey(order)
        answer = await client.request("GET", address)
        told = msgspec.json.decode(answer.content)
        assert (told["ready"], told["loops"]) == (answer.status == 200, [])
        return answer.status, told["reasons"]

    with socket.create_server(("127.0.0.1", 0)) as taken:
        impossible = Order([Link("a", "b", taken.getsockname()[1], (Place("b", 1),))], [])
        async with asyncio.timeout(30), support.answering(made._answer) as address:
            assert await said() == (503, ["not told yet what should hold"])
            assert await said(msgspec.json.encode(Order([], []))) == (200, [])
            for wrong, why in ((msgspec.json.encode(impossible), "in use"), (b"{", "truncated")):
                status, (reason,) = await said(wrong)
                assert (status, why in reason) == (503, True)
            assert await said(msgspec.json.encode(Order([], []))) == (200, [])
            reader, writer = await asyncio.open_connection(*address.removeprefix("http://").split(":"))
            writer.write(b"GET")
            writer.write_eof()
            assert await reader.read() == b"", "half a question has no answer"
            writer.close()
