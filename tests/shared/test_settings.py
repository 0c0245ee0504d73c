"""Settings: read once, and one line that names what is wrong."""

import re

import msgspec
import pytest

from runtime.services import ROOT
from shared.settings import Settings, SettingsError, read, repair_dsn


def test_the_seeds_spelling_of_a_connection_string_is_repaired() -> None:
    seed = "postgresql://r:p@k8s-postgresql:5432/ecoeco?options=-c%20search_path=auth"
    right = "postgresql://r:p@k8s-postgresql:5432/ecoeco?options=-c%20search_path%3Dauth"
    assert repair_dsn(seed) == right
    assert repair_dsn(right) == right
    assert read({"X_URL": seed}, database_env="X_URL").database_url == right


def test_values_have_types() -> None:
    settings = read({"PORT": "8080", "JOURNAL_SYNC_SECONDS": "1.5", "LOG_FORMAT": "text"})
    assert (settings.port, settings.journal_sync_seconds, settings.log_format) == (8080, 1.5, "text")


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"PORT": "eighty"}, "PORT is wrong"),
        ({"PORT": "70000"}, "PORT is wrong"),
        ({"LOG_FORMAT": "xml"}, "LOG_FORMAT is wrong"),
        ({"JOURNAL_SYNC_SECONDS": "0"}, "JOURNAL_SYNC_SECONDS is wrong"),
        ({"BROKER_REDIS_URL": "http://redis"}, "BROKER_REDIS_URL should begin with redis://"),
    ],
)
def test_a_wrong_value_is_named_in_one_line(environ: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as raised:
        read(environ)
    assert "\n" not in str(raised.value)


def test_a_missing_setting_is_named_and_a_secret_is_not_shown() -> None:
    with pytest.raises(SettingsError, match="BROKER_REDIS_URL is not set"):
        read({}, service="auth", uses=["broker"])
    for wrong in ({"DB": "mysql://root:hunter2@x/y"}, {"DB": "postgresql://x/y", "OPENAI_PATIENCE": "hunter2"}):
        with pytest.raises(SettingsError) as raised:
            read(wrong, database_env="DB")
        assert "hunter2" not in str(raised.value)


def test_an_empty_variable_counts_as_missing() -> None:
    with pytest.raises(SettingsError, match=r"S3_BUCKET|CDN_BASE_URL"):
        read({"S3_BUCKET": "x", "CDN_BASE_URL": " "}, uses=["objects"])


def test_addresses_of_services() -> None:
    settings = read({"SERVICE_URLS": "api-a=http://127.0.0.1:1/, api-b=http://b"})
    assert settings.urls() == {"api-a": "http://127.0.0.1:1", "api-b": "http://b"}


def test_the_reference_names_each_default() -> None:
    told: dict[str, str] = {}
    for line in (ROOT / "docs/REFERENCE.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        variables = re.findall(r"`([A-Z0-9_]+)`", cells[0])
        if len(cells) == 3 and variables:
            told |= dict.fromkeys(variables, "; ".join(cells[1:]))
            # Of several in one line each has its place.
            told |= dict(zip(variables, cells[2].split(", "), strict=True)) if len(variables) > 1 else {}
    fields = {field.name.upper(): field.default for field in msgspec.structs.fields(Settings)}
    defaults = {
        name: default if isinstance(default, str) else f"{default:.10g}"
        for name, default in fields.items()
        if default and isinstance(default, (int, float, str))
    }
    assert len(defaults) > 15
    # As a word of its own: 1 is not in 10.
    found = {name: re.search(rf"(?<![\w.]){re.escape(one)}(?![\w.])", told[name]) for name, one in defaults.items()}
    assert [name for name, default in found.items() if default is None] == []
