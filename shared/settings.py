"""Settings: read once from the environment into one typed Struct. A missing or wrong one stops the start with one line."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

Port = Annotated[int, Meta(ge=0, le=65535)]
PositiveSeconds = Annotated[float, Meta(gt=0)]


class SettingsError(Exception):
    """A setting is missing or wrong: the message names it and says what it should be."""


class Settings(Struct, frozen=True, kw_only=True):
    """What differs between one place and another. The environment variable of a field is its name in capitals.

    The database's address alone has a variable of its own in each service (`database.env` of its service.toml).
    """

    service: str = ""  # the service's folder name; set by the process, not by the environment
    database_url: str = ""
    broker_redis_url: str = ""
    cache_redis_url: str = ""
    # Empty: AWS S3 itself, with the pod's own credentials.
    s3_endpoint_url: str = ""
    s3_bucket: str = "eco2"
    # Where browsers and apps fetch public copies: CloudFront, or the emulator's gateway.
    cdn_base_url: str = ""
    aws_region: str = "ap-northeast-2"
    aws_access_key_id: str = ""
    aws_secret_access_key: str = ""
    auth_jwks_file: str = ""
    auth_signing_key_file: str = ""
    # Where people's browsers reach this API, for addresses that providers and mails lead back to.
    public_url: str = ""
    # The app's own address: mails link to it.
    app_url: str = ""
    # smtp://user:password@host:587 (STARTTLS where it is offered) or smtps://; empty: no mail is sent.
    smtp_url: str = ""
    mail_from: str = "Eco² <no-reply@localhost>"
    # A TOML file with what each provider (kakao, google, naver) gave us; empty: no one signs in with one.
    oauth_providers_file: str = ""
    # Addresses that a sign-in may lead back to, with commas; a path holds all below it, a port `*` any port of this machine.
    oauth_return_to: str = ""
    # What one person may begin in a minute, and one address register in an hour.
    quota_uploads: Annotated[int, Meta(ge=1)] = 120
    quota_analyses: Annotated[int, Meta(ge=1)] = 120
    quota_messages: Annotated[int, Meta(ge=1)] = 60
    quota_registrations: Annotated[int, Meta(ge=1)] = 60
    # Days that photos, conversations (from their last message) and searches are kept; 0: until the person deletes them.
    keep_analyses_days: Annotated[int, Meta(ge=0, le=36_500)] = 0
    keep_conversations_days: Annotated[int, Meta(ge=0, le=36_500)] = 0
    keep_queries_days: Annotated[int, Meta(ge=0, le=36_500)] = 0
    # Pages of these origins may read the answers: exact, with commas; a port `*` is any. None: native apps alone.
    cors_origins: str = ""
    # Whether `<prefix>/docs` shows the API reference.
    api_docs: bool = False
    # Proxies in front that append to X-Forwarded-For: the client's address is that many entries from the right.
    trusted_hops: Annotated[int, Meta(ge=0, le=10)] = 0
    journal_path: str = ""
    journal_sync_seconds: PositiveSeconds = 300.0
    # "api-recycle-info=http://127.0.0.1:8001,api-location=http://127.0.0.1:8002"
    service_urls: str = ""
    host: str = "127.0.0.1"
    port: Port = 8000
    health_port: Port = 0
    log_format: Literal["json", "text"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    # Where the built classifier lies.
    model_dir: str = ""
    # The OpenAI-compatible provider: off while the key is empty.
    openai_base_url: str = ""
    openai_api_key: str = ""
    openai_photo_model: str = "gpt-4.1-mini"
    openai_question_model: str = "gpt-4.1-mini"
    # Seconds for one answer of it, retries and pauses included.
    openai_patience: PositiveSeconds = 30.0
    # US dollars per million tokens, read and written.
    openai_price_read: Annotated[float, Meta(ge=0)] = 0.40
    openai_price_written: Annotated[float, Meta(ge=0)] = 1.60
    # What a person, and the whole system, may use of it in a day.
    ai_person_tokens: Annotated[int, Meta(ge=0)] = 200_000
    ai_person_dollars: Annotated[float, Meta(ge=0)] = 0.10
    ai_system_tokens: Annotated[int, Meta(ge=0)] = 50_000_000
    ai_system_dollars: Annotated[float, Meta(ge=0)] = 20.0

    def urls(self) -> dict[str, str]:
        """Base addresses of the services that this one calls, by service name."""
        pairs = (pair.partition("=") for pair in self.service_urls.split(",") if pair.strip())
        return {name.strip(): url.strip().rstrip("/") for name, _, url in pairs}


# What each word in a service's `uses` needs from the environment.
NEEDS = {
    "broker": ("broker_redis_url",),
    "cache": ("cache_redis_url",),
    "objects": ("s3_bucket", "cdn_base_url"),
}
_SCHEMES = {
    "database_url": ("postgresql", "postgres"),
    "broker_redis_url": ("redis", "rediss", "unix"),
    "cache_redis_url": ("redis", "rediss", "unix"),
    "s3_endpoint_url": ("http", "https"),
    "cdn_base_url": ("http", "https"),
    "openai_base_url": ("http", "https"),
    "public_url": ("http", "https"),
    "smtp_url": ("smtp", "smtps"),
}


def read(
    environ: Mapping[str, str],
    *,
    service: str = "",
    database_env: str | None = None,
    uses: Iterable[str] = (),
    required: Iterable[str] = (),
) -> Settings:
    """Read the settings of one service.

    Args:
        environ: the environment, `os.environ` as a rule.
        service: the folder's name.
        database_env: the variable that holds the database's address, for a service that has one.
        uses: the words of service.toml's `uses`; each makes its settings required.
        required: further required variables, by name.

    Raises:
        SettingsError: with one line that names the variable.
    """
    names = {field: field.upper() for field in Settings.__struct_fields__ if field not in ("service", "database_url")}
    if database_env:
        names["database_url"] = database_env
    needed = {field for use in uses for field in NEEDS.get(use, ())}
    needed |= {name.lower() for name in required} & set(names)
    if database_env:
        needed.add("database_url")
    values: dict[str, Any] = {"service": service}
    fields = {field.name: field for field in msgspec.structs.fields(Settings)}
    for field, variable in names.items():
        text = environ.get(variable, "").strip()
        if text:
            values[field] = text
        elif field in needed and not fields[field].default:
            raise SettingsError(f"{variable} is not set: {service or 'this process'} can't run without it")
    if "database_url" in values:
        values["database_url"] = repair_dsn(values["database_url"])
    for field, schemes in _SCHEMES.items():
        value = values.get(field)
        if value and urlsplit(value).scheme not in schemes:
            raise SettingsError(f"{names.get(field, field)} should begin with {schemes[0]}://")
    for field, value in values.items():
        try:
            values[field] = msgspec.convert(value, fields[field].type, strict=False)
        except msgspec.ValidationError as error:
            # The value itself is left out: it may be a secret.
            raise SettingsError(f"{names.get(field, field)} is wrong: {error}") from None
    return Settings(**values)


def repair_dsn(url: str) -> str:
    """Escape the inner `=` of `options=-c%20search_path=SCHEMA`, which libpq refuses unescaped."""
    return re.sub(r"(?<=[?&])(options=)([^&]*)", lambda m: m[1] + m[2].replace("=", "%3D"), url)
