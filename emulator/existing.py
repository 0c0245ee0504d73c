"""Servers that the developer has, used instead of the embedded ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from emulator.process import StartError

VARIABLES = {
    "postgres": "DATABASE_URL",
    "redis-broker": "BROKER_REDIS_URL",
    "redis-cache": "CACHE_REDIS_URL",
    "s3": "S3_ENDPOINT_URL",
}
STORE_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "S3_BUCKET")


@dataclass
class Existing:
    """The addresses of servers that the developer has, by part; no entry where the embedded one is used."""

    urls: Mapping[str, str]

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Existing":
        """What the environment names. StartError where an object store comes without what opens it."""
        missing = [name for name in STORE_KEYS if not environ.get(name)]
        if environ.get("S3_ENDPOINT_URL") and missing:
            raise StartError(f"S3_ENDPOINT_URL names a store of your own: set {', '.join(missing)} too")
        return cls({name: environ[variable] for name, variable in VARIABLES.items() if environ.get(variable)})

    def __contains__(self, part: object) -> bool:
        return part in self.urls

    def dsn(self, role: str, password: str, search_path: str) -> str:
        """A role's connection string on the developer's PostgreSQL."""
        place = urlsplit(self.urls["postgres"]).netloc.rpartition("@")[2]
        options = f"?options=-c%20search_path%3D{search_path}" if search_path else ""
        return f"postgresql://{role}:{quote(password, safe='')}@{place}/ecoeco{options}"
