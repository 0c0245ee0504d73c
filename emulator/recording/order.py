"""What came before what in a recording: which answers, and which work, a request had behind it when it was sent."""

import base64
import json
from collections.abc import Mapping

from emulator.recording.form import Exchange, Span

_RUNS = ("server", "task", "result")


def is_run(span: Span) -> bool:
    """Whether a span is a function's run. What the runtime does for itself, such as the deletion of outbox rows (of several tasks
    at once, under the trace of one of them), no answer shows."""
    return span.kind in _RUNS and not span.name.endswith("/settled")


class Order:
    """Of one recording."""

    def __init__(self, exchanges: list[Exchange], spans: Mapping[str, list[Span]]) -> None:
        self.exchanges = exchanges
        self._service: dict[str, str] = {}
        # By trace: until when functions of each service ran.
        self._ends: dict[str, dict[str, float]] = {}
        for exchange in exchanges:
            ends = self._ends.setdefault(exchange.trace, {})
            for span in spans.get(exchange.trace, ()):
                if is_run(span):
                    ends[span.service] = max(ends.get(span.service, 0.0), span.end)
                if span.kind == "server" and span.attributes.get("request_id") == exchange.given_id:
                    self._service[exchange.id] = span.service
        self._people = {exchange.id: person_of(exchange) for exchange in exchanges}
        self._changes: dict[str, list[Exchange]] = {}
        for exchange in exchanges:
            if sets_going(exchange):
                self._changes.setdefault(self._people[exchange.id], []).append(exchange)

    def had_ended(self, before: Exchange, exchange: Exchange) -> bool:
        """Whether what `before` set going could be seen in full by `exchange`: a service's answers come from its own tables,
        which its own functions write."""
        return self._end_of(before, exchange) <= exchange.at

    def _end_of(self, before: Exchange, exchange: Exchange) -> float:
        ends = self._ends.get(before.trace, {})
        service = self._service.get(exchange.id)
        return max(before.end, ends.get(service, 0.0) if service else max(ends.values(), default=0.0))

    def raced(self, exchange: Exchange) -> bool:
        """Whether it read while work of the same person in its service was under way: what it saw is a matter of moments."""
        if sets_going(exchange):
            return False
        before = (change for change in self._changes.get(self._people[exchange.id], ()) if change.at < exchange.at)
        return any(not self.had_ended(change, exchange) for change in before)


def sets_going(exchange: Exchange) -> bool:
    """Whether it may have changed something, at once or by tasks."""
    return exchange.method not in ("GET", "HEAD", "OPTIONS")


def person_of(exchange: Exchange) -> str:
    """Who asked, by the token; empty for anybody."""
    kind, _, token = exchange.header("authorization").partition(" ")
    parts = token.split(".")
    if kind.lower() != "bearer" or len(parts) != 3:
        return ""
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return str(claims.get("sub", ""))
    except (ValueError, AttributeError):
        return ""
