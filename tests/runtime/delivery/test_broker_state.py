"""What each step leaves in the broker: every key of a queue, who has what in hand, whose the leases are, and who is woken"""

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import Struct

from runtime import broker_keys as keys
from runtime.delivery import broker as brokers
from runtime.delivery.broker import DEAD_AFTER, LEASE, Broker
from tests.runtime.delivery.test_broker import message


class State(Struct, frozen=True):
    """Names of tasks; `leases` and `in_hand` by the names of the consumers, `wake` is how many are woken."""

    waiting: str = ""
    late: str = ""
    messages: str = ""
    wake: int = 0
    in_hand: dict[str, str] = {}
    leases: dict[str, str] = {}
    alive: str = ""


class Queue:
    """A queue and its consumers, by name."""

    def __init__(self, url: str, name: str) -> None:
        self.url, self.name = url, name
        self.consumers: dict[str, Broker] = {}
        self.ids: dict[str, str] = {}  # of the copy of a task that a consumer has

    def __getitem__(self, name: str) -> Broker:
        return self.consumers.setdefault(name, Broker(self.url, consumer=f"{self.name}-{name}"))

    def publish(self, tasks: str, late: str = "") -> None:
        self["one"].publish([message(self.name, task) for task in tasks], late=set(late))

    def fetch(self, consumer: str, count: int, *, lease: bool = True) -> str:
        found = self[consumer].fetch(self.name, count, lease=lease)
        self.ids |= {one.message.message_id: one.id for one in found}
        return "".join(one.message.message_id for one in found)

    def state(self) -> State:
        client: Any = self["one"].client
        in_hand = {
            name: "".join(sorted(_tasks(client.smembers(keys.fetched(one.broker_id, self.name)))))
            for name, one in self.consumers.items()
        }
        holders = {one.holder: name for name, one in self.consumers.items()}
        leases = {
            key.decode()[-1]: holders[client.get(key).decode()] for key in client.keys(keys.lease(self.name, "*"))
        }
        alive = {one.broker_id: name for name, one in self.consumers.items()}
        beats = sorted(alive[found.decode()] for found in client.zrange(keys.heartbeats(self.name), 0, -1))
        return State(
            waiting="".join(_tasks(client.lrange(keys.waiting(self.name), 0, -1))),
            late="".join(_tasks(client.lrange(keys.late(self.name), 0, -1))),
            messages="".join(sorted(_tasks(client.hkeys(keys.messages(self.name))))),
            wake=client.llen(keys.wake(self.name)),
            in_hand={name: tasks for name, tasks in in_hand.items() if tasks},
            leases=leases,
            alive=" ".join(beats),
        )


def _tasks(ids: Any) -> list[str]:
    return [id_.decode().partition("/")[0] for id_ in ids]


@pytest.fixture
def line(broker_url: str, queue: str) -> Iterator[Queue]:
    made = Queue(broker_url, queue)
    yield made
    for consumer in made.consumers.values():
        consumer.close()


def test_a_task_s_way_from_its_publication_to_its_ack_leaves_nothing(line: Queue) -> None:
    line.publish("abc", late="b")
    assert line.state() == State(waiting="ac", late="b", messages="abc", wake=3)
    assert line.fetch("one", 1) == "a"
    one: Any = {"alive": "one", "messages": "abc"}
    assert line.state() == State(waiting="c", late="b", wake=3, in_hand={"one": "a"}, leases={"a": "one"}, **one)
    assert line.fetch("one", 9) == "cb", "what is of this moment comes first"
    assert line.state() == State(in_hand={"one": "abc"}, leases=dict.fromkeys("abc", "one"), **one), (
        "what was taken wakes no one"
    )
    line["one"].finish(line.name, [line.ids["a"], line.ids["b"]], leased={line.ids["a"]})
    left = dict.fromkeys("bc", "one")
    assert line.state() == State(messages="c", in_hand={"one": "c"}, leases=left, alive="one"), (
        "b's lease was not given back"
    )
    line["one"].finish(line.name, [line.ids["c"]], leased={line.ids["c"]})
    assert line.state() == State(leases={"b": "one"}, alive="one")


def test_results_are_where_they_belong_and_wake_who_takes_them(line: Queue, broker_url: str) -> None:
    owners = [Queue(broker_url, f"{line.name}-{number}") for number in range(2)]
    line.publish("a")
    line.fetch("one", 1)
    sends = [message(owners[0].name, "x"), message(owners[1].name, "y"), message(owners[0].name, "z")]
    line["one"].finish(line.name, [line.ids["a"]], sends, leased={line.ids["a"]})
    assert [owner.state() for owner in owners] == [
        State(waiting="xz", messages="xz", wake=2),
        State(waiting="y", messages="y", wake=1),
    ]
    assert [owner.fetch("one", 9, lease=False) for owner in owners] == ["xz", "y"]
    assert owners[0].state() == State(messages="xz", in_hand={"one": "xz"}, alive="one"), "an owner takes no leases"
    for owner in owners:
        owner["one"].close()


def test_what_is_given_back_is_behind_the_others_free_and_wakes_who_waits(line: Queue) -> None:
    line.publish("abc")
    line.fetch("one", 2)
    line["one"].client.delete(keys.wake(line.name))
    assert line["one"].requeue(line.name, [line.ids["a"]]) == 1
    back = State(waiting="ca", messages="abc", wake=1, in_hand={"one": "b"}, leases={"b": "one"}, alive="one")
    assert line.state() == back
    assert line["one"].requeue(line.name, [line.ids["a"]]) == 0, "it has it no more"
    assert line.state() == back


def test_of_what_it_is_told_of_a_consumer_keeps_all_and_gives_the_rest_back(line: Queue) -> None:
    line.publish("abc")
    line.fetch("one", 4)
    assert line["one"].reclaim(line.name, [line.ids["b"]]) == 2
    found = line.state()
    assert sorted(found.waiting) == ["a", "c"]
    assert found == State(
        waiting=found.waiting, messages="abc", wake=2, in_hand={"one": "b"}, leases={"b": "one"}, alive="one"
    )


def test_a_second_copy_is_dropped_leaves_the_first_one_s_lease_and_does_not_hide_what_is_behind_it(line: Queue) -> None:
    line.publish("a")
    line.fetch("one", 1)
    line.publish("ab")
    line["one"].client.delete(keys.wake(line.name))
    assert line.fetch("other", 1) == ""
    assert line.state() == State(
        waiting="b", messages="ab", wake=1, in_hand={"one": "a"}, leases={"a": "one"}, alive="one other"
    ), "who gets fewer than wanted would wait"
    assert line.fetch("other", 1) == "b"


def test_who_only_beats_lives(line: Queue) -> None:
    assert line["one"].beat(line.name) == 0
    assert line.state() == State(alive="one")


def test_a_dead_consumer_leaves_nothing_and_a_living_one_keeps_what_it_has(line: Queue) -> None:
    line.publish("abcd")
    for consumer in ("dead", "living", "one"):
        line.fetch(consumer, 1)
    line["one"].client.delete(keys.wake(line.name))
    seconds, _ = line["one"].client.time()
    beats = {"dead": seconds - DEAD_AFTER - 1, "living": seconds - DEAD_AFTER + 5}
    line["one"].client.zadd(keys.heartbeats(line.name), {line[name].broker_id: at * 1000 for name, at in beats.items()})
    assert line["one"].beat(line.name, ["c"]) == 1
    assert line.state() == State(
        waiting="da",
        messages="abcd",
        wake=1,
        in_hand={"living": "b", "one": "c"},
        leases={"b": "living", "c": "one"},
        alive="living one",
    )


def test_a_beat_renews_its_own_leases_takes_lost_ones_and_leaves_others(line: Queue) -> None:
    line.publish("ab")
    line.fetch("one", 1)
    line.fetch("other", 1)
    client: Any = line["one"].client
    for task in "ab":
        client.pexpire(keys.lease(line.name, task), 5_000)
    line["one"].beat(line.name, "abc")
    assert line.state().leases == {"a": "one", "b": "other", "c": "one"}
    left = {task: client.pttl(keys.lease(line.name, task)) > 5_000 for task in "abc"}
    assert left == {"a": True, "b": False, "c": True}
    assert all(client.pttl(keys.lease(line.name, task)) <= LEASE * 1000 for task in "abc")


def test_late_ones_come_first_at_each_fourth_fetch_and_those_of_this_moment_at_the_others(line: Queue) -> None:
    line.publish("abcdefgh", late="efgh")
    assert [line.fetch("one", 1) for _ in range(brokers.LATE_TURN + 1)] == ["a", "b", "c", "e", "d"]


def test_people_are_served_in_turn_and_what_waits_keeps_its_order(line: Queue) -> None:
    def sent(task: str, person: str) -> Any:
        made = message(line.name, task)
        return made.copy(options={"task": {"person": person}})

    line["one"].publish([sent(task, person) for task, person in zip("abcdef", "xxxyyz", strict=True)])
    assert line.fetch("one", 2) == "ad", "each person's first"
    assert line.state().waiting == "bcef"
    assert line.fetch("one", 1) == "f", "who has nothing in hand comes first"
    assert line.state().waiting == "bce"
    assert line.fetch("other", 2) == "be", "of another's hands a consumer knows nothing"
    assert line.fetch("one", 9) == "c"
