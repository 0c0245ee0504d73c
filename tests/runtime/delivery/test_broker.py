"""The broker carries messages, wakes who waits, and brings back what a dead consumer had."""

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import dramatiq
import pytest
import redis

from emulator.servers.redis import RedisServer
from runtime import broker_keys
from runtime.delivery import broker as brokers
from runtime.delivery.broker import Broker, BrokerFull, BrokerUnfit, Depth


def message(queue: str, id_: str | None = None, **kwargs: Any) -> dramatiq.Message[Any]:
    return dramatiq.Message(
        queue_name=queue, actor_name="act", args=(), kwargs=kwargs, options={}, message_id=id_ or os.urandom(8).hex()
    )


def test_a_message_arrives_and_is_gone_after_its_ack(broker_url: str, queue: str) -> None:
    broker = Broker(broker_url)
    sent = message(queue, number=1)
    broker.enqueue(sent)
    (delivery,) = broker.fetch(queue, 10)
    assert (delivery.message.message_id, delivery.message.kwargs) == (sent.message_id, {"number": 1})
    broker.finish(queue, [delivery.id])
    assert broker.fetch(queue, 10) == []
    assert broker.client.keys(f"*{queue}.msgs") == []
    broker.close()


def test_each_queue_has_its_own_depth_of_new_and_of_late_messages(broker_url: str, queue: str) -> None:
    broker = Broker(broker_url)
    queues = [f"{queue}-{number}" for number in range(3)]
    for count, name in enumerate(queues):
        sent = [message(name) for _ in range(count + 2)]
        late = {one.message_id for one in sent[:count]}
        broker.publish(sent, late=late)
    wanted = {name: Depth(2, count) for count, name in enumerate(queues)}
    assert broker.depths(queues) == wanted
    assert broker.depths([]) == {}
    assert [broker.depth(name) for name in queues] == [2, 3, 4]
    broker.close()


def test_more_wake_up_tokens_than_consumers_that_could_sleep_are_never_kept(broker_url: str, queue: str) -> None:
    broker = Broker(broker_url)
    for _ in range(2):
        broker.publish([message(queue) for _ in range(50)])
    assert broker.client.llen(broker_keys.wake(queue)) == 64
    # Others that sleep are still woken for what one consumer leaves; once nothing is left, no one is.
    assert len(broker.fetch(queue, 30)) == 30
    assert broker.client.llen(broker_keys.wake(queue)) == 64
    assert len(broker.fetch(queue, 100)) == 70
    assert broker.client.llen(broker_keys.wake(queue)) == 0
    broker.close()


def test_a_waiting_consumer_wakes_when_something_comes(broker_url: str, queue: str) -> None:
    broker, producer = Broker(broker_url), Broker(broker_url)
    woken: list[int] = []

    def consume() -> None:
        while not woken:
            broker.wait(queue)
            woken.extend(len(broker.fetch(queue, 1)) for _ in range(1))
            if woken == [0]:
                woken.clear()

    thread = threading.Thread(target=consume)
    thread.start()
    time.sleep(0.1)
    producer.enqueue(message(queue))
    thread.join(5)
    assert woken == [1]
    broker.close()
    producer.close()


def test_a_second_copy_of_a_leased_task_is_dropped(broker_url: str, queue: str) -> None:
    one, two = Broker(broker_url), Broker(broker_url)
    sent = message(queue)
    one.publish([sent, sent])
    (first,) = one.fetch(queue, 1, lease=True)
    assert two.fetch(queue, 1, lease=True) == []
    one.finish(queue, [first.id], leased={first.id})
    one.publish([sent])
    assert len(two.fetch(queue, 1, lease=True)) == 1
    one.close()
    two.close()


def test_the_next_life_of_a_worker_takes_its_messages_and_leases_back(broker_url: str, queue: str) -> None:
    dead = Broker(broker_url, consumer="worker-1-" + queue)
    dead.publish([message(queue)])
    assert len(dead.fetch(queue, 1, lease=True)) == 1
    alive = Broker(broker_url, consumer="worker-1-" + queue)
    assert alive.reclaim(queue) == 1
    assert len(alive.fetch(queue, 1, lease=True)) == 1
    dead.close()
    alive.close()


def test_messages_of_a_dead_consumer_come_back_by_the_servers_clock(
    broker_url: str, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead, alive = Broker(broker_url), Broker(broker_url)
    dead.publish([message(queue)])
    assert len(dead.fetch(queue, 1)) == 1
    assert alive.beat(queue) == 0
    monkeypatch.setattr(brokers, "DEAD_AFTER", -1)
    assert alive.beat(queue) == 1
    assert len(alive.fetch(queue, 1)) == 1
    dead.close()
    alive.close()


def test_what_a_worker_gives_back_another_may_have_at_once(broker_url: str, queue: str) -> None:
    one, two = Broker(broker_url), Broker(broker_url)
    one.publish([message(queue)])
    (given,) = one.fetch(queue, 1, lease=True)
    assert one.requeue(queue, [given.id]) == 1
    assert len(two.fetch(queue, 1, lease=True)) == 1
    one.close()
    two.close()


def test_what_a_dead_worker_had_leased_is_not_taken_for_a_second_copy(
    broker_url: str, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead, alive = Broker(broker_url), Broker(broker_url)
    dead.publish([message(queue)])
    assert len(dead.fetch(queue, 1, lease=True)) == 1
    monkeypatch.setattr(brokers, "DEAD_AFTER", -1)
    assert alive.beat(queue) == 1
    assert len(alive.fetch(queue, 1, lease=True)) == 1
    dead.close()
    alive.close()


def test_taking_back_a_second_copy_leaves_the_lease_of_the_first(broker_url: str, queue: str) -> None:
    one, two = Broker(broker_url), Broker(broker_url)
    sent = message(queue)
    one.publish([sent, sent])
    working, _swallowed = one.fetch(queue, 2, lease=True)
    assert one.reclaim(queue, [working.id]) == 1
    assert two.fetch(queue, 1, lease=True) == []
    one.close()
    two.close()


def test_a_worker_whose_name_begins_like_another_s_does_not_have_its_leases(broker_url: str, queue: str) -> None:
    ten, one = Broker(broker_url, consumer=f"w-{queue}-10"), Broker(broker_url, consumer=f"w-{queue}-1")
    sent = message(queue)
    ten.publish([sent, sent])
    assert len(ten.fetch(queue, 1, lease=True)) == 1
    assert one.fetch(queue, 1, lease=True) == []
    ten.close()
    one.close()


def test_an_answer_that_a_cut_connection_swallowed_is_taken_back(broker_url: str, queue: str) -> None:
    broker = Broker(broker_url)
    broker.publish([message(queue), message(queue)])
    known, _lost = broker.fetch(queue, 2)
    assert broker.reclaim(queue, [known.id]) == 1
    assert len(broker.fetch(queue, 2)) == 1
    broker.close()


_WHOLE = {"queue_name": "q", "actor_name": "act", "args": [], "kwargs": {}, "options": {}, "message_id": "m"}
NO_MESSAGES = {
    "no text": b"\xff\xfe",
    "no JSON": b"{",
    "another thing": b"[1, 2]",
    "nothing of a message": b"{}",
    "a number for an id": json.dumps(_WHOLE | {"message_id": 7, "message_timestamp": 1}).encode(),
    "a list for the arguments": json.dumps(_WHOLE | {"kwargs": [1], "message_timestamp": 1}).encode(),
    "no options": json.dumps(_WHOLE | {"options": None, "message_timestamp": 1}).encode(),
}


@pytest.mark.parametrize("kind", NO_MESSAGES)
@pytest.mark.parametrize("id_", [b"x", b"\xff/\xfe"])
def test_what_is_no_message_is_dropped_and_those_behind_it_come(
    broker_url: str, queue: str, kind: str, id_: bytes
) -> None:
    broker = Broker(broker_url)
    broker.client.hset(f"dramatiq:{queue}.msgs", id_, NO_MESSAGES[kind])  # type: ignore[arg-type]  # redis-py's types know `str` keys only
    broker.client.rpush(f"dramatiq:{queue}", id_)
    sent = message(queue)
    broker.publish([sent])
    (delivery,) = broker.fetch(queue, 2, lease=True)
    assert delivery.message.message_id == sent.message_id
    broker.finish(queue, [delivery.id])
    assert broker.client.keys(f"*{queue}.msgs") == []
    broker.close()


def test_a_broker_that_is_closed_holds_no_connection(broker_url: str, queue: str) -> None:
    broker = Broker(broker_url)
    broker.publish([message(queue)])
    broker.wait(queue)
    pools: Any = (broker.client.connection_pool, broker._waiting.connection_pool)
    connections = [one for pool in pools for one in pool._available_connections]
    assert [one.is_connected for one in connections] == [True, True]
    broker.close()
    assert [one.is_connected for one in connections] == [False, False]


def test_delays_belong_to_the_outbox(broker_url: str, queue: str) -> None:
    broker = Broker(broker_url)
    broker.declare_queue(queue)
    assert broker.get_declared_delay_queues() == set()
    with pytest.raises(ValueError, match="no delays"):
        broker.enqueue(message(queue), delay=1000)
    broker.close()


def test_a_server_that_evicts_is_refused_with_one_line(cache_url: str) -> None:
    broker = Broker(cache_url)
    with pytest.raises(BrokerUnfit, match="set maxmemory-policy noeviction") as refused:
        broker.life()
    assert "\n" not in str(refused.value)
    broker.close()


def test_who_waits_for_nothing_hears_of_no_failure(
    broker_url: str, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection's own patience is longer than the wait."""
    monkeypatch.setattr(brokers, "LOOK", 0.3)
    broker = Broker(broker_url)
    broker.wait(queue, 0.3)
    broker.close()


def test_a_flushed_server_has_another_life_and_one_that_evicts_in_whatever_way_is_refused(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, "broker").start()
    broker = Broker(server.url)
    first = broker.life().mark
    assert broker.life().mark == first
    broker.client.flushall()
    assert broker.life().mark != first
    for policy in ("volatile-ttl", "volatile-lru", "allkeys-random"):
        broker.client.config_set("maxmemory-policy", policy)
        with pytest.raises(BrokerUnfit, match=policy):
            broker.life()
    broker.close()
    server.stop()


def test_at_maxmemory_acks_go_on_and_results_wait(tmp_path: Path, queue: str) -> None:
    server = RedisServer(tmp_path, "broker").start()
    broker = Broker(server.url)
    broker.publish([message(queue, text="x" * 1000) for _ in range(20)])
    (one, *_) = broker.fetch(queue, 1, lease=True)
    used: Any = broker.client.info("memory")
    broker.client.config_set("maxmemory", used["used_memory"] // 2)
    with pytest.raises(BrokerFull):
        broker.publish([message(queue)])
    with pytest.raises(BrokerFull):
        broker.finish(queue, [one.id], [message("owner")], leased={one.id})
    broker.finish(queue, [one.id], leased={one.id})
    leased = broker.fetch(queue, 5, lease=True)
    assert len(leased) == 5
    # Nor is who finds nothing, or only says that it lives: it would pass for dead, and its tasks go twice.
    assert broker.fetch(f"{queue}-empty", 5) == []
    lost, renewed = (broker_keys.lease(queue, one.message.message_id) for one in leased[:2])
    broker.client.pexpire(renewed, 5_000)
    broker.client.delete(lost)
    assert broker.beat(queue, [one.message.message_id for one in leased]) == 0
    assert int(str(broker.client.pttl(renewed))) > 5_000
    assert broker.life().full > 1
    broker.close()
    server.stop()


def test_what_no_relay_of_a_service_has_noted_is_off_as_far_as_consumers_were_told(broker_url: str, queue: str) -> None:
    broker = Broker(broker_url)
    broker.say_disabled(["other/act"])
    assert broker.known_disabled(queue) == {"other/act"}
    broker.know_disabled(queue, [])
    assert broker.known_disabled(queue) == frozenset()
    broker.say_disabled([])
    broker.close()


def test_a_broker_that_is_away_is_a_redis_error_within_seconds(free_port: int, queue: str) -> None:
    broker = Broker(f"redis://127.0.0.1:{free_port}")
    with pytest.raises(redis.RedisError):
        broker.publish([message(queue)])
    broker.stop_waiting()  # a stop goes on without it
    broker.close()


def test_a_consumer_s_end_wakes_its_own_wait_and_leaves_no_key_for_long(broker_url: str, queue: str) -> None:
    broker, other = Broker(broker_url), Broker(broker_url)
    key = broker_keys.stop(broker.holder)
    broker.stop_waiting()
    assert 0 < int(str(broker.client.ttl(key))) <= 5
    other._waiting.rpush(broker_keys.wake(queue), "1")
    other.wait(queue)
    assert broker.client.exists(key), "another one's wait takes nothing of it"
    broker.wait(queue)
    assert not broker.client.exists(key)
    broker.close()
    other.close()
