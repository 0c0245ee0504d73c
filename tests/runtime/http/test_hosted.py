"""One service in a process: what it can't start without is said at once, by name"""

import asyncio
from pathlib import Path

import pytest

from runtime.http import hosted
from runtime.http.hosted import read_settings
from runtime.services import find, load_services
from shared.settings import SettingsError

SERVICES = sorted(name for name, service in load_services().items() if not service.is_worker)


@pytest.mark.parametrize("name", SERVICES)
def test_each_secret_and_each_service_that_it_calls_has_to_be_there(environment: dict[str, str], name: str) -> None:
    service = find(name)
    read_settings(service, environment)
    for needed in (*service.secrets.required, "AUTH_JWKS_FILE", service.database.env, "SERVICE_URLS"):
        left = {key: value for key, value in environment.items() if key != needed}
        if needed == "SERVICE_URLS" and not service.calls:
            read_settings(service, left)
            continue
        with pytest.raises(SettingsError, match=needed):
            read_settings(service, left)


def test_a_secret_s_file_has_to_be_readable_before_the_first_request(
    environment: dict[str, str], tmp_path: Path
) -> None:
    service = find("auth")
    files = [name for name in service.secrets.required if name.endswith("_FILE")]
    assert files
    for name in files:
        with pytest.raises(SettingsError, match=f"{name} names a file that can't be read"):
            read_settings(service, environment | {name: str(tmp_path / "nowhere")})


def test_who_is_called_has_to_have_an_address(environment: dict[str, str]) -> None:
    callers = [service for service in load_services().values() if service.calls and not service.is_worker]
    assert callers
    for service in callers:
        with pytest.raises(SettingsError, match=f"no address for {service.calls[0]}, which {service.name} calls"):
            read_settings(service, environment | {"SERVICE_URLS": "api-nobody=http://127.0.0.1:9"})


async def test_a_part_that_does_not_answer_soon_is_away_and_whoever_asks_for_all_hears_it() -> None:
    async with asyncio.timeout(30):
        assert await hosted._within(asyncio.sleep(0, True))
        assert not await hosted._within(asyncio.sleep(0, False))
        assert not await hosted._within(asyncio.Event().wait(), 0.01)
