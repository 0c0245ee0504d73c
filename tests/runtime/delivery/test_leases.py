"""A lease on a task is given back, renewed and taken by who has it, whatever becomes of other copies of its message"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from runtime import broker_keys as keys
from runtime.delivery.broker import LEASE, Broker
from tests.runtime.delivery.test_broker import message


class Two(NamedTuple):
    """`late` had the task first and lost its lease, which `working` has now; each holds a copy of the message."""

    late: Broker
    working: Broker
    copy: str

    def lease(self, queue: str) -> str:
        return keys.lease(queue, "task")


@pytest.fixture
def two(broker_url: str, queue: str) -> Iterator[Two]:
    late, working = Broker(broker_url), Broker(broker_url)
    sent = message(queue, "task")
    late.publish([sent, sent])
    [first] = late.fetch(queue, 1, lease=True)
    late.client.delete(keys.lease(queue, "task"))  # its time is over
    assert len(working.fetch(queue, 1, lease=True)) == 1
    yield Two(late, working, first.id)
    late.close()
    working.close()


def dies(two: Two, queue: str) -> None:
    two.late.client.zadd(keys.heartbeats(queue), {two.late.broker_id: 0})
    assert two.working.beat(queue) == 1


AFTERWARDS: dict[str, Callable[[Two, str], object]] = {
    "it ends": lambda two, queue: two.late.finish(queue, [two.copy], leased={two.copy}),
    "it gives its copy back": lambda two, queue: two.late.requeue(queue, [two.copy]),
    "it is told of a lost answer": lambda two, queue: two.late.reclaim(queue),
    "it dies": dies,
    "it beats": lambda two, queue: two.late.beat(queue, ["task"]),
}


@pytest.mark.parametrize("what", AFTERWARDS)
def test_who_has_lost_a_lease_touches_it_no_more(two: Two, queue: str, what: str) -> None:
    client, lease = two.working.client, two.lease(queue)
    client.pexpire(lease, 5_000)
    AFTERWARDS[what](two, queue)
    assert client.get(lease) == two.working.holder.encode()
    assert 0 < int(str(client.pttl(lease))) <= 5_000


def test_an_ack_of_who_passed_for_dead_leaves_the_message_to_who_has_it_now(two: Two, queue: str) -> None:
    dies(two, queue)
    two.late.finish(queue, [two.copy], leased={two.copy})
    assert [one.id for one in two.working.fetch(queue, 5)] == [two.copy]


def test_a_lease_ends_by_itself_and_is_renewed_by_each_beat(two: Two, queue: str) -> None:
    client, lease = two.working.client, two.lease(queue)
    assert 0 < int(str(client.pttl(lease))) <= LEASE * 1000
    client.pexpire(lease, 5_000)
    two.working.beat(queue, ["task"])
    assert 5_000 < int(str(client.pttl(lease))) <= LEASE * 1000


def test_a_lease_that_the_server_has_lost_is_taken_again(two: Two, queue: str) -> None:
    client, lease = two.working.client, two.lease(queue)
    client.delete(lease)
    two.working.beat(queue, ["task"])
    assert client.get(lease) == two.working.holder.encode()
    assert 0 < int(str(client.pttl(lease))) <= LEASE * 1000


def test_who_ends_gives_the_lease_back(two: Two, queue: str) -> None:
    [copy] = [str(id_, "ascii") for id_ in two.working.client.smembers(keys.fetched(two.working.broker_id, queue))]
    two.working.finish(queue, [copy], leased={copy})
    assert two.working.client.exists(two.lease(queue)) == 0


BACK: dict[str, Callable[[Two, str], int]] = {
    "given back": lambda two, queue: two.late.requeue(queue, [two.copy]),
    "told of a lost answer": lambda two, queue: two.late.reclaim(queue),
    "dead": lambda two, queue: two.working.beat(queue),
}


@pytest.mark.parametrize("how", BACK)
def test_an_id_whose_message_is_gone_does_not_come_back(two: Two, queue: str, how: str) -> None:
    client = two.working.client
    client.hdel(keys.messages(queue), two.copy)
    if how == "dead":
        client.zadd(keys.heartbeats(queue), {two.late.broker_id: 0})
    assert BACK[how](two, queue) == 0
    assert two.working.depth(queue) == 0


def test_of_a_copy_that_is_dropped_nothing_is_left(two: Two, broker_url: str, queue: str) -> None:
    third = Broker(broker_url)
    third.publish([message(queue, "task")])
    assert third.fetch(queue, 1, lease=True) == []
    assert third.client.hlen(keys.messages(queue)) == 2
    third.close()
