"""GET /oauth/providers"""

from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from shared.settings import SettingsError

KAKAO = "[kakao]\nclient_id = 'a'\nclient_secret = 's3cret'\n"
OURS = (
    KAKAO.replace("kakao", "hana")
    + "name = '하나'\nauthorize_url = 'https://hana.example/a'\ntoken_url = 'https://hana.example/t'\n"
)


async def test_those_that_are_set_up_are_listed(reached: httpx.AsyncClient, auth: httpx.AsyncClient) -> None:
    listed = (await reached.get("/api/v1/auth/oauth/providers")).json()
    assert [one["provider"] for one in listed] == ["kakao", "google", "naver"]
    assert listed[0]["name"] == "카카오"
    assert (await auth.get("/api/v1/auth/oauth/providers")).json() == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[kakao", "at end of document"),
        ("[kakao]\n", r"\[kakao\]: .*client_id"),
        ("kakao = 1\n", r"\[kakao\]: it should be a table"),
        (KAKAO + "colour = 1\n", r"\[kakao\]: .*colour"),
        (KAKAO.replace("s3cret", ""), r"\[kakao\]: `client_secret` is empty"),
        (KAKAO.replace("kakao", "하나").replace("[하나]", "['하나']"), "a name has small letters"),
        (KAKAO.replace("[kakao]", "['ka/kao']"), "a name has small letters"),
        (KAKAO + "issuer = ''\n", r"\[kakao\]: `issuer` is missing"),
        (KAKAO + "token_url = 's3cret.example/t'\n", r"\[kakao\]: `token_url` should be an address"),
        (KAKAO + "token_url = ''\n", r"\[kakao\]: `token_url` should be an address"),
        (OURS, r"\[hana\]: `jwks_url` or `userinfo_url` is missing"),
    ],
)
async def test_a_wrong_file_ends_the_start_and_is_named_without_its_values(
    serve: Callable[..., Awaitable[httpx.AsyncClient]], tmp_path: Path, text: str, reason: str
) -> None:
    file = tmp_path / "providers.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=f"^OAUTH_PROVIDERS_FILE is wrong: .*{reason}") as failed:
        await serve("auth", OAUTH_PROVIDERS_FILE=str(file))
    assert "s3cret" not in str(failed.value)


async def test_a_provider_of_their_own_that_only_says_who_somebody_is_is_taken(
    serve: Callable[..., Awaitable[httpx.AsyncClient]], tmp_path: Path
) -> None:
    file = tmp_path / "providers.toml"
    file.write_text(OURS + "userinfo_url = 'https://hana.example/u'\n", encoding="utf-8")
    auth = await serve("auth", OAUTH_PROVIDERS_FILE=str(file))
    assert (await auth.get("/api/v1/auth/oauth/providers")).json() == [{"provider": "hana", "name": "하나"}]
