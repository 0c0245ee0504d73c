"""A worker's threads: they take tasks from the broker through the journal to their functions, and the outcomes back.

Lease, journal `pending`, work, journal the terminal state, send the Outcome to its owner, ack, in this order, so that a
process killed between any two of them loses nothing.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import time
from collections.abc import Mapping
from functools import partial

import msgspec

from runtime import memory
from runtime.binding import Call
from runtime.delivery.broker import Broker, Delivery
from runtime.delivery.consumer import Consumer, Done
from runtime.delivery.envelope import envelope, outcome_message
from runtime.delivery.limits import Limits
from runtime.delivery.run import Work, outcome_of, run
from runtime.forms import Refused
from runtime.journal.journal import Journal
from runtime.journal.states import Ended, Start
from runtime.journal.writer import JournalClosed
from shared import spans, supervision
from shared.errors import Unavailable
from shared.ids import new_id

log = logging.getLogger("eco2.worker")

# A function that met something away is tried again here after these pauses, in seconds; then it is the relay's turn.
PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0)
# With work that takes longer than this, in seconds, nothing waits here for a thread: it waits in the broker, where whose turn it
# is gets decided when a thread is free. With short work two come at a time, for one step to the broker and one commit.
HEAVY = 0.1
# Seconds between two looks for payloads that are a day old.
FORGET = 600.0


class Worker(Consumer):
    """Runs the functions of a service with a journal, in `threads` threads.

    Two may share one journal, each with a queue: `queue_name` where it is not the service's, `first_slot` where the notes of
    its threads begin.
    """

    leases = True

    def __init__(
        self,
        service: str,
        broker: Broker,
        journal: Journal,
        functions: Mapping[str, Call],
        *,
        threads: int = 2,
        prefetch: int | None = None,
        queue_name: str | None = None,
        first_slot: int = 0,
    ) -> None:
        self._ahead = (prefetch or threads + 2) - threads
        self._threads = threads
        self._usual = 0.0  # seconds that a run takes
        super().__init__(service, broker, threads + self._ahead, max(1, min(2, self._ahead)), queue_name=queue_name)
        self.journal = journal
        self.limits = Limits()
        self._functions = dict(functions)
        self._slots = range(first_slot, first_slot + threads)
        self._tasks: dict[str, str] = {}
        self._work: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._runners: list[supervision.ThreadLoop] = []
        self._ending: list[Done] = []  # of the journal's commit under way; the writing thread's own
        journal.after_group(self._send_ended)
        self._forgot = time.monotonic()
        self._given_back = 0  # how many had finished when memory was last given back

    def start(self) -> None:
        super().start()
        self._runners = [
            supervision.thread(f"{self.queue}-{slot}", partial(self._run, slot), again=False, give_up=self.give_up)
            for slot in self._slots
        ]

    def stop(self, grace: float, *beside: Worker) -> None:
        """Take nothing new, finish what runs within `grace` seconds, give the rest back, close the journal.

        Args:
            beside: workers of the same journal, which stop with this one.
        """
        end = time.monotonic() + grace
        group = (self, *beside)
        for worker in group:
            worker.stop_fetching()
        for worker in group:
            worker._stop_running(end - 2)
        self.journal.close()
        for worker in group:
            worker.finish_all(max(1.0, end - time.monotonic()))
            worker.limits.close()

    def _stop_running(self, end: float) -> None:
        self.join_fetching(end - time.monotonic())
        with contextlib.suppress(queue.Empty):
            while True:
                waiting = self._work.get_nowait()
                if waiting is not None:
                    self._give_back(waiting)
        for runner in self._runners:
            runner.stopping()
            self._work.put(None)
        for runner in self._runners:
            runner.stop(max(0.0, end - time.monotonic()))

    def leased_tasks(self) -> list[str]:
        if self.journal.trouble:
            # Nothing ends here until the disk is mended: another worker may have them when the relay asks again.
            return []
        with self._room:
            return list(self._tasks)

    def chores(self) -> None:
        if time.monotonic() - self._forgot > FORGET:
            self._forgot = time.monotonic()
            self.journal.forget_payloads()
        if self.finished != self._given_back and not self.held:
            self._given_back = self.finished
            memory.give_back()

    # From the broker into the journal

    def take(self, deliveries: list[Delivery]) -> None:
        try:
            works = [work for delivery in deliveries if (work := self._receive(delivery)) is not None]
            if works:
                self._begin(works)
        except BaseException:  # raised again
            with self._room:
                for delivery in deliveries:
                    self._tasks.pop(delivery.message.message_id, None)
            raise

    def _receive(self, delivery: Delivery) -> Work | None:
        message = delivery.message
        with self._room:
            if message.message_id in self._tasks:
                # A second copy of what this process has in its hands: the first one's outcome is for both.
                self.done(delivery)
                return None
        try:
            sent = envelope(message)
        except msgspec.ValidationError as error:
            log.error("dropped a message for %s that no relay made: %s", message.actor_name, error)
            self.done(delivery, leased=True)
            return None
        function = self._functions.get(message.actor_name)
        if function is None:
            # Newer code elsewhere may know it: back into the queue, but not at once, or it would go round like a top.
            log.warning("%s has no function %s: its message goes back", self.service, message.actor_name)
            self.later(1.0, lambda: self.done(delivery, ack=False))
            return None
        try:
            given = function.read(message.kwargs)
        except Refused as refused:
            self.refuse(delivery, sent.id, refused)
            return None
        with self._room:
            self._tasks[message.message_id] = delivery.id
        start = Start(
            task_id=message.message_id,
            name=message.actor_name,
            run_id=str(new_id()),
            queued_at=sent.queued_at,
            retries=sent.retries,
            traceparent=sent.traceparent,
        )
        return Work(delivery, sent, function, given, start)

    def _begin(self, works: list[Work]) -> None:
        try:
            found = self.journal.begin([work.start for work in works]).result()
        except JournalClosed:
            for work in works:
                self._give_back(work)
            return
        except Exception as error:  # noqa: BLE001 - one task's own fault, which must not hold up the others
            if len(works) > 1:
                for work in works:
                    self._begin([work])
            else:
                log.error("task %s can't be journalled: %s", works[0].start.task_id, error)
                self._put_off(works[0])
            return
        self.reach("journalled")
        for work, ended in zip(works, found, strict=True):
            if spans.on():
                spans.event(
                    work.start.name, "journal", work.sent.traceparent, task=work.start.task_id, status="pending"
                )
            if ended is None:
                self._work.put(work)
            else:
                self._send(work, ended)

    # In a thread of its own

    def _run(self, slot: int) -> None:
        while (work := self._work.get()) is not None:
            try:
                self._take_up(slot, work)
            except Exception:  # the outermost point of a thread, which must not end with one task
                log.exception("task %s stumbled", work.start.task_id)
                self._put_off(work)

    def _take_up(self, slot: int, work: Work) -> None:
        if work.tries and not self._stopping.is_set():
            work = msgspec.structs.replace(work, start=msgspec.structs.replace(work.start, run_id=str(new_id())))
            try:
                (ended,) = self.journal.begin([work.start]).result()
            except JournalClosed:
                self._give_back(work)
                return
            if ended is not None:
                self._send(work, ended)
                return
        if self._stopping.is_set():
            self._give_back(work)
            return
        self.journal.working(slot, work.start.run_id)
        try:
            self.reach("working")
            begun = time.monotonic()
            ended, started_at = run(self.service, work, self.limits)
            self._weigh(time.monotonic() - begun)
            self.reach("done")
        except Unavailable as away:
            self._not_now(work, away)
        else:
            self.journal.end_then(ended, work.start, started_at, partial(self._ended, work, ended))
        finally:
            self.journal.working(slot, "")

    def _weigh(self, seconds: float) -> None:
        self._usual += (seconds - self._usual) / 4
        ahead = 0 if self._usual > HEAVY else self._ahead
        self.prefetch, self.least = self._threads + ahead, max(1, min(2, ahead))

    def _not_now(self, work: Work, away: Unavailable) -> None:
        if work.tries < len(PAUSES) and not self._stopping.is_set():
            log.info("%s waits: %s", work.start.name, away)
            again = msgspec.structs.replace(work, tries=work.tries + 1)
            self.later(PAUSES[work.tries], lambda: self._work.put(again))
            return
        log.warning("%s put off task %s: %s", work.start.name, work.start.task_id, away)
        self._put_off(work)

    # From the journal to the owner

    def _ended(self, work: Work, ended: Ended, failed: Exception | None) -> None:
        if failed is None:
            self.reach("ended")
            if spans.on():
                spans.event(work.start.name, "journal", work.sent.traceparent, task=ended.task_id, status=ended.status)
            self._ending.append(self._answer(work, ended))
        else:
            if not isinstance(failed, JournalClosed):
                log.error("task %s could not be journalled: %s", ended.task_id, failed)
            self._give_back(work)

    def _send_ended(self) -> None:
        """Send what ended with one commit, together: to wake the thread that sends costs more than most of its work."""
        if self._ending:
            ending, self._ending = self._ending, []
            self._done.put(ending)

    def _send(self, work: Work, ended: Ended) -> None:
        self._done.put([self._answer(work, ended)])

    def _answer(self, work: Work, ended: Ended) -> Done:
        self._forget(work)
        try:
            outcome = outcome_of(work.sent, ended)
        except (ValueError, TypeError):
            log.exception("what the journal has of task %s can't be sent", ended.task_id)
            return Done(work.delivery, (), leased=True)  # put off
        return Done(work.delivery, [outcome_message(work.sent, outcome)], leased=True)

    def _give_back(self, work: Work) -> None:
        self._forget(work)
        self.done(work.delivery, leased=True, ack=False)

    def _put_off(self, work: Work) -> None:
        # Acked, so that it frees its place: the relay brings the task again.
        self._forget(work)
        self.done(work.delivery, leased=True)

    def _forget(self, work: Work) -> None:
        with self._room:
            self._tasks.pop(work.start.task_id, None)
