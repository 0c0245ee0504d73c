"""What logs show, and what they must not."""

import asyncio
import logging
import sys
from typing import Any

import httpx
import psycopg
import pytest

from emulator.servers.postgres import Postgres
from runtime import telemetry
from runtime.http.edge import Edge
from runtime.http.hosted import Hosted, read_settings
from runtime.services import find
from runtime.telemetry import AccessLog
from tests import support

SOMEBODY = "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b"
FORMATTERS = [telemetry.JsonFormatter("auth"), telemetry.TextFormatter()]


@pytest.mark.parametrize("formatter", FORMATTERS, ids=["json", "text"])
def test_a_databases_error_is_logged_without_the_row_it_refused(postgres: Postgres, formatter: Any) -> None:
    text, words = "", "my secret\n\nof two lines"
    with psycopg.connect(postgres.dsn("migrator")) as conn:
        conn.execute("CREATE TEMPORARY TABLE said (id INT NOT NULL, words TEXT)")
        try:
            try:
                conn.execute("INSERT INTO said VALUES (NULL, %s)", [words])
            except psycopg.Error as error:
                raise RuntimeError("the function stumbled") from error
        except RuntimeError:
            record = logging.LogRecord("eco2", logging.ERROR, __file__, 1, "failed", (), sys.exc_info())
            text = formatter.format(record)
    assert "NotNullViolation" in text
    assert "the function stumbled" in text
    assert "secret" not in text
    assert "two lines" not in text


async def access_log(environment: dict[str, str], capsys: pytest.CaptureFixture[str], *asked: tuple[str, str]) -> str:
    service = find("userinfo")
    settings = read_settings(service, environment)
    edge = Edge([Hosted(service, settings, background=False)], AccessLog("userinfo", "text"))
    async with support.lifespan(edge):
        transport = httpx.ASGITransport(app=edge, raise_app_exceptions=False)  # type: ignore[arg-type]  # httpx types an ASGI scope as any mapping
        async with httpx.AsyncClient(transport=transport, base_url="http://eco2.test") as client:
            for method, path in asked:
                await client.request(method, path)
    return capsys.readouterr().out


async def test_a_path_can_neither_begin_a_line_nor_speak_to_a_terminal(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = "/api/v1/users/%1b]0;title%07%0a12:00:00%20200%20GET%20/forged%e2%80%ae"
    written = await access_log(environment, capsys, ("GET", path), ("GET", "/api/v1/users/%ED%95%9C%EA%B8%80"))
    assert len(written.splitlines()) == 2
    # What no route matches is anybody's word: none of it is written down.
    assert written.count(" 404 GET /api/v1/users/{?} ") >= 1
    assert not any(word in written for word in ("title", "forged", "\x1b", "\u202e", "한글"))


async def test_a_persons_id_is_in_no_path_that_is_logged(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    written = await access_log(
        environment,
        capsys,
        ("GET", f"/api/v1/users/{SOMEBODY}"),
        ("PUT", f"/api/v1/users/{SOMEBODY}"),
        ("GET", f"/api/v1/users/{SOMEBODY}/friends"),
        ("GET", f"/api/v1/users/{SOMEBODY.replace('-', '').upper()}/friends"),
    )
    assert len(written.splitlines()) == 4
    assert SOMEBODY[-12:] not in written.lower()
    assert written.count(" 404 GET /api/v1/users/{?}/{?} ") == 2
    assert " 405 PUT /api/v1/users/{?} " in written


async def test_what_is_logged_after_a_while_is_written_by_itself_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "_BATCH", 0.0)
    log = telemetry.AccessLog("auth", "json")
    for number in range(2):
        log.add("GET", f"/{number}", 200, 0.1, None, "id", "")
        written = ""
        async with asyncio.timeout(30):
            while not (written := written + capsys.readouterr().out):  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.001)
        assert f'"path":"/{number}"' in written
