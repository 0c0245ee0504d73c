"""What each service's user may do in the two Redis, tried on the real servers: its own works, everything else is refused."""

from collections.abc import Callable, Iterator

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError

from emulator.servers.redis import RedisServer
from runtime.delivery.broker import Broker
from runtime.delivery.envelope import bulk_queue
from runtime.services import find, load_services
from tests.runtime.delivery.test_broker import message

FOLDERS = [*load_services()]
# What no service needs, whichever it is.
DANGEROUS = [
    *(
        "FLUSHALL",
        "FLUSHDB",
        "KEYS *",
        "SCAN 0",
        "CONFIG GET *",
        "CONFIG SET maxmemory 1",
        "SHUTDOWN NOSAVE",
    ),
    *(
        "ACL LIST",
        "ACL SETUSER default nopass",
        "CLIENT LIST",
        "CLIENT KILL TYPE normal",
        "MONITOR",
        "SAVE",
        "RANDOMKEY",
    ),
    *(
        "REPLICAOF 127.0.0.1 1",
        "MODULE LIST",
        "FUNCTION LIST",
        "SCRIPT FLUSH",
        "SWAPDB 0 1",
        "SUBSCRIBE news",
        "PUBLISH news x",
    ),
]
# A stranger's: (who, what). `dramatiq:ai.msgs` holds questions of people, `progress:` their answers as they come.
STRANGERS = [
    ("location", "HGET dramatiq:ai.msgs 1"),
    ("location", "HSET dramatiq:ai.msgs 1 x"),
    ("location", "RPUSH dramatiq:ai 1"),
    ("location", "XRANGE progress:1 - +"),
    ("location", "GET rates:login:1"),
    ("location", "SET ticket:1 x"),
    ("location", "HGET spend:1 full"),
    ("location", "ZADD auth:revoked 1 x"),
    ("waste", "HGET dramatiq:ai.msgs 1"),
    ("waste", "HDEL dramatiq:ai.msgs 1"),
    ("waste", "LPOP dramatiq:ai"),
    ("waste", "DEL dramatiq:ai"),
    ("waste", "SET dramatiq:ai.lease:1 x"),
    ("waste", "ZREM dramatiq:ai.heartbeats x"),
    ("waste", "SMEMBERS dramatiq:__acks__.ai-1.ai"),
    ("waste", "HGET dramatiq:chat_llm.msgs 1"),
    ("waste", "HSET spend:1 tokens 0"),
    ("waste", "DEL rates:login:1"),
    ("chat_llm", "RPUSH dramatiq:storage 1"),
    ("userinfo", "RPUSH dramatiq:ai 1"),
    ("auth", "HGET dramatiq:waste.msgs 1"),
    ("auth", "XRANGE progress:1 - +"),
    ("storage", "XRANGE progress:1 - +"),
    ("storage", "HGET dramatiq:ai.msgs 1"),
    ("storage", "SET dramatiq:__disabled__ []"),
    ("storage", "ZRANGEBYSCORE auth:revoked -inf +inf"),
    ("ai", "LPOP dramatiq:storage"),
    ("ai", "XRANGE progress:1 - +"),
]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RedisServer]]:
    """Servers of their own: those of the other tests are asked at the end whether they refused anything."""
    folder = tmp_path_factory.mktemp("redis-users")
    started = {kind: RedisServer(folder, kind).start() for kind in ("broker", "cache")}  # type: ignore[arg-type] # a Literal
    yield started
    for server in started.values():
        server.stop()


@pytest.fixture
def enter(servers: dict[str, RedisServer]) -> Iterator[Callable[..., Redis]]:
    """`enter("waste")`: the broker as that service's user, `enter("waste", "cache")` the cache."""
    clients: list[Redis] = []

    def enter(folder: str, kind: str = "broker") -> Redis:
        clients.append(Redis.from_url(servers[kind].service_url(find(folder)), decode_responses=True))
        return clients[-1]

    yield enter
    for client in clients:
        client.close()


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("kind", ["broker", "cache"])
def test_no_service_may_look_around_or_destroy(enter: Callable[..., Redis], folder: str, kind: str) -> None:
    if kind not in find(folder).uses:
        with pytest.raises(AuthenticationError):
            enter(folder, kind).ping()
        return
    client = enter(folder, kind)
    assert client.ping()
    for command in DANGEROUS:
        with pytest.raises(NoPermissionError):
            client.execute_command(*command.split())  # type: ignore[no-untyped-call] # redis-py has no types here


@pytest.mark.parametrize(("folder", "command"), STRANGERS)
def test_a_stranger_s_key_is_refused_outright_and_inside_a_script(
    enter: Callable[..., Redis], servers: dict[str, RedisServer], folder: str, command: str
) -> None:
    client = enter(folder)
    words = command.split()
    with pytest.raises(NoPermissionError):
        client.execute_command(*words)  # type: ignore[no-untyped-call] # redis-py has no types here
    # A key that is not declared: what a script does is checked all the same.
    with Redis.from_url(servers["broker"].url) as operator:
        script = operator.script_load(f"return redis.call({', '.join(map(repr, words))})")
    with pytest.raises(Exception, match="ACL failure in script"):
        client.evalsha(script, 0)


def test_a_task_goes_there_and_its_outcome_back_under_each_service_s_own_user(servers: dict[str, RedisServer]) -> None:
    waste, storage = (Broker(servers["broker"].service_url(find(name)), consumer=name) for name in ("waste", "storage"))
    try:
        for queue in ("storage", bulk_queue("storage")):
            assert waste.life().mark
            assert waste.publish([message(queue)])[queue].waiting == 1
            [task] = storage.fetch(queue, 5, lease=True)
            storage.beat(queue, [task.message.message_id])
            assert storage.requeue(queue, [task.id]) == 1
            [task] = storage.fetch(queue, 5, lease=True)
            storage.finish(queue, [task.id], [message("waste")], leased={task.id})
            [outcome] = waste.fetch("waste", 5)
            waste.finish("waste", [outcome.id])
            assert waste.depth("waste") == storage.depth(queue) == 0
            # More of several people's than it takes: in turn.
            waste.publish([message(queue).copy(options={"task": {"person": person}}) for person in ("a", "a", "b")])
            taken = storage.fetch(queue, 2, lease=True)
            assert [one.message.options["task"]["person"] for one in taken] == ["a", "b"]
            taken += storage.fetch(queue, 2, lease=True)
            storage.finish(queue, [one.id for one in taken], leased={one.id for one in taken})
        waste.say_disabled(["storage/process_photo"])
        assert storage.disabled() == {"storage/process_photo"}
    finally:
        waste.close()
        storage.close()


def test_the_cache_holds_each_service_s_own(enter: Callable[..., Redis]) -> None:
    assert enter("waste", "cache").set("guide:paper", "{}")
    assert enter("ai", "cache").set("ai:photo:x", "{}")
    for folder, key in (("waste", "ai:photo:x"), ("ai", "guide:paper")):
        with pytest.raises(NoPermissionError):
            enter(folder, "cache").get(key)


def test_no_service_s_password_opens_another_s_user(servers: dict[str, RedisServer]) -> None:
    urls = {folder: servers["broker"].service_url(find(folder)) for folder in FOLDERS}
    assert len({url.split("@")[0].rpartition(":")[2] for url in urls.values()}) == len(urls)
    assert all(servers["broker"].password not in url for url in urls.values())
