"""Real parts for every test: one PostgreSQL cluster, two Redis servers and one S3 a run, all thrown away at its end."""

import contextvars
import gc
import importlib
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import dramatiq
import httpx
import pytest
from msgspec import Struct

from emulator import process
from emulator.servers.postgres import Postgres
from emulator.servers.redis import RedisServer
from runtime.binding import bind_queue
from runtime.http.host import build
from runtime.http.hosted import read_settings
from runtime.parts import Parts
from runtime.services import ROOT, find, load_services
from shared import calls, clock, redis, silence
from shared import db as db_module
from shared import s3 as s3_module
from shared.db import Database
from shared.ids import new_id
from shared.messages import Message, Outcome
from shared.objects import ObjectStore
from shared.settings import read
from shared.tasks import Task
from tests import leftovers, support
from tests.clusters import Clusters
from tests.quick import slowly

pytest_plugins = ["anyio", "tests.prepared"]

# A run that a script put into the background inherits an ignored SIGINT, and so would each program whose Ctrl-C is tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Each process computes alone: threads of OpenBLAS that wait for each other took three quarters of what a regression took.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

DURATIONS = ROOT / "build/durations.json"
# The longest where nothing has run yet, as in CI with its new checkouts: begun last, one of them would run alone for minutes.
LONGEST = (
    *("faults/test_faults", "k8s/test_killed", "contract/test_schemathesis", "emulator/recording/test_replay"),
    *("emulator/test_reload", "k8s/test_deploy", "emulator/recording/test_exporting", "runtime/test_audit"),
    *("emulator/recording/test_record", "emulator/state/test_snapshots", "emulator/state/test_inspection"),
    *("emulator/test_up", "k8s/test_restore", "k8s/test_secrets", "ai/test_injections", "contract/test_client"),
    *("k8s/test_rollout", "k8s/test_plan", "emulator/test_dashboard", "runtime/test_closure", "test_main_job"),
    *("recycle_info/test_search", "recycle_info/test_recall", "emulator/test_replicas", "k8s/test_workflows"),
)
# All of such a file is `make slow`'s: others need not import it, and what it imports.
SLOW = "\npytestmark = pytest.mark.slow\n"
_took: dict[str, float] = {}


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        folder = leftovers.begin()
        config.add_cleanup(lambda: leftovers.remove(folder))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    wanted = config.option.markexpr != "not slow" or collection_path.suffix != ".py"
    return None if wanted or SLOW not in collection_path.read_text(encoding="utf-8") else True


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """What is collected stays: to look through it for garbage again and again takes a sixth of the time."""
    gc.disable()
    try:
        _import_all(session.config)
        return (yield)
    finally:
        gc.enable()


def _import_all(config: pytest.Config) -> None:
    """Of several processes: each begins to import at another file, so that in a new checkout each file is compiled once.

    To compile the asserts of all tests takes longer than all that collecting is beside it, and each would do it for itself.
    """
    if not hasattr(config, "workerinput"):
        return
    about = config.workerinput
    files = [file for place in config.args if Path(place).is_dir() for file in sorted(Path(place).rglob("test_*.py"))]
    begin = len(files) * int(about["workerid"].removeprefix("gw")) // about["workercount"]
    for file in files[begin:] + files[:begin]:
        if not pytest_ignore_collect(file, config):
            # What can't be imported is said by the collection itself.
            with suppress(Exception, pytest.skip.Exception):
                importlib.import_module(".".join(file.resolve().relative_to(ROOT).with_suffix("").parts))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of several processes: the files that take longest come first, so that at a run's end none is left alone with one."""
    if not hasattr(config, "workerinput"):
        return
    known = {f"tests/{name}.py": 1000.0 - place for place, name in enumerate(LONGEST)} | _known()
    items.sort(key=lambda item: -known.get(item.location[0], 0.0) - known.get(slowly(item.location[0]), 0.0))


def pytest_itemcollected(item: pytest.Item) -> None:
    """What a test sets in its context ends with it: a person whom one has let in would ask in others, until the token ends."""
    runtest = item.runtest
    item.runtest = lambda: contextvars.copy_context().run(runtest)  # type: ignore[method-assign]  # pytest has no hook around it


def pytest_collection_finish() -> None:
    """What was collected, five thousand tests and all they import, is no garbage: no later collection walks it again."""
    gc.collect()
    gc.freeze()


def _known() -> dict[str, float]:
    found: dict[str, float] = json.loads(DURATIONS.read_text()) if DURATIONS.exists() else {}
    return found


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note how long each test file takes: `make quick` chooses by it, and the next run begins with the longest."""
    file = slowly(report.location[0]) if "slow" in report.keywords else report.location[0]
    _took[file] = _took.get(file, 0.0) + report.duration


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workerinput") or not _took:
        return  # a worker of pytest-xdist: its reports reach the controller
    DURATIONS.parent.mkdir(exist_ok=True)
    DURATIONS.write_text(json.dumps(_known() | {name: round(seconds, 2) for name, seconds in _took.items()}, indent=0))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds everything of this run."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="session")
def postgres(clusters: Clusters, state: Path) -> Iterator[Postgres]:
    """A server with every role, schema and migration, and the items."""
    server = clusters.filled(state)
    try:
        yield server.start()
    finally:
        server.destroy()


@pytest.fixture(scope="session")
def broker(state: Path) -> Iterator[RedisServer]:
    with support.redis(state, "broker") as server:
        yield server


@pytest.fixture(scope="session")
def cache(state: Path) -> Iterator[RedisServer]:
    with support.redis(state, "cache") as server:
        yield server


@pytest.fixture(scope="session")
def broker_url(broker: RedisServer) -> str:
    return broker.url


@pytest.fixture(scope="session")
def cache_url(cache: RedisServer) -> str:
    return cache.url


@pytest.fixture(scope="session")
def s3(state: Path) -> Iterator[support.S3]:
    """The emulator's S3 with a bucket."""
    with support.s3(state) as server:
        yield server


@pytest.fixture(scope="session")
def keys(state: Path) -> support.Keys:
    """The files with the signing keys and their public half."""
    return support.make_keys(state / "keys")


@pytest.fixture(scope="session")
def environment(
    postgres: Postgres, broker_url: str, cache_url: str, s3: support.S3, keys: support.Keys
) -> dict[str, str]:
    """What a service's process finds in its environment, for every service at once."""
    services = load_services()
    databases = {
        service.database.env: postgres.dsn(service.database.role, search_path=service.database.schema)
        for service in services.values()
    }
    return databases | {
        "BROKER_REDIS_URL": broker_url,
        "CACHE_REDIS_URL": cache_url,
        "S3_ENDPOINT_URL": s3.url,
        "S3_BUCKET": s3.bucket,
        "AWS_ACCESS_KEY_ID": s3.access_key,
        "AWS_SECRET_ACCESS_KEY": s3.secret_key,
        "CDN_BASE_URL": "http://cdn.test",
        "AUTH_JWKS_FILE": str(keys.public),
        "AUTH_SIGNING_KEY_FILE": str(keys.private),
        "MIGRATION_DB_URL": postgres.dsn("migrator"),
        # No one listens on the discard port: another service is away until a test says where it is.
        "SERVICE_URLS": ",".join(
            f"{service.name}=http://127.0.0.1:9" for service in services.values() if service.prefix
        ),
        "LOG_FORMAT": "text",
        # All persons of all tests come from one address.
        "QUOTA_REGISTRATIONS": "100000",
    }


@pytest.fixture(scope="session")
def own(environment: dict[str, str], broker: RedisServer, cache: RedisServer) -> Callable[[str], dict[str, str]]:
    """`own("auth")`: what that service's process finds, which is let into the two Redis as its own user."""
    return lambda name: environment | support.redis_of(find(name), broker, cache)


Serve = Callable[..., Awaitable[httpx.AsyncClient]]


@pytest.fixture
async def serve(
    environment: dict[str, str], own: Callable[[str], dict[str, str]], patient: None
) -> AsyncIterator[Serve]:
    """`client = await serve("auth")`: the service through the production loader, under its own role, without background.

    Several names are served on one address; `background=True` runs the relay and the queue functions too; further
    keywords are put into the environment.
    """
    async with AsyncExitStack() as stack:

        async def start(*targets: str, background: bool = False, **extra: str) -> httpx.AsyncClient:
            found = own(targets[0].partition("/")[0]) if len(targets) == 1 else environment
            edge, _ = build(targets, found | extra, background=background, access_log=False)
            await stack.enter_async_context(support.lifespan(edge))
            transport = httpx.ASGITransport(app=edge, raise_app_exceptions=False)  # type: ignore[arg-type]  # httpx types an ASGI scope as any mapping
            return await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://eco2.test"))

        yield start


@pytest.fixture
async def db(environment: dict[str, str]) -> AsyncIterator[Callable[[str], Awaitable[Database]]]:
    """`database = await db("auth")`: a pool under that service's role."""
    async with AsyncExitStack() as stack:

        async def connect(name: str) -> Database:
            service = find(name)
            database = Database(environment[service.database.env], size=4, name=f"test-{name}")
            await database.open()
            stack.push_async_callback(database.close)
            return database

        yield connect


class Take:
    """Runs a queue function with the parts that its service's host would give it."""

    def __init__(self, own: Callable[[str], dict[str, str]]) -> None:
        self.environment: dict[str, str] = {}  # what a test says otherwise
        self._own = own
        self._parts: dict[str, Parts] = {}

    async def parts(self, name: str) -> Parts:
        """The parts of a service, open."""
        if name not in self._parts:
            service = find(name)
            self._parts[name] = Parts(service, read_settings(service, self._own(name) | self.environment))
            await self._parts[name]["db"].open()
        return self._parts[name]

    async def __call__(self, actor: dramatiq.Actor[Any, Any], message: Message | Outcome) -> None:
        call = bind_queue(actor, await self.parts(actor.queue_name))
        subject = message.subject if isinstance(message, Outcome) else new_id()
        await call.run(message, Task(new_id(), new_id(), subject, 1, clock.now() + timedelta(seconds=60)))

    async def close(self) -> None:
        for parts in self._parts.values():
            await parts.close()


@pytest.fixture
async def take(own: Callable[[str], dict[str, str]], patient: None) -> AsyncIterator[Take]:
    """`await take(photo_processed, outcome)`: a queue function with its real parts, without a broker between."""
    taking = Take(own)
    yield taking
    await taking.close()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients made in this test wait for a store that answers late, because the machine is busy, as if it were there.

    A service gives up within two seconds, with a 503 or without progress and cache: right for it, but a test would miss what
    it asked for. Tests of what is away or silent make `patient` nothing.
    """
    for module in (redis, db_module, calls):
        monkeypatch.setattr(module, "PATIENCE", 60.0)
    for name in ("PATIENCE", "PATIENCE_WITH_SOMEBODY_WAITING"):
        monkeypatch.setattr(s3_module, name, (60, 60))
    monkeypatch.setattr(silence, "PROOF", 60.0)


@pytest.fixture
def objects(environment: dict[str, str], patient: None) -> Iterator[ObjectStore]:
    """The object store that all services share."""
    store = ObjectStore(read(environment))
    yield store
    store.close()


class Person(Struct):
    """Somebody with a valid access token. `headers` go into each request."""

    id: UUID
    session_id: UUID
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@pytest.fixture
def person(keys: support.Keys) -> Person:
    """A person whom no service has seen before."""
    return make_person(keys)


@pytest.fixture
def another_person(keys: support.Keys) -> Person:
    """Somebody else."""
    return make_person(keys)


def make_person(keys: support.Keys) -> Person:
    user_id, session_id = new_id(), new_id()
    return Person(user_id, session_id, support.access_token(keys, user_id, session_id))


@pytest.fixture
def free_port() -> int:
    # Not the kernel's choice: it gives its own ports to outgoing connections, so to another test's client a moment later.
    return process.free_port()


@pytest.fixture
def later(tmp_path: Path) -> Callable[[float], AbstractContextManager[None]]:
    """Moves the clock on by so many seconds for a block."""

    @contextmanager
    def move(seconds: float) -> Iterator[None]:
        file = tmp_path / "later"
        clock.write_offset(str(file), seconds)
        clock.use_file(str(file))
        try:
            yield
        finally:
            clock.use_file(None)

    return move
