"""Generated requests on every operation of the running system: no 5xx, no undocumented status, no violation of the schema.

ECO2_EXAMPLES says how many an operation: 25 in `make slow`, 200 in `make contract`.
"""

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import hypothesis
import hypothesis.errors
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck
from redis import Redis
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.generation.stateful.state_machine import APIStateMachine
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests import web
from tests.contract.conftest import Somebody, System, somebody
from tests.contract.table import PREFIXES, TABLE, TICKETS, Row

pytestmark = pytest.mark.slow

EXAMPLES = int(os.environ.get("ECO2_EXAMPLES", "25"))
# Steps of sequences that are enough where Hypothesis ends them early: half of what a whole walk has at most.
ENOUGH = EXAMPLES * 5
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
SETTINGS = hypothesis.settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    # The same examples in each run: what fails here fails at home too. `make contract` looks further.
    derandomize=EXAMPLES == 25,
    suppress_health_check=list(HealthCheck),
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)
# These end the session or the person whose token they are given.
ENDING = {"/logout", "/sessions/{}"}


@pytest.fixture(scope="module")
def session(system: System) -> Iterator[requests.Session]:
    with requests.Session() as kept:
        kept.trust_env = False
        yield kept
    # Wrong passwords were tried by the dozen, all from this address.
    with Redis.from_url(system.environment["BROKER_REDIS_URL"]) as broker:
        for key in broker.scan_iter("auth:failures:*"):
            broker.delete(key)


@pytest.fixture(scope="module")
def api(system: System, session: requests.Session) -> BaseSchema:
    """The merged document of the running system."""
    document = session.get(f"{system.url}/openapi.json", timeout=30).json()
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=system.url)
    return schema


def a_person(system: System) -> dict[str, str]:
    async def make() -> Somebody:
        async with web.AsyncClient(base_url=system.url, timeout=30) as client:
            return await somebody(client, "fuzz")

    return asyncio.run(make()).headers


@pytest.fixture(scope="module")
def headers(system: System) -> dict[str, str]:
    """Somebody's token, for all operations that leave it alive."""
    return a_person(system)


@pytest.mark.parametrize("row", TABLE + TICKETS, ids=lambda row: f"{row.method} {PREFIXES[row.service]}{row.path}")
def test_generated_requests_get_documented_answers(
    api: BaseSchema,
    session: requests.Session,
    headers: dict[str, str],
    system: System,
    row: Row,
) -> None:
    (path,) = [path for path in api if shape(path) == PREFIXES[row.service] + row.path]
    operation = api[path][row.method]
    token = a_person(system) if row.service == "auth" and row.path in ENDING else headers

    cases = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    if operation.body or list(operation.iter_parameters()):
        # Without any there is nothing that could be wrong.
        cases |= operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)

    @SETTINGS
    @hypothesis.given(case=cases)
    def ask(case: Any) -> None:
        case.call_and_validate(session=session, headers=token, checks=CHECKS, timeout=60)

    ask()


def shape(path: str) -> str:
    """The path with its parameters' names left out."""
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))


def test_generated_sequences_get_documented_answers(api: BaseSchema, session: requests.Session, system: System) -> None:
    """Operations in sequences that hand on ids: what one creates the next reads, changes and deletes."""
    token = a_person(system)
    walked = 0

    class Walk(api.as_state_machine()):  # type: ignore[misc]  # the base class is made at run time
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            ending = case.operation.path.startswith("/api/v1/auth/") and case.operation.method.upper() != "GET"
            # Who logs out in the middle would see nothing but 401 from there on.
            return {"session": session, "headers": {} if ending else token, "timeout": 60}

        def validate_response(self, response: Any, case: Any, **kwargs: Any) -> None:
            nonlocal walked
            case.validate_response(response, checks=CHECKS)
            walked += 1

    machine: type[APIStateMachine] = Walk
    for _ in range(10):
        try:
            machine.run(settings=hypothesis.settings(SETTINGS, max_examples=EXAMPLES, stateful_step_count=10))
        except Exception as error:  # looked at below
            if not depends_on_answers(error):
                raise
            if walked >= ENOUGH:
                return
        else:
            return
    pytest.fail(f"ten walks ended early, after {walked} steps in all")


def depends_on_answers(error: BaseException) -> bool:
    """Whether Hypothesis only complains that a sequence went another way the second time.

    What a step can hand on depends on what the system answered, and the system remembers; a wrong answer is another error.
    """
    if isinstance(error, BaseExceptionGroup):
        return all(depends_on_answers(inner) for inner in error.exceptions)
    return isinstance(error, hypothesis.errors.FlakyStrategyDefinition)
