import os
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest

from emulator.servers.ai_script import Rule
from emulator.servers.ai_stub import Stub
from shared import clock, spend
from shared.ids import new_id
from shared.redis import connect, connect_async
from shared.spend import DayUsedUp, Limits, Purse
from tests.ai.test_openai_photos import run
from tests.eval.at_work import AtWork
from tests.storage import photos as made


def purse(url: str, person: Limits, system: Limits) -> Purse:
    client = connect(url)
    for key in client.keys("spend:*"):
        client.delete(key)
    return Purse(client, person, system)


PLENTY = Limits(10**9, 10**9)


def test_a_person_may_spend_the_day_and_no_more(broker_url: str) -> None:
    mine = purse(broker_url, Limits(1000, 1000), PLENTY)
    first = mine.reserve("me", 600, 10)
    assert first is not None
    assert mine.reserve("me", 600, 10) is None
    mine.settle(first, 100, 2)
    second = mine.reserve("me", 600, 10)
    assert second is not None, "what was not used is free again"
    assert mine.reserve("another", 600, 10) is not None


def test_money_ends_the_day_as_tokens_do(broker_url: str) -> None:
    mine = purse(broker_url, Limits(10**6, 50), PLENTY)
    assert mine.reserve("me", 1, 50) is not None
    assert mine.reserve("me", 1, 1) is None


def test_the_systems_budget_ends_it_for_everybody(broker_url: str) -> None:
    mine = purse(broker_url, PLENTY, Limits(1000, 10**6))
    assert mine.reserve("me", 900, 1) is not None
    assert mine.reserve("another", 900, 1) is None


def test_threads_can_not_overdraw_together(broker_url: str) -> None:
    mine = purse(broker_url, Limits(1000, 10**6), PLENTY)
    with ThreadPoolExecutor(16) as pool:
        taken = list(pool.map(lambda _: mine.reserve("me", 100, 1), range(64)))
    assert sum(reserved is not None for reserved in taken) == 10


def test_the_next_korean_day_begins_anew(broker_url: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    mine = purse(broker_url, Limits(100, 100), PLENTY)
    assert mine.reserve("me", 100, 1) is not None
    assert mine.reserve("me", 100, 1) is None
    path = str(tmp_path_factory.mktemp("clock") / "clock")
    clock.write_offset(path, 86_400)
    clock.use_file(path)
    try:
        assert mine.reserve("me", 100, 1) is not None
    finally:
        clock.use_file(None)


def test_a_persons_name_in_the_counters_is_not_their_id() -> None:
    user_id = UUID("01900000-0000-7000-8000-000000000001")
    assert user_id.hex not in spend.spender(user_id)
    assert spend.spender(user_id) == spend.spender(user_id) != spend.spender(new_id())


@pytest.mark.anyio
async def test_who_has_used_up_the_day_is_told_when_to_come_again(broker_url: str) -> None:
    mine, user_id = purse(broker_url, Limits(100, 100), PLENTY), new_id()
    client = connect_async(broker_url)
    await spend.check(client, user_id)
    assert mine.reserve(spend.spender(user_id), 101, 1) is None
    with pytest.raises(DayUsedUp) as caught:
        await spend.check(client, user_id)
    assert caught.value.status == 429
    assert 0 < int(caught.value.headers["Retry-After"]) <= 86_400
    await client.aclose()


@pytest.mark.anyio
async def test_without_the_broker_nobody_is_stopped() -> None:
    client = connect_async("redis://127.0.0.1:9")
    await spend.check(client, new_id())
    await client.aclose()


def test_beyond_the_budget_the_embedded_provider_answers(
    openai_task: AtWork, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AI_PERSON_TOKENS", "3500")
    assert run(openai_task, made.encode(made.picture(300, 200))).provider == "openai"
    for key in connect(os.environ["BROKER_REDIS_URL"]).keys("spend:*:someone"):
        connect(os.environ["BROKER_REDIS_URL"]).hset(key, "tokens", 3400)
    assert run(openai_task).provider == "embedded"
    assert len(stub.requests) == 1
    assert run(openai_task, made.encode(made.picture(200, 300)), spender="another").provider == "openai"


def test_beyond_the_system_s_budget_it_answers_everybody(
    openai_task: AtWork, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AI_SYSTEM_TOKENS", "100")
    assert run(openai_task).provider == "embedded"
    monkeypatch.setenv("AI_SYSTEM_TOKENS", "50000")
    monkeypatch.setenv("AI_SYSTEM_DOLLARS", "0.000001")
    assert run(openai_task).provider == "embedded"
    assert stub.requests == []


def test_when_nobody_can_count_nothing_is_spent(
    openai_task: AtWork, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_REDIS_URL", "redis://127.0.0.1:9")
    assert run(openai_task).provider == "embedded"
    assert stub.requests == []


def spent(who: str) -> int:
    client = connect(os.environ["BROKER_REDIS_URL"])
    return sum(int(client.hget(key, "tokens") or 0) for key in client.keys(f"spend:*:{who}"))


@pytest.mark.parametrize("rule", [Rule(status=401), Rule(status=429), Rule(status=503)], ids=["key", "busy", "stumble"])
def test_what_the_server_turns_away_costs_nobody_anything(openai_task: AtWork, stub: Stub, rule: Rule) -> None:
    stub.rules = [rule]
    assert run(openai_task).provider == "embedded"
    assert (spent("someone"), spent("system")) == (0, 0), "a wrong key must not use up people's days"


def test_a_server_that_is_not_reached_costs_nobody_anything(
    openai_task: AtWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    assert run(openai_task).provider == "embedded"
    assert spent("someone") == 0


@pytest.mark.usefixtures("known")
def test_what_was_written_before_an_answer_broke_off_is_counted(openai_task: AtWork, stub: Stub) -> None:
    stub.rules = [Rule(content="하나 둘 셋 " * 40, cut_after=90)]
    assert openai_task.ask("우유팩은 어떻게 버려요?", spender="someone").record.provider == "embedded"
    broken_off = spent("someone")
    stub.rules = [Rule(refusal="no")]
    openai_task.ask("건전지는 어떻게 버려요?", spender="another")
    assert broken_off > 150
    assert 0 < spent("another") < spent("system")
