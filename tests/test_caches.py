"""What a process keeps in memory between requests is bounded: a registry by name, and a test that fills each of what others fill.

`KEPT` names each collection that an object or a module of a long-lived process begins empty, with what bounds it; a new one has
to be named here, which is the moment to ask what happens after a month.
"""

import ast
import asyncio
import functools
import gc
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest
import redis.asyncio
from litestar import Litestar, get
from litestar._parsers import parse_query_string
from litestar.params import QueryParameter

from emulator.dashboard import slow, spans
from emulator.outside import identity as outside
from emulator.servers import ai_stub
from runtime import forms, telemetry
from runtime.delivery import relay
from runtime.delivery.broker import Broker
from runtime.http import edge
from runtime.http.admission import Lane
from runtime.http.app import Asked
from runtime.services import ROOT
from shared import clock, rates
from shared.messages import Outcome
from shared.wake import Accepted
from tests.conftest import Serve

# Commands, builds and deployments end; what they gather goes with them.
SHORT_LIVED = (
    "runtime/commands/",
    "runtime/cli.py",
    "runtime/closure.py",
    "runtime/audit.py",
    "emulator/commands/",
    "emulator/recording/",
    "functions/recycle_info/dataset.py",
)
# These are commands too, but for what the gateway runs.
LONG_LIVED = ("emulator/recording/tap.py",)
MAKERS = {
    "dict", "list", "set", "deque", "OrderedDict", "defaultdict", "Counter", "WeakKeyDictionary", "WeakValueDictionary",
    "SimpleQueue", "Queue", "LifoQueue",
}  # fmt: skip
HERE = "filled in this file"
PART, SUBSCRIBER, FILE = "one a part of the system", "one a reader inside the program", "one a file of the checkout"
SERVER_SIDE, RUNS = "one a connection that is open", "one a task in hand: as many as are fetched at once"
MADE = "made once, at the start"
KEPT = {
    "emulator/addresses.py: Addresses._apart": PART,
    "emulator/dashboard/locks.py: Locks._statements": "one a statement that takes long, looked at for 30 s at most",
    "emulator/dashboard/locks.py: Locks._traces": "one a connection to PostgreSQL, of as many as KEPT",
    "emulator/dashboard/pages/system.py: _Memory._found": "replaced at each look",
    "emulator/dashboard/site.py: Site._environment": "replaced",
    "emulator/dashboard/slow.py: Slow._errors": HERE,
    "emulator/dashboard/slow.py: Slow._functions": HERE,
    "emulator/dashboard/slow.py: Slow._statements": HERE,
    "emulator/dashboard/spans.py: Collector._ids": HERE,
    "emulator/dashboard/spans.py: Collector._listeners": SERVER_SIDE,
    "emulator/dashboard/spans.py: Collector.traces": HERE,
    "emulator/fleet.py: Fleet.keepers": PART,
    "emulator/fleet.py: Fleet.listeners": SUBSCRIBER,
    "emulator/forks.py: Template.births": PART,
    "emulator/forks.py: Template.children": PART,
    "emulator/forks.py: Template.ended_unheard": PART,
    "emulator/forks.py: Template.files": FILE,
    "emulator/keeper.py: Keeper._leaving": "processes that are ending",
    "emulator/launcher.py: Launcher._programs": "programs that run",
    "emulator/launcher.py: Launcher._retired": "those that are gone are left out at the next",
    "emulator/logbook.py: Follower._places": PART,
    "emulator/logbook.py: Follower._readers": PART,
    "emulator/network/faults.py: Faults._held": "one an order of the person at the terminal, with an end",
    "emulator/network/gateway.py: Gateway.apart": PART,
    "emulator/network/gateway.py: Gateway.away": PART,
    "emulator/network/gateway.py: Gateway.errors": PART,
    "emulator/network/proxy.py: Proxy.listeners": PART,
    "emulator/network/proxy.py: _Listener._roads": PART,
    "emulator/network/road.py: Road.connections": SERVER_SIDE,
    "emulator/network/road.py: _Half._line": "pieces under a fault: no more than 64, then its sender waits",
    "emulator/network/upstream.py: Upstream._idle": "one a service's address; each has as many idle connections as KEPT",
    "emulator/outside/identity.py: Identity._codes": HERE,
    "emulator/outside/identity.py: Identity._tokens": HERE,
    "emulator/recording/tap.py: Tap._watched": SERVER_SIDE,
    "emulator/recording/tap.py: _Kept._pieces": "one body, of as many bytes as are kept",
    "emulator/reload.py: Reloader.closures": PART,
    "emulator/reload.py: Reloader.edited": FILE,
    "emulator/reload.py: Reloader.errors": PART,
    "emulator/reload.py: Reloader.pending": FILE,
    "emulator/reload.py: Reloader.seen": FILE,
    "emulator/reload.py: Reloader.unmigrated": FILE,
    "emulator/reload.py: Reloader.waiting": FILE,
    "emulator/screen.py: Terminal.names": PART,
    "emulator/servers/ai_stub.py: Stub.headers": HERE,
    "emulator/servers/ai_stub.py: Stub.requests": HERE,
    "emulator/setup.py: Setup._troubles": MADE,
    "emulator/supervisor.py: Supervisor._left_out": PART,
    "emulator/system.py: System.apart": PART,
    "emulator/system.py: System.routed": PART,
    "emulator/template.py: _places": MADE,
    "functions/ai/asking.py: Asking._said": "one a turn before the question, while it is answered",
    "functions/ai/network.py: _Graph.constants": MADE,
    "functions/ai/network.py: _Graph.nodes": MADE,
    "functions/ai/retrieval.py: Once._found": "one a search of the question that is answered",
    "functions/auth/keys.py: Signer._loaded": "one a key of the file",
    "functions/auth/passwords.py: _Slots.waiting": "one a request that waits; more than WAITING are refused",
    "functions/auth/passwords.py: _slots": "one an event loop that lives",
    "runtime/delivery/consumer.py: Consumer._done": RUNS,
    "runtime/delivery/consumer.py: Consumer._held": RUNS,
    "runtime/delivery/consumer.py: Consumer._later": RUNS,
    "runtime/delivery/consumer.py: Consumer._loops": MADE,
    "runtime/delivery/consumer.py: Consumer._unsent": "UNSENT; what is left out comes again",
    "runtime/delivery/consumer.py: Consumer._waits": "one sentence for each loop",
    "runtime/delivery/limits.py: Limits._armed": "one a thread that runs a function",
    "runtime/delivery/limits.py: Limits._fired": "one a thread that runs a function",
    "runtime/delivery/relay.py: Relay._slots": "one a schedule",
    "runtime/delivery/relay.py: Relay._waiting": HERE,
    "runtime/delivery/relay.py: Room._full": "one a queue",
    "runtime/delivery/working.py: Worker._ending": "the tasks of one commit of the journal",
    "runtime/delivery/working.py: Worker._runners": MADE,
    "runtime/delivery/working.py: Worker._tasks": RUNS,
    "runtime/delivery/working.py: Worker._work": RUNS,
    "runtime/forms.py: Form._said": HERE,
    "runtime/http/admission.py: Lane._last": HERE,
    "runtime/http/admission.py: Lane._rounds": "one a request that waits; more than MOST are refused",
    "runtime/http/binding.py: _Needs.constants": MADE,
    "runtime/http/binding.py: _Needs.steps": MADE,
    "runtime/http/binding.py: _Needs.wanted": MADE,
    "runtime/http/hosted.py: Hosted._lanes": MADE,
    "runtime/http/hosted.py: Hosted._loops": MADE,
    "runtime/http/openapi_schemas.py: Bodies.types": MADE,
    "runtime/http/patience.py: Patience._stalled": SERVER_SIDE,
    "runtime/http/patience.py: Patience._until": SERVER_SIDE,
    "runtime/http/server.py: _State._headers": "replaced each second",
    "runtime/http/switch.py: off": "one a service",
    "runtime/journal/drain.py: Syncer._put_down": "batches of one cycle until PostgreSQL's log is on its disk",
    "runtime/journal/file.py: JournalFile.recovered": MADE,
    "runtime/journal/records.py: Records._free": "connections, as many as there are LANES",
    "runtime/journal/server.py: Server._open": SERVER_SIDE,
    "runtime/journal/syncer.py: Loop.reasons": "replaced at each look",
    "runtime/journal/writer.py: Writer._queue": RUNS,
    "runtime/journal/writer.py: Writer.after": MADE,
    "runtime/parts.py: Parts._made": MADE,
    "runtime/telemetry.py: AccessLog._lines": HERE,
    "runtime/telemetry.py: Gauges._sources": MADE,
    "runtime/telemetry.py: Latencies._cells": "one a route, method and status: what no route matches has one name",
    "shared/errors.py: Problem.errors": "an answer's own",
    "shared/events.py: Hub._subjects": SERVER_SIDE,
    "shared/events.py: _Subject.listeners": SERVER_SIDE,
    "shared/identity.py: Verifier._keys": "one a key of the file",
    "shared/identity.py: Verifier._known": "filled in tests/shared/test_identity.py",
    "shared/identity.py: Verifier._revoked": "filled in tests/shared/test_identity.py",
    "shared/rates.py: _Alone.empty_at": HERE,
    "shared/silence.py: Watch._since": "one a connection of the pool",
    "shared/supervision.py: _ends": "one a loop's name",
    "shared/supervision.py: _loops": "one a loop that lives",
    "shared/text.py: _SAID": MADE,
    "shared/together.py: Unit.rows": "the rows of one request",
    "shared/together.py: Unit.writes": "the statements of one request",
    "shared/units.py: Units._alone": "one a request in hand",
    "shared/units.py: Units._waiting": "one a request in hand",
    "shared/wake.py: _wakers": "one a relay",
}


def sources() -> Iterator[tuple[str, ast.Module]]:
    for folder in ("functions", "shared", "runtime", "emulator"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if name in LONG_LIVED or not name.startswith(SHORT_LIVED):
                yield name, ast.parse(path.read_text(encoding="utf-8"))


def begins_empty(value: ast.expr | None) -> bool:
    """Whether this makes a collection that is empty and may grow: `{}`, `[]`, `deque()`, `Queue()`; none with a bound."""
    if isinstance(value, ast.Dict):
        return not value.keys
    if isinstance(value, ast.List):
        return not value.elts
    if not isinstance(value, ast.Call):
        return False
    maker = ast.unparse(value.func).partition("[")[0].rpartition(".")[2]
    bound = any(keyword.arg in ("maxlen", "maxsize") for keyword in value.keywords)
    return maker in MAKERS and not bound and (not value.args or maker == "defaultdict")


def assigned(statement: ast.stmt) -> tuple[list[ast.expr], ast.expr | None]:
    if isinstance(statement, ast.Assign):
        return statement.targets, statement.value
    return ([statement.target], statement.value) if isinstance(statement, ast.AnnAssign) else ([], None)


def collections(file: str, tree: ast.Module) -> Iterator[str]:
    for statement in tree.body:
        targets, value = assigned(statement)
        if begins_empty(value):
            yield from (f"{file}: {target.id}" for target in targets if isinstance(target, ast.Name))
    for made in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        for method in (node for node in made.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"):
            for statement in ast.walk(method):
                targets, value = assigned(statement) if isinstance(statement, ast.stmt) else ([], None)
                if begins_empty(value):
                    for target in targets:
                        if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self":
                            yield f"{file}: {made.name}.{target.attr}"


def remembers(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether functools keeps an answer for each set of arguments, without a bound."""
    names = [ast.unparse(one) for one in function.decorator_list]
    endless = any(
        name in ("cache", "functools.cache") or name.replace(" ", "").endswith(("lru_cache(None)", "maxsize=None)"))
        for name in names
    )
    arguments = function.args
    return endless and bool(arguments.args or arguments.kwonlyargs or arguments.vararg or arguments.kwarg)


def test_each_collection_that_lives_with_its_process_is_known_with_its_bound() -> None:
    found = {one for file, tree in sources() for one in collections(file, tree)}
    assert sorted(found - set(KEPT)) == [], "say in KEPT what bounds it, and fill it in a test where others fill it"
    assert sorted(set(KEPT) - found) == []


def test_functions_remember_a_bounded_number_of_answers() -> None:
    found = [
        f"{file}: {node.name}"
        for file, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and remembers(node)
    ]
    assert found == [], "give lru_cache a maxsize"


async def fill_spans() -> None:
    """Many traces, of many ids; long ones; more statements, functions and errors than are shown; a page that does not read."""
    collector = spans.Collector()
    page = collector.listen()
    for number in range(spans.TRACES + 200):
        for kind in ("server", "sql"):
            facts = {"request_id": f"r{number}", "task": f"t{number}", "error": f"E{number}", "statement": "x" * 2000}
            span = {"trace": f"{number:032x}", "id": "0" * 16, "service": "waste", "kind": kind, "name": f"n{number}"}
            data = msgspec.json.encode(span | {"start": float(number), "ms": 1.0, "attributes": facts})
            collector.hear([data])
    assert len(collector.traces) <= spans.TRACES
    assert len(collector._ids) == 2 * len(collector.traces)
    assert page.qsize() <= 1000
    numbers = collector.slow
    assert len(numbers.statements("total", 10**6)) == slow.STATEMENTS
    assert len(numbers.functions("total", 10**6)) == slow.FUNCTIONS
    assert len(numbers.errors(10**6)) == slow.ERRORS
    large = {"trace": "f" * 32, "id": "", "service": "", "kind": "sql", "name": "", "start": 0.0, "ms": 0.0}
    for number in range(600):
        facts = {"statement": "x" * 60_000}
        collector.hear([msgspec.json.encode(large | {"trace": f"e{number}", "attributes": facts})])
    assert sum(trace.size for trace in collector.traces.values()) <= spans.BYTES


async def fill_sign_ins() -> None:
    providers = outside.Identity("http://provider", ("http://here/{provider}",))
    query = {"redirect_uri": "http://here/kakao"}
    client = {
        "client_id": outside.CLIENT_ID,
        "client_secret": outside.CLIENT_SECRET,
        "grant_type": "authorization_code",
    }
    # The tokens that `exchange` signs cost a millisecond each: the first shows what the others would do.
    code = providers.grant("kakao", query, {"sub": "someone"})
    first = providers.exchange("kakao", client | query | {"code": code})["access_token"]
    assert providers.claims(first) == {"sub": "someone"}
    for number in range(outside.MOST + 50):
        providers.grant("kakao", query, {"sub": str(number)})
    assert len(providers._codes) == outside.MOST
    providers._tokens |= {str(number): {} for number in range(outside.MOST)}
    code = providers.grant("kakao", query, {"sub": "last"})
    last = providers.exchange("kakao", client | query | {"code": code})["access_token"]
    assert (len(providers._tokens), providers.claims(first)) == (outside.MOST, None)
    assert providers.claims(last) == {"sub": "last"}


async def fill_ai_stub() -> None:
    with ai_stub.Stub() as stub:
        for number in range(ai_stub.NOTED + 20):
            stub.note({"number": number}, {})
    assert (len(stub.requests), len(stub.headers)) == (ai_stub.NOTED, ai_stub.NOTED)
    assert stub.requests[-1] == {"number": ai_stub.NOTED + 19}


async def fill_relay() -> None:
    """More than the broker takes: the newest wait here, the rest in the outbox."""
    full = relay.Relay("waste", "postgresql://nowhere", Broker("redis://127.0.0.1:1/0"))
    now = clock.now()

    def accepted(number: int) -> Accepted:
        given: dict[str, Any] = {"message": {}, "reply": None, "subject": uuid4(), "traceparent": None}
        return Accepted(id=uuid4(), actor=str(number), created_at=now, time_limit=timedelta(seconds=1), **given)

    try:
        for _ in range(2):
            full.hand([accepted(number) for number in range(relay.MOST)])
            full.hand([accepted(-1)])
            full._begun = relay.time.monotonic()
            full._receive()
            assert len(full._waiting) <= relay.MOST
        full._receive()
        assert full._waiting[-1][1].actor == "-1"
    finally:
        full.stop()


async def fill_forms(caplog: pytest.LogCaptureFixture) -> None:
    form = forms.Form(Outcome)
    whole = msgspec.to_builtins(Outcome(uuid4(), uuid4(), uuid4(), "success", clock.now()))
    for number in range(300):
        assert form.read(whole | {f"new{number}": 1}).status == "success"
    assert (form.unknown, len(form._said)) == (300, 100)
    assert caplog.text.count("does not know") == 100


async def fill_access_log(capsys: pytest.CaptureFixture[str]) -> None:
    """More requests than the event loop takes a breath for."""
    log = telemetry.AccessLog("waste", "json")
    for number in range(2500):
        log.add("GET", f"/{number}", 200, 0.001, None, "r", "0" * 55)
    assert len(log._lines) < 1000
    log.flush()
    assert capsys.readouterr().out.count("\n") == 2500


async def fill_lane() -> None:
    """People of whom one request is served and another one leaves."""
    lane = Lane(1)

    async def never() -> None:
        await asyncio.Event().wait()

    place = lane.take()
    assert place is not None
    for number in range(50):
        gone = asyncio.Event()
        first = asyncio.create_task(lane.wait(number, never))
        second = asyncio.create_task(lane.wait(number, lambda gone=gone: gone.wait()))
        other = asyncio.create_task(lane.wait("other", never))
        await asyncio.sleep(0)
        place.leave()
        (await first).leave()
        place = await other
        gone.set()
        await asyncio.wait({second})
        assert second.exception() is not None or second.result().leave() is None
    assert (lane.waiting, len(lane._last)) == (0, 0)


async def fill_rates() -> None:
    """The broker is away, and this process counts by itself."""
    nowhere = redis.asyncio.Redis(host="127.0.0.1", port=1)
    try:
        for number in range(10_500):
            rates.alone.begin()
            await rates.count(nowhere, [rates.bucket("test", str(number), 1, 60.0)])
        assert len(rates.alone.empty_at) == 10_000
    finally:
        rates.alone.until = 0.0
        rates.alone.empty_at.clear()
        await nowhere.aclose()


async def fill_queries() -> None:
    """Litestar remembers a thousand queries, whatever their length: of long ones, none."""

    @get("/search", sync_to_thread=False)
    def search(q: str = QueryParameter()) -> str:
        return q

    app = Litestar([search], request_class=Asked, openapi_config=None)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
        parse_query_string.cache_clear()  # full already where many tests ran before in this process
        before = parse_query_string.cache_info().currsize
        for number in range(20):
            answer = await client.get(f"/search?{'a=1&' * 2000}q={number}")
            assert answer.text == str(number)
        assert parse_query_string.cache_info().currsize == before
        assert (await client.get("/search?q=short")).text == "short"
        assert parse_query_string.cache_info().currsize == before + 1


def remembered() -> int:
    """How many entries Litestar's caches hold, but for those of so few that their length does not matter."""
    gc.unfreeze()  # tests/conftest.py freezes what was imported before the first test, and the list is without that
    found = [
        one.cache_info()
        for one in gc.get_objects()
        if isinstance(one, functools._lru_cache_wrapper) and (one.__module__ or "").startswith("litestar")
    ]
    assert len(found) > 5
    assert all(info.maxsize is not None for info in found)
    return sum(info.currsize for info in found if (info.maxsize or 0) > 128)


async def test_the_framework_remembers_nothing_long(serve: Serve) -> None:
    """Its caches are bounded by number alone, so only what is short may get into them; a UUID has any number of hyphens."""
    client = await serve("auth", "recycle_info")
    items, start = "/api/v1/recycle/items", "/api/v1/auth/oauth/{}/start?return_to=x&code_challenge=x"
    await client.get(items)
    await client.get(f"{items}/{uuid4()}")
    await client.get(start.format("kakao"))
    before = remembered()
    long = "-" * edge.LONGEST
    for number in range(3):
        asked = {
            f"{items}/{long}{uuid4()}": 404,
            start.format(f"{number}{long}"): 404,
            f"{items}?category={number}{long}": 400,
            f"{items}/{number}{long}": 404,
        }
        for path, status in asked.items():
            answer = await client.get(path, headers={"Cookie": f"a={number}{long}", "X-Anything": f"{number}{long}"})
            assert answer.status_code == status, path
    assert remembered() == before


@pytest.mark.parametrize(
    "fill", [fill_spans, fill_sign_ins, fill_ai_stub, fill_relay, fill_lane, fill_rates, fill_queries]
)
async def test_what_others_fill_is_bounded(fill: Callable[[], Awaitable[None]]) -> None:
    await fill()


async def test_what_is_said_of_unknown_fields_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    await fill_forms(caplog)


async def test_access_lines_are_written_before_they_are_many(capsys: pytest.CaptureFixture[str]) -> None:
    await fill_access_log(capsys)
