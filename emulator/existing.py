"""Servers that the developer has, used instead of the embedded ones, and looked at before anything else starts."""

import contextlib
import http.client
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from emulator.process import StartError
from emulator.servers.s3.signature import sign_headers

VARIABLES = {
    "postgres": "DATABASE_URL",
    "redis-broker": "BROKER_REDIS_URL",
    "redis-cache": "CACHE_REDIS_URL",
    "s3": "S3_ENDPOINT_URL",
}
STORE_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "S3_BUCKET")
REGION = "ap-northeast-2"
# Seconds for a server to answer one question, and for all checks together.
_ANSWER = 2
_PATIENCE = 2.8


@dataclass
class Existing:
    """The addresses of servers that the developer has, by part; no entry where the embedded one is used."""

    urls: Mapping[str, str]
    environ: Mapping[str, str]

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Existing":
        """What the environment names. StartError where an object store comes without what opens it."""
        missing = [name for name in STORE_KEYS if not environ.get(name)]
        if environ.get("S3_ENDPOINT_URL") and missing:
            raise StartError(f"S3_ENDPOINT_URL names a store of your own: set {', '.join(missing)} too")
        urls = {name: environ[variable] for name, variable in VARIABLES.items() if environ.get(variable)}
        return cls(urls, environ)

    def __contains__(self, part: object) -> bool:
        return part in self.urls

    def dsn(self, role: str, password: str, search_path: str) -> str:
        """A role's connection string on the developer's PostgreSQL."""
        place = urlsplit(self.urls["postgres"]).netloc.rpartition("@")[2]
        options = f"?options=-c%20search_path%3D{search_path}" if search_path else ""
        return f"postgresql://{role}:{quote(password, safe='')}@{place}/ecoeco{options}"

    def check(self) -> None:
        """Ask every one of them at once whether it can be used. Within three seconds.

        Raises:
            StartError: one can't; a line that begins with its variable.
        """
        looks: dict[str, Callable[[], str]] = {
            "postgres": lambda: _postgres(self.urls["postgres"]),
            "redis-broker": lambda: _redis(self.urls["redis-broker"], keeps=True),
            "redis-cache": lambda: _redis(self.urls["redis-cache"], keeps=False),
            "s3": lambda: _s3(self.urls["s3"], self.environ),
        }
        pool = ThreadPoolExecutor(len(looks), "existing")
        try:
            asked = {part: pool.submit(looks[part]) for part in self.urls}
            for part, answer in asked.items():
                try:
                    why = answer.result(_PATIENCE)
                except Late:
                    why = "it does not answer"
                if why:
                    raise StartError(
                        f"{VARIABLES[part]}: {why}; correct it, or unset it and the embedded server is used"
                    )
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _postgres(url: str) -> str:
    import psycopg

    try:
        with psycopg.connect(url, connect_timeout=_ANSWER, autocommit=True) as conn:
            found = conn.execute("""
                SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean,
                       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
                       current_setting('server_version_num')::int / 10000
                """).fetchone()
    except (psycopg.Error, ValueError) as error:
        return _first_line(error)
    read_only, superuser, major = found or (False, False, 0)
    if read_only:
        return "this PostgreSQL is read-only (a standby, or default_transaction_read_only)"
    if not superuser:
        return "its user must be a superuser: roles and extensions are made with it"
    return "" if major >= 15 else f"PostgreSQL {major} is too old: 15 or newer"


def _redis(url: str, *, keeps: bool) -> str:
    import redis

    try:
        with redis.Redis.from_url(
            url, socket_connect_timeout=_ANSWER, socket_timeout=_ANSWER, retry=None, decode_responses=True
        ) as client:
            policy = dict(client.config_get("maxmemory-policy")).get("maxmemory-policy", "noeviction")
            role = client.info("replication").get("role")
    except (redis.RedisError, OSError, ValueError) as error:
        return _first_line(error)
    if role == "slave":
        return "this Redis is a replica, and read-only"
    if keeps and policy != "noeviction":
        return f"this Redis forgets keys when it is full (maxmemory-policy {policy}): the broker needs noeviction"
    return ""


def _s3(url: str, environ: Mapping[str, str]) -> str:
    place = urlsplit(url)
    if place.scheme not in ("http", "https") or not place.hostname:
        return f"{url!r} is not an address such as http://127.0.0.1:9000"
    kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
    bucket = environ["S3_BUCKET"]
    keys = (environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"], environ.get("AWS_REGION") or REGION)
    path = f"{place.path.rstrip('/')}/{bucket}"
    connection = kind(place.hostname, place.port, timeout=_ANSWER)
    try:
        connection.request("HEAD", path, headers=sign_headers("HEAD", place.netloc, path, *keys, datetime.now(UTC)))
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException, ValueError) as error:
        return _first_line(error)
    finally:
        with contextlib.suppress(OSError):
            connection.close()
    refused = {
        403: "the store refuses these keys (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)",
        404: f"there is no bucket {bucket}",
    }
    return "" if status == 200 else refused.get(status, f"the store answers {status} for the bucket {bucket}")


def _first_line(error: Exception) -> str:
    """What went wrong, without a password that may be in an address."""
    said = str(error).strip().splitlines()
    return (said[0] if said else type(error).__name__).removeprefix("connection failed: ")
