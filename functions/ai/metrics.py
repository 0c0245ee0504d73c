"""What the ai worker counts: answers by provider, failures, answers from the cache, and spend."""

from prometheus_client import Counter

_ANSWERS = Counter("eco2_ai_answers_total", "Answers given by a provider.", ["kind", "provider"])
_FAILURES = Counter("eco2_ai_provider_failures_total", "Times a provider had no answer.", ["kind", "provider"])
_CACHED = Counter("eco2_ai_cached_total", "Answers from the cache.", ["kind", "match"])
_TOKENS = Counter("eco2_ai_tokens_total", "Tokens paid for.", ["model", "direction"])
_DOLLARS = Counter("eco2_ai_dollars_total", "Money spent, in US dollars.", ["model"])


def answered(kind: str, provider: str) -> None:
    _ANSWERS.labels(kind, provider).inc()


def failed(kind: str, provider: str) -> None:
    _FAILURES.labels(kind, provider).inc()


def cached(kind: str, match: str) -> None:
    _CACHED.labels(kind, match).inc()


def spent(model: str, read: int, written: int, micros: int) -> None:
    _TOKENS.labels(model, "read").inc(read)
    _TOKENS.labels(model, "written").inc(written)
    _DOLLARS.labels(model).inc(micros / 1_000_000)
