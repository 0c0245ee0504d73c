"""Who waits in one queue is served in turn: one person's many do not make another wait for all of them."""

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import dramatiq
import psycopg

from runtime.delivery import outbox
from runtime.delivery.broker import Broker
from runtime.delivery.relay import Relay
from runtime.delivery.turns import in_turn
from shared import clock
from tests.runtime.owner import Owner, call, eventually, worker


def message(queue: str, person: str, number: int) -> dramatiq.Message[Any]:
    options = {"task": {"person": person}} if person else {}
    return dramatiq.Message(
        queue, "act", (), {"person": person, "number": number}, options, f"{person}{number}.{queue}"
    )


def names(broker: Broker, queue: str, count: int) -> list[str]:
    """The next messages that a worker takes."""
    return [one.message.message_id.partition(".")[0] for one in broker.fetch(queue, count, lease=True)]


def people(broker: Broker, queue: str, count: int) -> str:
    return "".join(one.message.kwargs["person"] for one in broker.fetch(queue, count, lease=True))


def test_everybody_s_first_comes_before_anybody_s_second() -> None:
    assert in_turn(["a1", "a2", "a3", "b1", "c1", "c2"], lambda one: one[0]) == ["a1", "b1", "c1", "a2", "c2", "a3"]
    assert in_turn(["a1", "a2"], lambda one: one[0]) == ["a1", "a2"]


def test_a_worker_that_has_one_person_s_work_in_hand_takes_another_s_next(broker_url: str, queue: str) -> None:
    broker = Broker(broker_url)
    broker.publish([message(queue, "a", n) for n in range(12)])
    assert people(broker, queue, 2) == "aa"
    broker.publish([message(queue, "b", n) for n in range(3)])
    assert people(broker, queue, 1) == "b"
    # Two of each in hand now, and from here on they alternate, each in their own order.
    assert [names(broker, queue, 1) for _ in range(4)] == [["b1"], ["a2"], ["b2"], ["a3"]]
    # No one is left out, and nothing is lost.
    assert people(broker, queue, 20) == "a" * 8
    assert broker.depth(queue) == 0
    broker.close()


def test_what_is_passed_over_keeps_its_place(broker_url: str, queue: str) -> None:
    broker = Broker(broker_url)
    broker.publish([message(queue, person, n) for n, person in enumerate("aaaabac")])
    assert people(broker, queue, 3) == "abc"
    assert names(broker, queue, 9) == ["a1", "a2", "a3", "a5"]
    broker.close()


def test_messages_of_no_one_in_particular_are_first_come_first_served(broker_url: str, queue: str) -> None:
    broker = Broker(broker_url)
    broker.publish([message(queue, "", n) for n in range(8)])
    assert [names(broker, queue, 1) for _ in range(8)] == [[str(n)] for n in range(8)]
    broker.close()


def test_a_relay_takes_each_person_s_first_out_of_a_backlog(environment: dict[str, str]) -> None:
    now = clock.now()
    with psycopg.connect(environment["API_RECYCLE_DB_URL"]) as conn:
        conn.execute("DELETE FROM outbox")
        conn.execute(
            """
            INSERT INTO outbox (id, actor, message, subject, created_at, due_at, time_limit, person)
            SELECT gen_random_uuid(), 'some/act', '{}', gen_random_uuid(), %(due)s, %(due)s + make_interval(secs => n), '60 s',
                   CASE WHEN n <= 1500 THEN 'heavy' ELSE 'light' || n END
              FROM generate_series(1, 1510) AS n
            """,
            {"due": now - timedelta(hours=1)},
        )
        taken = outbox.take(conn, now, "life")
        assert len(taken) == 200
        assert [row.person for row in taken[:12]] == ["heavy", *(f"light{n}" for n in range(1501, 1511)), "heavy"]
        conn.rollback()


def test_twelve_heavy_tasks_of_one_person_do_not_make_another_wait_for_all_of_them(
    owner: Owner, broker_url: str, queue: str, tmp_path: Path
) -> None:
    order: list[int] = []
    go = threading.Semaphore(0)

    def act(number: int) -> None:
        order.append(number)
        go.acquire()

    with worker(broker_url, tmp_path, queue, {"act": call(act)}, threads=2, prefetch=2):
        owner.enqueue(f"{queue}/act", *range(12), person="heavy")
        eventually(lambda: len(order) == 2)
        owner.enqueue(f"{queue}/act", 100, person="light")
        eventually(lambda: owner.broker.depth(queue) == 11)
        go.release()
        eventually(lambda: len(order) == 3)
        assert order[2] == 100
        for _ in range(12):
            go.release()
        eventually(lambda: len(order) == 13)
    assert sorted(order) == [*range(12), 100]


def test_a_worker_with_heavy_work_leaves_what_waits_in_the_broker(
    owner: Owner, broker_url: str, queue: str, tmp_path: Path
) -> None:
    with worker(broker_url, tmp_path, queue, {"act": call(lambda: None)}, threads=2) as running:
        assert running.prefetch == 4
        running._weigh(10.0)
        assert (running.prefetch, running.least) == (2, 1)
        for _ in range(30):
            running._weigh(0.001)
        assert (running.prefetch, running.least) == (4, 2)


def test_a_relay_that_is_handed_more_than_a_queue_takes_publishes_people_in_turn(owner: Owner, queue: str) -> None:
    owner.relay.stop()
    relay = Relay(owner.name, owner.dsn, owner.broker)  # not started: what it is handed comes together
    owner.enqueue(f"{queue}/act", *range(300), person="heavy")
    owner.enqueue(f"{queue}/act", 1000, person="light")
    relay.start()
    eventually(lambda: owner.broker.depth(queue) == 301)
    numbers = [one.message.kwargs["number"] for one in owner.broker.fetch(queue, 301)]
    assert numbers.index(1000) == 1
    relay.stop()
