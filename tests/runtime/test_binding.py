"""What is wrong with a function's parameters is one line at start, before the first task."""

from typing import Annotated, Any

import pytest
from dramatiq.brokers.stub import StubBroker
from litestar import get
from litestar.params import FromQuery

from functions.waste.messages import PhotoProcessed
from runtime.binding import bind_command, bind_queue, bind_schedule
from runtime.http.binding import parameters
from runtime.loader import LoadError, discover, load_command, load_queue_functions, load_schedules
from runtime.parts import Parts
from runtime.services import Service, find, load_services
from shared.ids import new_id
from shared.messages import ErasePerson, Outcome, ProcessPhoto
from shared.objects import ObjectStore
from shared.parts import Db, Made, Objects, Progress, Settings, Task
from shared.settings import read
from shared.triggers import queue
from tests.conftest import Take

THE_DB, THE_STORE, THE_PUBLISHER = object(), object(), object()
PARTS = {"db": THE_DB, "objects": THE_STORE, "publisher": THE_PUBLISHER}


def task() -> Task:
    from shared import clock

    return Task(new_id(), new_id(), new_id(), 1, clock.now())


def actor(function: Any, takes: Any, name: str) -> Any:
    """The function as an actor of that name."""
    function.__name__ = name
    return queue(takes)(function)


def test_a_function_gets_its_message_and_its_parts_by_name() -> None:
    seen: list[Any] = []

    def act(progress: Progress, message: ProcessPhoto, objects: Objects, task: Task, db: Db) -> None:
        seen.extend((progress._publisher, message, objects, task, db))

    bound = bind_queue(actor(act, ProcessPhoto, "process_photo"), PARTS)
    given, run = ProcessPhoto("uploads/1", "images/1"), task()
    bound.run(given, run)
    assert seen == [THE_PUBLISHER, given, THE_STORE, run, THE_DB]
    assert (bound.seconds, bound.asynchronous) == (60.0, False)


def test_the_actor_is_its_class_by_name_queue_and_limit() -> None:
    made = actor(lambda message: None, ErasePerson, "erase_person")
    assert (made.actor_name, made.options) == ("erase_person", {"time_limit": 60_000})
    assert actor(lambda outcome: None, PhotoProcessed, "photo_processed").queue_name == "waste"


@pytest.mark.parametrize(
    ("parameter", "hint", "says"),
    [
        ("databse", Db, "no function can be given a databse"),
        ("databse", Db, "shared/parts.py lists what there is"),
        ("objets", Objects, "did you mean objects?"),
        ("db", Objects, "db is marked with another part's alias"),
        ("user", Db, "no function can be given a user"),
    ],
)
def test_a_parameter_that_is_no_part_is_named(parameter: str, hint: Any, says: str) -> None:
    async def act(**parts: Any) -> None: ...

    act.__signature__ = signature_of(message=ProcessPhoto, **{parameter: hint})  # type: ignore[attr-defined]  # what inspect looks at first
    act.__annotations__ = {"message": ProcessPhoto, parameter: hint}
    with pytest.raises(LoadError, match="process_photo: ") as caught:
        bind_queue(actor(act, ProcessPhoto, "process_photo"), PARTS)
    assert says in str(caught.value)


def signature_of(**hints: Any) -> Any:
    import inspect

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Signature([inspect.Parameter(name, kind, annotation=hint) for name, hint in hints.items()])


def test_a_function_takes_the_message_of_its_decorator_under_the_name_that_it_says() -> None:
    def no_message(objects: Objects) -> None: ...

    def another(message: ErasePerson) -> None: ...

    def right(message: ProcessPhoto) -> None: ...

    for function in (no_message, another):
        with pytest.raises(LoadError, match="one parameter takes the message, such as `message: ProcessPhoto`"):
            bind_queue(actor(function, ProcessPhoto, "process_photo"), PARTS)
    with pytest.raises(LoadError, match="ProcessPhoto names storage/process_photo as the function that takes it"):
        bind_queue(actor(right, ProcessPhoto, "proces_photo"), PARTS)


async def test_schedules_and_commands_get_their_parts_the_same_way() -> None:
    async def sweep(db: Db) -> Any:
        return db

    async def import_it(words: list[str], db: Db) -> Any:
        return words, db

    bound = bind_schedule(sweep, PARTS)
    assert await bound.run(None, task()) is THE_DB
    assert bound.read({"outcome": "of no one"}) is None
    assert await bind_command(import_it, PARTS)(["a", "b"]) == (["a", "b"], THE_DB)


async def test_a_part_of_the_services_own_is_made_once_from_other_parts(take: Take) -> None:
    made: list[Any] = []

    class Sorter:
        def __init__(self, objects: Objects, settings: Settings) -> None:
            self.objects, self.bucket = objects, settings.s3_bucket
            made.append(self)

    async def one(sorter: Annotated[Sorter, Made(Sorter)]) -> Any:
        return sorter

    async def two(sorter: Annotated[Sorter, Made(Sorter)], objects: Objects) -> Any:
        return sorter, objects

    parts = await take.parts("waste")
    first = await bind_schedule(one, parts).run(None, task())
    again, store = await bind_schedule(two, parts).run(None, task())
    assert [first] == [again] == made
    assert store is first.objects
    assert isinstance(store, ObjectStore)


def test_a_part_of_the_services_own_is_nothing_that_a_request_brings() -> None:
    class Sorter: ...

    @get("/sorted")
    async def sort(sorter: Annotated[Sorter, Made(Sorter)], word: FromQuery[str], db: Db) -> None: ...

    assert parameters(sort) == {"word", "db"}


async def test_a_part_that_the_service_does_not_use_is_said_at_start(take: Take) -> None:
    async def sweep(objects: Objects) -> None: ...

    parts = await take.parts("location")
    with pytest.raises(LoadError, match='api-location has a function that names objects: add "objects" to `uses`'):
        bind_schedule(sweep, parts)


def test_a_worker_makes_no_part_that_its_functions_do_not_name(environment: dict[str, str]) -> None:
    service = find("storage")
    parts = Parts(service, read(environment, service="storage"))
    made = actor(lambda message, objects: None, ProcessPhoto, "process_photo")
    made.fn.__annotations__ = {"message": ProcessPhoto, "objects": Objects}
    bind_queue(made, parts)
    assert set(parts._made) == {"objects"}


def test_an_outcome_is_read_from_where_every_version_puts_it() -> None:
    async def act(outcome: Outcome) -> None: ...

    from shared import clock

    bound = bind_queue(actor(act, PhotoProcessed, "photo_processed"), PARTS)
    ids = [str(new_id()) for _ in range(3)]
    sent = dict(zip(("task_id", "run_id", "subject"), ids, strict=True))
    read = bound.read({"outcome": sent | {"status": "success", "completed_at": clock.now().isoformat()}})
    assert isinstance(read, PhotoProcessed)
    assert str(read.task_id) == ids[0]


@pytest.mark.parametrize("service", load_services().values(), ids=lambda service: service.folder)
async def test_every_function_of_the_system_is_bound(service: Service, environment: dict[str, str]) -> None:
    parts = Parts(service, read(environment, service=service.folder, database_env=service.database.env))
    bound = {name: bind_queue(actor, parts) for name, actor in load_queue_functions(service, StubBroker()).items()}
    bound |= {name: bind_schedule(function, parts) for name, (_, function) in load_schedules(service).items()}
    assert {call.asynchronous for call in bound.values()} == {not service.is_worker}
    for function in discover(service):
        if function.trigger == "command":
            _, command = load_command({service.folder: service}, function.where.rpartition(" ")[2])
            assert callable(bind_command(command, parts))
