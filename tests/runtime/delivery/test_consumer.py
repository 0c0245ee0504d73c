"""What every runner of queue functions owes the broker: results that must not be lost, messages and leases that go back"""

import heapq
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import dramatiq
import pytest
import redis

from emulator.servers.redis import RedisServer
from runtime import broker_keys as keys
from runtime.delivery import broker as brokers_
from runtime.delivery import consumer as consumers
from runtime.delivery.broker import LOOK, Broker, BrokerFull, Delivery
from runtime.delivery.consumer import Consumer
from tests.runtime.delivery.test_broker import message
from tests.runtime.owner import eventually


class Taking(Consumer):
    """Notes what it gets; `work` says what is done with each delivery."""

    leases = True

    def __init__(self, queue: str, broker: Broker, work: Callable[["Taking", Delivery], None]) -> None:
        super().__init__("taking", broker, 100, queue_name=queue)
        self.taken: list[Delivery] = []
        self.beats = 0
        self._work_on = work

    def take(self, deliveries: list[Delivery]) -> None:
        self.taken += deliveries
        for delivery in deliveries:
            self._work_on(self, delivery)

    def chores(self) -> None:
        self.beats += 1

    def leased_tasks(self) -> list[str]:
        return [delivery.message.message_id for delivery in list(self._held.values())]


def hold(consumer: Taking, delivery: Delivery) -> None:
    """Be at it for ever."""


@contextmanager
def taking(
    broker: Broker, queue: str, work: Callable[[Taking, Delivery], None] = hold, disabled: frozenset[str] = frozenset()
) -> Iterator[Taking]:
    consumer = Taking(queue, broker, work)
    broker.say_disabled(disabled)
    consumer.start()
    try:
        yield consumer
    finally:
        consumer.stop_fetching()
        consumer.finish_all(5)
        broker.say_disabled([])


@pytest.fixture
def brokers(broker_url: str) -> Iterator[tuple[Broker, Broker]]:
    """A consumer's, and another's."""
    one, other = Broker(broker_url), Broker(broker_url)
    yield one, other
    one.close()
    other.close()


def fetched(broker: Broker, queue: str) -> list[str]:
    return [delivery.message.message_id for delivery in broker.fetch(queue, 10, lease=True)]


class Counting(Broker):
    """Counts how often it found the server full."""

    full = 0

    def publish(self, messages: list[dramatiq.Message[object]], **options: object) -> dict[str, object]:  # type: ignore[override]  # the same, counted
        try:
            return super().publish(messages, **options)  # type: ignore[arg-type,return-value]  # the same, counted
        except BrokerFull:
            self.full += 1
            raise


def ended(action: Callable[[], None]) -> bool:
    """Whether it comes to an end."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    thread.join(60)
    return not thread.is_alive()


def test_a_stop_ends_the_loop_that_sleeps_until_the_next_beat(
    brokers: tuple[Broker, Broker], queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "BEAT", 3600.0)
    consumer = Taking(queue, brokers[0], hold)
    consumer.start()
    eventually(lambda: consumer.beats == 1)
    consumer.stop_fetching()
    assert ended(partial(consumer.finish_all, 5))


def test_the_last_of_what_is_done_and_the_word_to_end_come_together(brokers: tuple[Broker, Broker], queue: str) -> None:
    consumer = Taking(queue, brokers[0], hold)
    brokers[1].publish([message(queue, "1")])
    (delivery,) = brokers[0].fetch(queue, 1)
    consumer.done(delivery)
    consumer._done.put(None)
    assert ended(consumer._finish)
    assert consumer.finished == 1


def test_a_result_that_comes_while_others_find_the_broker_full_is_kept_with_them(
    brokers: tuple[Broker, Broker], queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = Taking(queue, brokers[0], hold)
    first, second = message(queue, "1"), message(queue, "2")
    consumer._unsent = [first]

    def full(_: list[dramatiq.Message[object]]) -> None:
        consumer._unsent = [*consumer._unsent, second]  # by the finishing thread
        consumer._over.set()
        consumer._nudge.set()
        raise BrokerFull("the broker is at maxmemory")

    monkeypatch.setattr(brokers[0], "publish", full)
    consumer._keep()
    assert sorted(one.message_id for one in consumer._unsent) == ["1", "2"]


def test_results_that_find_the_broker_full_are_acked_kept_and_sent_when_there_is_room(
    tmp_path: Path, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "BEAT", 0.02)
    monkeypatch.setattr(consumers, "UNSENT", 3)
    server = RedisServer(tmp_path, "broker").start()
    mine, other = Counting(server.url), Broker(server.url)
    other.publish([message(queue, str(number)) for number in range(5)])
    with taking(mine, queue) as consumer:
        eventually(lambda: len(consumer.taken) == 5)
        other.client.config_set("maxmemory", 1)
        for delivery in consumer.taken:
            result = message(f"{queue}-owner", f"result-{delivery.message.message_id}")
            consumer.done(delivery, [result], leased=True)
        eventually(lambda: mine.full >= 2, "it has tried again and again")
        assert consumer.trouble
        assert consumer.held == 0, "acks free memory"
        other.client.config_set("maxmemory", 0)
        # No more than there is memory for: the journal has the others, and the relay asks again.
        eventually(lambda: other.depth(f"{queue}-owner") == 3)
        eventually(lambda: not consumer.trouble)
    assert fetched(other, f"{queue}-owner") == ["result-2", "result-3", "result-4"]
    assert fetched(other, queue) == []
    mine.close()
    other.close()
    server.stop()


class Noting(Broker):
    """Notes how it went on: how many a fetch brought, `w` for each time that it waited, `!` where its wait was ended."""

    steps = ""

    def fetch(self, queue: str, count: int, *, lease: bool = False) -> list[Delivery]:
        found = super().fetch(queue, count, lease=lease)
        self.steps += str(len(found))
        return found

    def wait(self, queue: str, seconds: float = LOOK) -> None:
        self.steps += "w"
        super().wait(queue, seconds)

    def stop_waiting(self) -> None:
        self.steps += "!"
        super().stop_waiting()


def test_a_queue_that_a_fetch_has_emptied_is_not_looked_at_again_before_something_comes(
    broker_url: str, queue: str
) -> None:
    mine, other = Noting(broker_url), Broker(broker_url)
    other.publish([message(queue, "first")])
    with taking(mine, queue) as consumer:
        for number in range(3):
            eventually(lambda count=number + 1: len(consumer.taken) == count)
            eventually(lambda: mine.steps.endswith("w"))
            assert "10" not in mine.steps
            other.publish([message(queue, str(number))])
        eventually(lambda: len(consumer.taken) == 4)
    assert "!" in mine.steps, "a stop does not wait for its wait"
    mine.close()
    other.close()


def test_a_second_copy_that_is_dropped_does_not_hide_what_is_behind_it(broker_url: str, queue: str) -> None:
    """The consumer gets fewer than it wanted, and the queue is not empty."""
    mine, other, third = Broker(broker_url), Broker(broker_url), Broker(broker_url)
    third.publish([message(queue, "leased")])
    assert fetched(third, queue) == ["leased"]
    other.publish([message(queue, "leased"), message(queue, "behind")])
    other.client.delete(keys.wake(queue))  # as if others had been woken meanwhile
    assert mine.fetch(queue, 1, lease=True) == []
    assert other.client.llen(keys.wake(queue)) == 1, "or it would wait with something behind it"
    assert fetched(mine, queue) == ["behind"]
    for broker in (mine, other, third):
        broker.close()


def test_whatever_a_consumer_still_holds_when_it_ends_goes_back(brokers: tuple[Broker, Broker], queue: str) -> None:
    mine, other = brokers
    other.publish([message(queue, "under way")])
    with taking(mine, queue) as consumer:
        eventually(lambda: consumer.taken)
    assert fetched(other, queue) == ["under way"]


def test_what_is_given_back_is_another_s_at_once(brokers: tuple[Broker, Broker], queue: str) -> None:
    mine, other = brokers

    def refuse(consumer: Taking, delivery: Delivery) -> None:
        consumer.stop_fetching()  # so that it is not its own next
        consumer.done(delivery, ack=False)

    with taking(mine, queue, refuse) as consumer:
        eventually(lambda: consumer.beats, "a beat that is under way would renew the lease that goes back")
        other.publish([message(queue, "not mine")])
        eventually(lambda: consumer.taken and not consumer.held)
        assert fetched(other, queue) == ["not mine"]


def test_a_message_of_a_function_that_is_off_leaves_no_lease(brokers: tuple[Broker, Broker], queue: str) -> None:
    mine, other = brokers
    other.publish([message(queue, "later")])
    with taking(mine, queue, disabled=frozenset({"taking/act"})) as consumer:
        eventually(lambda: consumer.finished == 1)
        assert consumer.taken == []
        eventually(lambda: other.client.exists(keys.lease(queue, "later")) == 0)
    assert fetched(other, queue) == [], "its row in the outbox is all that is left of it"


def test_a_lease_lasts_as_long_as_the_work(
    brokers: tuple[Broker, Broker], queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "BEAT", 0.02)
    mine, other = brokers
    other.publish([message(queue, "long")])
    with taking(mine, queue) as consumer:
        eventually(lambda: consumer.taken)
        other.client.pexpire(keys.lease(queue, "long"), 5_000)
        eventually(lambda: other.client.pttl(keys.lease(queue, "long")) > 5_000)


def test_an_answer_that_was_lost_on_its_way_is_fetched_again(broker_url: str, queue: str) -> None:
    class Losing(Broker):
        brought = 0

        def fetch(self, queue: str, count: int, *, lease: bool = False) -> list[Delivery]:
            found = super().fetch(queue, count, lease=lease)
            self.brought += bool(found)
            if found and self.brought == 2:
                raise redis.ConnectionError("cut")
            return found

    mine, other = Losing(broker_url), Broker(broker_url)
    other.publish([message(queue, "under way")])
    with taking(mine, queue) as consumer:
        eventually(lambda: consumer.taken)
        other.publish([message(queue, "lost")])
        eventually(lambda: len(consumer.taken) > 1)
        other.publish([message(queue, "next")])
        eventually(lambda: len(consumer.taken) > 2)
        assert [delivery.message.message_id for delivery in consumer.taken] == ["under way", "lost", "next"]
    other.close()
    mine.close()


def test_what_stumbles_as_it_is_acked_is_fetched_again(
    broker_url: str, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brokers_, "LOOK", 0.05)

    class Stumbling(Broker):
        stumbled = False

        def finish(self, *arguments: Any, **options: Any) -> None:
            if not self.stumbled:
                self.stumbled = True
                raise ValueError("a bug")
            super().finish(*arguments, **options)

    mine = Stumbling(broker_url)
    mine.publish([message(queue, "one")])
    with taking(mine, queue, lambda consumer, delivery: consumer.done(delivery, leased=True)) as consumer:
        eventually(lambda: consumer.finished == 2)
    assert [delivery.message.message_id for delivery in consumer.taken] == ["one", "one"]
    assert fetched(mine, queue) == []
    mine.close()


def test_what_stumbles_as_it_is_taken_goes_back_and_is_taken_again(broker_url: str, queue: str) -> None:
    def stumble_once(consumer: Taking, delivery: Delivery) -> None:
        if len(consumer.taken) == 1:
            raise ValueError("a bug")
        consumer.done(delivery, leased=True)

    mine = Broker(broker_url)
    mine.publish([message(queue, "one")])
    with taking(mine, queue, stumble_once) as consumer:
        eventually(lambda: consumer.finished == 2)
        assert consumer._loops["fetch"].ends == 1, "it is counted and said"
    assert [delivery.message.message_id for delivery in consumer.taken] == ["one", "one"]
    assert mine.client.exists(keys.lease(queue, "one")) == 0
    mine.close()


def test_what_is_to_be_done_later_is_put_there_and_taken_by_one_at_a_time(
    brokers: tuple[Broker, Broker], queue: str
) -> None:
    done = threading.Event()
    with taking(brokers[0], queue) as consumer:
        with consumer._later_lock:
            putting = threading.Thread(target=consumer.later, args=(0.0, done.set))
            putting.start()
            putting.join(0.02)
            assert (putting.is_alive(), consumer._later) == (True, [])
            heapq.heappush(consumer._later, (0.0, 0, done.set))
            consumer._nudge.set()
            assert not done.wait(0.02), "what another is changing is not read"
        putting.join()
        assert done.wait(10)
        eventually(lambda: consumer._later == [])


def test_what_is_to_be_done_later_is_done_in_the_order_of_its_time(brokers: tuple[Broker, Broker], queue: str) -> None:
    done: list[str] = []
    consumer = Taking(queue, brokers[0], hold)
    for seconds, name in ((-1.0, "third"), (-3.0, "first"), (600.0, "never"), (-2.0, "second"), (-2.0, "second too")):
        consumer.later(seconds, partial(done.append, name))
    consumer.start()
    try:
        eventually(lambda: len(done) == 4)
        assert done == ["first", "second", "second too", "third"]
        assert [number for _, number, _ in consumer._later] == [3]
    finally:
        consumer.stop_fetching()
        consumer.finish_all(5)


def test_a_broker_that_may_lose_messages_is_said_and_nothing_is_fetched_from_it(cache_url: str, queue: str) -> None:
    mine = Broker(cache_url)
    mine.publish([message(queue, "there")])
    with taking(mine, queue) as consumer:
        eventually(lambda: "evicts keys" in consumer.trouble)
        assert consumer.taken == []
    mine.finish(queue, [one.id for one in mine.fetch(queue, 5)])
    mine.close()


def test_results_that_a_stop_finds_unsent_are_sent_when_the_broker_is_back(broker_url: str, queue: str) -> None:
    class Away(Broker):
        tried = 0

        def finish(self, *arguments: Any, **options: Any) -> None:
            self.tried += consumer._loops["finish"]._stopping.is_set()
            if self.tried < 3:
                raise redis.ConnectionError("away")
            super().finish(*arguments, **options)

    mine, other = Away(broker_url), Broker(broker_url)
    other.publish([message(queue, "one")])
    with taking(mine, queue) as consumer:
        eventually(lambda: consumer.taken)
        consumer.done(consumer.taken[0], [message(f"{queue}-owner", "result")], leased=True)
        eventually(lambda: consumer.trouble)
    assert (fetched(other, f"{queue}-owner"), fetched(other, queue)) == (["result"], [])
    mine.close()
    other.close()


def test_what_else_is_to_be_done_is_done_without_the_broker_too(
    broker_url: str, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person's words are forgotten in time, whatever is away."""

    class Away(Broker):
        def beat(self, *_: Any) -> int:
            raise redis.ConnectionError("away")

    monkeypatch.setattr(consumers, "BEAT", 0.02)
    mine = Away(broker_url)
    with taking(mine, queue) as consumer:
        eventually(lambda: consumer.beats > 1)
    mine.close()
