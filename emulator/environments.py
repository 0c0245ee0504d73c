"""What each process finds in its environment. The only differences from a pod are here: addresses and credentials."""

import re
from collections.abc import Mapping
from pathlib import Path

from emulator.addresses import Addresses
from emulator.existing import REGION, STORE_KEYS, Existing
from emulator.part import file_name, replica_name
from emulator.state.folder import State
from runtime.services import ROOT, Service

BUCKET = "eco2"
# Pages of a developer's own servers, and addresses that lead back to them.
LOCALHOST = "http://localhost:*,http://127.0.0.1:*"
# What a process gets of the developer's environment: nothing that would make it differ from a pod.
_PASSED_ON = ("PATH", "HOME", "TMPDIR", "LOG_LEVEL", "PYTHONDEVMODE", "JOURNAL_SYNC_SECONDS")


class Environments:
    """The environments of one emulator's processes."""

    def __init__(
        self,
        state: State,
        services: Mapping[str, Service],
        environ: Mapping[str, str],
        existing: Existing,
        addresses: Addresses,
    ) -> None:
        self._state = state
        self._services = services
        self._environ = environ
        self._existing = existing
        self._addresses = addresses

    def base(self) -> dict[str, str]:
        """What every process has."""
        env = {name: self._environ[name] for name in _PASSED_ON if self._environ.get(name)}
        return env | {
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "LANG": "C.UTF-8",
            # Each thread that allocates would else get an arena of its own: dozens of MB over all processes (runtime.memory).
            "MALLOC_ARENA_MAX": "1",
            "TZ": "UTC",
            "ECO2_CLOCK_FILE": str(self._state.path / "clock"),
            "ECO2_STATE": str(self._state.path),
            "LOG_FORMAT": self._environ.get("LOG_FORMAT", "text"),
            "ECO2_SPANS": f"127.0.0.1:{self._addresses.port_of('dashboard')}",
        }

    def store_keys(self) -> dict[str, str]:
        """What opens the object store."""
        if "s3" in self._existing:
            region = self._environ.get("AWS_REGION") or REGION
            return {name: self._environ[name] for name in STORE_KEYS} | {"AWS_REGION": region}
        access = "AKIA" + re.sub(r"[^A-Z0-9]", "0", self._state.secret("s3-access").upper())[:16]
        secret = self._state.secret("s3")
        return {"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": REGION, "S3_BUCKET": BUCKET}

    def _objects(self, source: str | None) -> dict[str, str]:
        cdn = f"{self._addresses.gateway_url}/cdn"
        return self.store_keys() | {"S3_ENDPOINT_URL": self._addresses.s3(source), "CDN_BASE_URL": cdn}

    def _key(self, name: str) -> str:
        return str(self._state.path / "keys" / name)

    def service(self, service: Service, source: str | None = None, number: int = 1) -> dict[str, str]:
        """What the process of one replica of a service finds; `source` is the part that connects (it, or its syncer)."""
        source = source or service.name
        # A function that runs as a part of its own is its service's still: user, role and address of the store.
        whole = self._services[service.folder]
        addresses = self._addresses
        env = self.base()
        env[service.database.env] = addresses.dsn(service.database.role, service.database.schema, source)
        env["AUTH_JWKS_FILE"] = self._key("jwks.json")
        if "broker" in service.uses:
            env["BROKER_REDIS_URL"] = addresses.redis("redis-broker", source, whole)
        if "cache" in service.uses:
            env["CACHE_REDIS_URL"] = addresses.redis("redis-cache", source, whole)
        if "objects" in service.uses:
            # A form for an upload names this address, and outlives the replica that made it: all replicas of a service have one.
            env |= self._objects(source if service.is_worker else whole.name)
        if service.calls:
            env["SERVICE_URLS"] = ",".join(f"{name}={addresses.service(name, source)}" for name in service.calls)
        if "AUTH_SIGNING_KEY_FILE" in service.secrets.required:
            env["AUTH_SIGNING_KEY_FILE"] = self._key("signing.json")
        if "SMTP_URL" in service.secrets.optional:
            env |= self._world()
        for name in (*service.egress, *service.settings, *service.secrets.optional):
            if self._environ.get(name):
                env[name] = self._environ[name]
        if service.is_worker:
            env["JOURNAL_PATH"] = str(self.journal(service, number))
            env["MODEL_DIR"] = str(self._state.path / "model")
        else:
            env["TRUSTED_HOPS"] = "1"
            env["API_DOCS"] = "true"
            env["CORS_ORIGINS"] = self._origins()
        return env

    def settings(self) -> dict[str, str]:
        """Services' settings of the developer's environment; secrets are not among them."""
        names = {name for service in self._services.values() for name in service.settings}
        return {name: self._environ[name] for name in sorted(names) if self._environ.get(name)}

    def _origins(self) -> str:
        """Pages of a developer's own servers may call the API, whatever their port, until told otherwise."""
        return self._environ.get("CORS_ORIGINS", LOCALHOST)

    def _world(self) -> dict[str, str]:
        """The mail server and the identity providers of this machine, and where a sign-in may lead back to."""
        return {
            "SMTP_URL": f"smtp://127.0.0.1:{self._addresses.port_of('smtp')}",
            "OAUTH_PROVIDERS_FILE": str(self._state.path / "providers.toml"),
            "OAUTH_RETURN_TO": LOCALHOST,
            "PUBLIC_URL": self._addresses.gateway_url,
            # Everybody who registers here comes from this machine.
            "QUOTA_REGISTRATIONS": "5000",
        }

    def dashboard(self) -> dict[str, str]:
        """What the dashboard finds, and the world outside (`emulator.outside`) in its process."""
        return self.base() | {
            "PORT": str(self._addresses.port_of("dashboard")),
            "ECO2_GATEWAY_URL": self._addresses.gateway_url,
            "OUTSIDE_PORT": str(self._addresses.port_of("outside")),
            "SMTP_PORT": str(self._addresses.port_of("smtp")),
            "MAIL_DIR": str(self._state.path / "mail"),
            "OAUTH_REDIRECTS": self._addresses.gateway_url + "/api/v1/auth/oauth/{provider}/callback",
            "OAUTH_PROVIDERS_FILE": str(self._state.path / "providers.toml"),
        }

    def gateway(self) -> dict[str, str]:
        """What the gateway finds: the routes by prefix, and what opens the store for public copies."""
        routes = {
            s.prefix: f"{s.name}={self._addresses.service(s.name, 'gateway')}"
            for s in self._services.values()
            if s.prefix
        }
        routes["/_emulator"] = f"dashboard=http://127.0.0.1:{self._addresses.port_of('dashboard')}"
        env = self.base() | self.store_keys() | {"S3_ENDPOINT_URL": self._addresses.s3("gateway")}
        env |= {"CORS_ORIGINS": self._origins(), "PORT": str(self._addresses.gateway.getsockname()[1])}
        return env | {"GATEWAY_ROUTES": ",".join(f"{prefix}={route}" for prefix, route in routes.items())}

    def owner(self) -> dict[str, str]:
        """What a program finds that applies migrations."""
        return self.base() | {"MIGRATION_DB_URL": self._addresses.dsn("migrator", "")}

    def journal(self, service: Service, number: int = 1) -> Path:
        """A worker's journal: each replica has its own."""
        return self._state.path / "journals" / file_name(replica_name(service.folder, number)) / "worker.db"

    def outside(self) -> dict[str, str]:
        """The addresses for a program that is not a part: `eco2 exec`, commands, tests. Databases as each service's role."""
        addresses = self._addresses
        env = {"ECO2_GATEWAY_URL": addresses.gateway_url, "ECO2_STATE": str(self._state.path)}
        env["ECO2_CLOCK_FILE"] = str(self._state.path / "clock")
        for service in self._services.values():
            env[service.database.env] = addresses.dsn(service.database.role, service.database.schema)
        env["MIGRATION_DB_URL"] = addresses.dsn("migrator", "")
        env["BROKER_REDIS_URL"], env["CACHE_REDIS_URL"] = (
            addresses.redis("redis-broker"),
            addresses.redis("redis-cache"),
        )
        env |= self._objects(None)
        env["AUTH_JWKS_FILE"], env["AUTH_SIGNING_KEY_FILE"] = self._key("jwks.json"), self._key("signing.json")
        env["SERVICE_URLS"] = ",".join(
            f"{s.name}={addresses.service(s.name)}" for s in self._services.values() if not s.is_worker
        )
        return env
