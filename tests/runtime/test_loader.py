"""What is wrong with a service.toml or a function's file is one line that says where, before anything runs."""

import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace

import dramatiq
import httpx
import pytest
from dramatiq.brokers.stub import StubBroker
from litestar import Litestar, Router
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler

from runtime import loader
from runtime.http.binding import parameters
from runtime.loader import LoadError, discover, load_http, load_queue_functions
from runtime.services import ROOT, Service, ServiceError, find, load_services
from shared.db import Database
from tests.conftest import Serve

WASTE = (ROOT / "functions/waste/service.toml").read_text(encoding="utf-8").replace('calls = ["api-recycle-info"]', "")


def services(root: Path, **texts: str | bytes) -> None:
    for folder, text in texts.items():
        file = root / "functions" / folder / "service.toml"
        file.parent.mkdir(parents=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    load_services(root)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("%%", "Invalid statement (at line 1"),
        (b"\xff", "can't decode byte 0xff"),
        ("", "missing required field `name`"),
        (WASTE.replace("pool = ", 'pool = "x"#'), ""),
        (WASTE + 'colour = "red"\n', "colour"),
        (WASTE.replace('name = "api-waste"', 'name = "worker-waste"'), "a worker has a `journal`"),
        (WASTE.replace("/api/v1/waste", "/waste"), "`$.prefix`"),
    ],
)
def test_a_wrong_service_toml_is_named_with_its_field(tmp_path: Path, text: str | bytes, says: str) -> None:
    with pytest.raises(ServiceError) as caught:
        services(tmp_path, waste=text)
    said = str(caught.value)
    assert said.startswith("functions/waste/service.toml")
    assert says in said
    assert "\n" not in said


@pytest.mark.parametrize("field", ["name", "prefix", "database.schema", "database.role", "database.env"])
def test_two_services_share_nothing(tmp_path: Path, field: str) -> None:
    other = WASTE
    for kind, mine, yours in (
        ("name", "api-waste", "api-other"),
        ("prefix", "/api/v1/waste", "/api/v1/other"),
        ("database.schema", 'schema = "waste"', 'schema = "other"'),
        ("database.role", "api_waste_role", "api_other_role"),
        ("database.env", "API_WASTE_DB_URL", "API_OTHER_DB_URL"),
    ):
        other = other if kind == field else other.replace(mine, yours)
    with pytest.raises(ServiceError, match=rf"functions/waste/service.toml: other has {field} "):
        services(tmp_path, waste=WASTE, other=other)


ROUTE = 'from litestar import get\n\n\n@get("/bins/{bin_id:uuid}")\nasync def NAME() -> str:\n    return ""\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def (", "bin.py, line 1: "),
        ("# \0", "bin.py, line 1: "),
        (b"# \xff", "bin.py, line 1: invalid or missing encoding declaration"),
        (ROUTE.replace("NAME", "bun"), "bin.py: name the function like its file: bin, not bun"),
        (ROUTE.replace("NAME", "bin") + ROUTE.replace("NAME", "bun"), "this has 2: bin, bun"),
        (ROUTE.replace('("/bins/{bin_id:uuid}")', ""), "bin.py, line 4: @get takes arguments: @get(...)"),
    ],
)
def test_a_wrong_function_is_named_with_its_line(tmp_path: Path, text: str | bytes, says: str) -> None:
    folder = tmp_path / "functions" / "waste"
    folder.mkdir(parents=True)
    (folder / "bin.py").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(LoadError) as caught:
        discover(find("waste"), tmp_path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_route_belongs_to_one_function(tmp_path: Path) -> None:
    folder = tmp_path / "functions" / "waste"
    folder.mkdir(parents=True)
    for name in ("first", "second"):
        # By another parameter's name it is the same address.
        text = ROUTE.replace("NAME", name).replace("bin_id", f"{name}_id")
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    with pytest.raises(LoadError, match=r"second.py: functions/waste/first.py has the route GET /api/v1/waste/bins/"):
        discover(find("waste"), tmp_path)


def parameters_of(handlers: list[HTTPRouteHandler]) -> set[str]:
    """The names of their parameters, without parts of the service's own."""
    return {name for handler in handlers for name in parameters(handler)}


APIS = [service for service in load_services().values() if not service.is_worker]
PROVIDED = ("db", "user", "maybe_user", "idempotency", "conditions", "page", "objects", "calls", "hub", "settings")


@pytest.mark.parametrize("service", APIS, ids=lambda service: service.folder)
def test_each_http_function_mounts_in_a_bare_litestar_app(service: Service) -> None:
    handlers = load_http(service)
    own = {name for handler in handlers for name in inspect.signature(handler.fn).parameters} - parameters_of(handlers)
    providers = {name: Provide(lambda: None, sync_to_thread=False) for name in (*PROVIDED, "broker", "cache", *own)}
    app = Litestar([Router(service.prefix, route_handlers=handlers)], dependencies=providers)
    served = {route.path for route in app.routes}
    assert {service.prefix + path for handler in handlers for path in handler.paths} <= served


async def test_a_bare_litestar_app_answers_as_the_host_does(
    db: Callable[[str], Awaitable[Database]], serve: Serve
) -> None:
    database = await db("recycle_info")
    service = find("recycle_info")
    provider = Provide(lambda: database, sync_to_thread=False)
    bare = Litestar(
        [Router(service.prefix, route_handlers=load_http(service, "list_categories"))], dependencies={"db": provider}
    )
    transport = httpx.ASGITransport(app=bare)  # type: ignore[arg-type]  # httpx types an ASGI scope as any mapping
    async with httpx.AsyncClient(transport=transport, base_url="http://bare.test") as client:
        answer = await client.get(f"{service.prefix}/categories")
    assert answer.status_code == 200
    assert answer.content == (await (await serve("recycle_info")).get(f"{service.prefix}/categories")).content


@pytest.mark.parametrize("service", load_services().values(), ids=lambda service: service.folder)
def test_each_queue_function_is_a_plain_dramatiq_actor(service: Service) -> None:
    broker = StubBroker()
    for name, actor in load_queue_functions(service, broker).items():
        assert type(actor) is dramatiq.Actor
        assert broker.get_actor(name) is actor


def test_a_function_whose_message_goes_to_another_service_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own service would never hear of it."""
    service = find("storage")
    [function, *_] = [one for one in discover(service) if one.trigger == "queue"]
    elsewhere = dramatiq.Actor(
        print, broker=StubBroker(), actor_name=function.name, queue_name="ai", priority=0, options={}
    )
    monkeypatch.setattr(loader, "_import", lambda _: SimpleNamespace(**{function.name: elsewhere}))
    with pytest.raises(LoadError, match=f"{function.name}.py: its message goes to ai, not to storage"):
        load_queue_functions(service, StubBroker())


def test_what_no_import_would_find_is_no_function_s_file(tmp_path: Path) -> None:
    for name in ("sound.py", "sound copy.py", "2nd.py", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / ".#sound.py").symlink_to("somebody@somewhere")  # an editor's lock
    (tmp_path / "gone.py").symlink_to("nowhere.py")
    assert loader._files(tmp_path) == [tmp_path / "sound.py"]
