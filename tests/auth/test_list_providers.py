"""GET /oauth/providers"""

from pathlib import Path

import httpx
import pytest

from functions.auth import providers
from shared.settings import Settings, SettingsError


async def test_those_that_are_set_up_are_listed(reached: httpx.AsyncClient, auth: httpx.AsyncClient) -> None:
    listed = (await reached.get("/api/v1/auth/oauth/providers")).json()
    assert [one["provider"] for one in listed] == ["kakao", "google", "naver"]
    assert listed[0]["name"] == "카카오"
    assert (await auth.get("/api/v1/auth/oauth/providers")).json() == []


@pytest.mark.parametrize(
    "text", ["[kakao", "[kakao]\n", "[kakao]\nclient_id = 'a'\nclient_secret = 's3cret'\ncolour = 1\n"]
)
def test_a_wrong_file_is_named_without_its_values(tmp_path: Path, text: str) -> None:
    file = tmp_path / "providers.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as failed:
        providers.known(Settings(oauth_providers_file=str(file)))
    assert "OAUTH_PROVIDERS_FILE" in str(failed.value)
    assert "s3cret" not in str(failed.value)
