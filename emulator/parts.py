"""What the system consists of on this machine: every part with its program, its environment, and how to see that it
is ready.

The only differences from a pod are here: addresses, credentials, and a proxy between every two parts.
"""

import difflib
import importlib.util
import os
import re
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from emulator import probe
from emulator.network.proxy import Link
from emulator.process import Command, StartError
from emulator.servers.postgres import Postgres
from emulator.servers.redis import RedisServer
from emulator.state.folder import State
from runtime.services import ROOT, Service, load_services, seconds

Kind = Literal["server", "proxy", "service", "worker", "syncer", "gateway", "dashboard"]
REGION = "ap-northeast-2"
BUCKET = "eco2"
GATEWAY_PORT = 8000
# A developer's own servers, used instead of the embedded ones.
EXISTING = {
    "postgres": "DATABASE_URL",
    "redis-broker": "BROKER_REDIS_URL",
    "redis-cache": "CACHE_REDIS_URL",
    "s3": "S3_ENDPOINT_URL",
}
_STORE_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "S3_BUCKET")
_USES = {"postgres": "postgres", "broker": "redis-broker", "cache": "redis-cache", "objects": "s3"}
# What a process gets of the developer's environment: nothing that would make it differ from a pod.
_PASSED_ON = ("PATH", "HOME", "TMPDIR", "LOG_LEVEL", "PYTHONDEVMODE", "JOURNAL_SYNC_SECONDS")


@dataclass
class Part:
    """One process of the system."""

    name: str
    kind: Kind
    command: Callable[[], Command]
    ready: Callable[[], Awaitable[bool]]
    address: str = ""
    needs: tuple[str, ...] = ()
    grace: float = 10.0
    # Where the template may run it by a fork: `module:function`, called with the arguments.
    module: str = ""
    arguments: tuple[str, ...] = ()
    folder: str = ""  # of its service, for the reload
    listener: socket.socket | None = field(default=None, repr=False)
    orders: bool = False  # takes orders on its standard input
    debug: int | None = None  # where a debugger reaches it


@dataclass
class Existing:
    """The addresses of servers that the developer has; None where the embedded one is used."""

    urls: Mapping[str, str]

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Existing":
        """What the environment names. StartError where an object store comes without what opens it."""
        missing = [name for name in _STORE_KEYS if not environ.get(name)]
        if environ.get("S3_ENDPOINT_URL") and missing:
            raise StartError(f"S3_ENDPOINT_URL names a store of your own: set {', '.join(missing)} too")
        return cls({name: environ[variable] for name, variable in EXISTING.items() if environ.get(variable)})


class System:
    """All parts of one emulator, wired to each other through the proxy."""

    def __init__(
        self, state: State, port: int | None, environ: Mapping[str, str], seed: int = 0, debug: str | None = None
    ) -> None:
        """`debug` is the service that a debugger may enter, by its folder or name, or `all`. StartError for an unknown one."""
        self.state = state
        self.seed = seed
        self.environ = environ
        self.services = load_services()
        self.debugged = self._to_debug(debug) if debug else ()
        self.existing = Existing.of(environ)
        self.postgres = Postgres(state.path)
        self.broker = RedisServer(state.path, "broker")
        self.cache = RedisServer(state.path, "cache")
        self.listeners = {s.name: _listen(state.port(s.name)) for s in self.services.values() if not s.is_worker}
        self.gateway = self._listen_as_gateway(port)
        names = [
            f"health-{kind}-{s.short}" for s in self.services.values() if s.is_worker for kind in ("worker", "syncer")
        ]
        self.ports = state.ports(dict.fromkeys(["postgres", "redis-broker", "redis-cache", "s3", *names]))
        self.postgres.port = self.ports["postgres"]
        self.broker.port, self.cache.port = self.ports["redis-broker"], self.ports["redis-cache"]
        self.link_ports = state.ports(dict.fromkeys(self._pairs()))
        self.debug_ports = state.ports(dict.fromkeys(f"debug-{name}" for name in self.debugged))

    def _to_debug(self, wanted: str) -> tuple[str, ...]:
        chosen = tuple(s.name for s in self.services.values() if wanted in ("all", s.name, s.folder, s.short))
        if not chosen:
            known = [s.name for s in self.services.values()]
            near = difflib.get_close_matches(wanted, [*known, *self.services], 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise StartError(f"no service {wanted} to debug: {hint}")
        return chosen

    def _listen_as_gateway(self, wanted: int | None) -> socket.socket:
        """The port asked for or nothing; without one the last run's, 8000, or the next that is free."""
        if wanted:
            try:
                return _listen(wanted)
            except OSError as error:
                why = (error.strerror or "unusable").lower()
                raise StartError(
                    f"port {wanted} for the gateway: {why}; take another, or none for the next free one"
                ) from None
        kept = (self.state.read_json("ports.json", dict[str, int]) or {}).get("gateway")
        for port in [*([kept] if kept else []), *range(GATEWAY_PORT, GATEWAY_PORT + 100)]:
            try:
                listener = _listen(port)
            except OSError:
                continue
            self._remember_gateway(port)
            return listener
        raise StartError(f"no free port for the gateway from {GATEWAY_PORT} on")

    def _remember_gateway(self, port: int) -> None:
        ports = self.state.read_json("ports.json", dict[str, int]) or {}
        self.state.write_json("ports.json", ports | {"gateway": port})

    @property
    def gateway_url(self) -> str:
        return f"http://127.0.0.1:{self.gateway.getsockname()[1]}"

    # Who talks to whom

    def _pairs(self) -> list[str]:
        """Every connection between two parts, as `source>target`."""
        pairs = []
        for service in self.services.values():
            for use in service.uses:
                pairs.append(f"{service.name}>{_USES[use]}")
            pairs += [f"{service.name}>{callee}" for callee in service.calls]
            if service.is_worker:
                pairs.append(f"syncer-{service.short}>postgres")
            else:
                pairs.append(f"gateway>{service.name}")
        return [*pairs, "gateway>s3"]

    def links(self) -> list[Link]:
        """What the proxy should stand between. Servers of the developer's own are reached directly."""
        found = []
        for pair, port in self.link_ports.items():
            source, _, target = pair.partition(">")
            if target not in self.existing.urls:
                found.append(Link(source, target, port, self._port_of(target)))
        return found

    def _port_of(self, target: str) -> int:
        if target in self.listeners:
            return int(self.listeners[target].getsockname()[1])
        servers = {"postgres": self.postgres.port, "redis-broker": self.broker.port, "redis-cache": self.cache.port}
        return servers.get(target) or self.ports["s3"]

    def dsn(self, role: str, search_path: str, source: str | None = None) -> str:
        """A role's connection string, by way of the proxy for a part (`source`), else direct."""
        if "postgres" in self.existing.urls:
            return _on_existing(self.existing.urls["postgres"], role, self.state.secret(role), search_path)
        direct = self.postgres.dsn(role, search_path=search_path)
        return self._through(direct, self.postgres.port, source, "postgres")

    def redis_url(self, target: str, source: str | None = None) -> str:
        if target in self.existing.urls:
            return self.existing.urls[target]
        server = self.broker if target == "redis-broker" else self.cache
        return self._through(server.url, server.port, source, target)

    def s3_url(self, source: str | None = None) -> str:
        direct = self.existing.urls.get("s3") or f"http://127.0.0.1:{self.ports['s3']}"
        return direct if "s3" in self.existing.urls else self._through(direct, self.ports["s3"], source, "s3")

    def service_url(self, name: str, source: str | None = None) -> str:
        port = self._port_of(name)
        return self._through(f"http://127.0.0.1:{port}", port, source, name)

    def _through(self, url: str, port: int, source: str | None, target: str) -> str:
        link = self.link_ports.get(f"{source}>{target}") if source else None
        return url.replace(f"127.0.0.1:{port}", f"127.0.0.1:{link}") if link else url

    # Environments

    def base_environment(self) -> dict[str, str]:
        env = {name: self.environ[name] for name in _PASSED_ON if self.environ.get(name)}
        return env | {
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "LANG": "C.UTF-8",
            # Each thread that allocates would else get an arena of its own: dozens of MB over all processes.
            "MALLOC_ARENA_MAX": "2",
            "TZ": "UTC",
            "ECO2_CLOCK_FILE": str(self.state.path / "clock"),
            "ECO2_STATE": str(self.state.path),
            "LOG_FORMAT": self.environ.get("LOG_FORMAT", "text"),
            "ECO2_SPANS": f"127.0.0.1:{self.state.port('dashboard')}",
        }

    def s3_keys(self) -> dict[str, str]:
        if "s3" in self.existing.urls:
            region = self.environ.get("AWS_REGION") or REGION
            return {name: self.environ[name] for name in _STORE_KEYS} | {"AWS_REGION": region}
        access = "AKIA" + re.sub(r"[^A-Z0-9]", "0", self.state.secret("s3-access").upper())[:16]
        secret = self.state.secret("s3")
        return {"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": REGION, "S3_BUCKET": BUCKET}

    def environment(self, service: Service, source: str | None = None) -> dict[str, str]:
        """What one service's process finds; `source` is the part that connects (the service, its syncer, or None
        for a person).
        """
        source = source or service.name
        env = self.base_environment()
        env[service.database.env] = self.dsn(service.database.role, service.database.schema, source)
        env["AUTH_JWKS_FILE"] = str(self.state.path / "keys" / "jwks.json")
        if "broker" in service.uses:
            env["BROKER_REDIS_URL"] = self.redis_url("redis-broker", source)
        if "cache" in service.uses:
            env["CACHE_REDIS_URL"] = self.redis_url("redis-cache", source)
        if "objects" in service.uses:
            env |= self.s3_keys() | {"S3_ENDPOINT_URL": self.s3_url(source), "CDN_BASE_URL": f"{self.gateway_url}/cdn"}
        if service.calls:
            env["SERVICE_URLS"] = ",".join(f"{name}={self.service_url(name, source)}" for name in service.calls)
        if "AUTH_SIGNING_KEY_FILE" in service.secrets.required:
            env["AUTH_SIGNING_KEY_FILE"] = str(self.state.path / "keys" / "signing.json")
        for name in (*service.egress, *service.secrets.optional):
            if self.environ.get(name):
                env[name] = self.environ[name]
        if service.is_worker:
            env["JOURNAL_PATH"] = str(self.journal(service))
            env["MODEL_DIR"] = str(self.state.path / "model")
        else:
            env["TRUSTED_HOPS"] = "1"
        return env

    def owner_environment(self) -> dict[str, str]:
        """What a program finds that applies migrations."""
        return self.base_environment() | {"MIGRATION_DB_URL": self.dsn("migrator", "")}

    def journal(self, service: Service) -> Path:
        return self.state.path / "journals" / service.folder / "worker.db"

    def outside_environment(self) -> dict[str, str]:
        """The addresses for a program that is no part: `eco2 exec`, commands, tests. Databases as each service's
        role.
        """
        env = {"ECO2_GATEWAY_URL": self.gateway_url, "ECO2_STATE": str(self.state.path)}
        env["ECO2_CLOCK_FILE"] = str(self.state.path / "clock")
        for service in self.services.values():
            env[service.database.env] = self.dsn(service.database.role, service.database.schema)
        env["MIGRATION_DB_URL"] = self.dsn("migrator", "")
        env["BROKER_REDIS_URL"], env["CACHE_REDIS_URL"] = self.redis_url("redis-broker"), self.redis_url("redis-cache")
        env |= self.s3_keys() | {"S3_ENDPOINT_URL": self.s3_url(), "CDN_BASE_URL": f"{self.gateway_url}/cdn"}
        env["AUTH_JWKS_FILE"] = str(self.state.path / "keys" / "jwks.json")
        env["AUTH_SIGNING_KEY_FILE"] = str(self.state.path / "keys" / "signing.json")
        env["SERVICE_URLS"] = ",".join(
            f"{s.name}={self.service_url(s.name)}" for s in self.services.values() if not s.is_worker
        )
        return env

    # Parts

    def parts(self) -> list[Part]:
        """Every part in the order of its start."""
        found = []
        if "postgres" not in self.existing.urls:
            address = f"127.0.0.1:{self.postgres.port}"
            found.append(Part("postgres", "server", self.postgres.command, self._postgres_ready, address, grace=20))
        for server in (self.broker, self.cache):
            if server.name not in self.existing.urls:
                answers = probe.redis(lambda s=server: s.url)  # type: ignore[misc]
                found.append(Part(server.name, "server", server.command, answers, f"127.0.0.1:{server.port}"))
        if "s3" not in self.existing.urls:
            found.append(self._s3())
        found.append(self._proxy())
        for service in self.services.values():
            found.append(self._worker(service) if service.is_worker else self._service(service))
        found += [self._syncer(service) for service in self.services.values() if service.is_worker]
        found.append(self._gateway())
        if importlib.util.find_spec("emulator.dashboard.__main__") is not None:
            found.append(self._dashboard())
        return found

    async def _postgres_ready(self) -> bool:
        return self.postgres.ready()

    def log(self, name: str) -> Path:
        return self.state.path / "logs" / f"{name}.log"

    def _python(
        self,
        name: str,
        module: str,
        arguments: tuple[str, ...],
        env: Mapping[str, str],
        listener: socket.socket | None = None,
    ) -> Command:
        fds = (listener.fileno(),) if listener is not None else ()
        env = {**env, "LISTEN_FD": str(fds[0])} if fds else env
        argv = [sys.executable, "-m", module, *arguments]
        return Command(name, argv, env, self.log(name), None, signal.SIGTERM, signal.SIGKILL, ROOT, fds)

    def _debug_environment(self, name: str) -> dict[str, str]:
        port = self.debug_ports.get(f"debug-{name}")
        return {"ECO2_DEBUG_PORT": str(port)} if port else {}

    def _debug(self, part: Part) -> None:
        part.debug = self.debug_ports.get(f"debug-{part.name}")
        if part.debug:
            # Who stands at a breakpoint cannot end by itself.
            part.grace = min(part.grace, 1)

    def _s3(self) -> Part:
        port = self.ports["s3"]
        env = (
            self.base_environment() | self.s3_keys() | {"PORT": str(port), "S3_DATA": str(self.state.path / "objects")}
        )
        command = self._python("s3", "emulator.servers.s3", (), env)
        part = Part("s3", "server", lambda: command, probe.http(port, "/_ready"), f"http://127.0.0.1:{port}")
        part.module = "emulator.servers.s3:main"
        return part

    def _proxy(self) -> Part:
        command = self._python("proxy", "emulator.network.proxy", (str(self.seed),), self.base_environment())

        async def ready() -> bool:
            return True  # it answers its first order

        part = Part("proxy", "proxy", lambda: command, ready, orders=True)
        part.module, part.arguments = "emulator.network.proxy:run", (str(self.seed),)
        return part

    def _service(self, service: Service) -> Part:
        listener = self.listeners[service.name]
        port = int(listener.getsockname()[1])
        env = self.environment(service) | {"PORT": str(port)} | self._debug_environment(service.name)
        command = self._python(service.name, "runtime.http.host", (service.folder,), env, listener)
        part = Part(service.name, "service", lambda: command, probe.http(port, "/readyz"), f"http://127.0.0.1:{port}")
        part.needs, part.grace, part.listener = ("migrations",), seconds(service.run.grace), listener
        part.module, part.arguments, part.folder = "runtime.http.host:run", (service.folder,), service.folder
        self._debug(part)
        return part

    def _worker(self, service: Service) -> Part:
        port = self.ports[f"health-worker-{service.short}"]
        env = self.environment(service) | {"HEALTH_PORT": str(port)} | self._debug_environment(service.name)
        command = self._python(service.name, "runtime.delivery.worker", (service.folder,), env)
        part = Part(service.name, "worker", lambda: command, probe.http(port, "/readyz"), f"http://127.0.0.1:{port}")
        part.needs = ("keys", "model") if service.folder == "ai" else ("keys",)
        part.grace = min(seconds(service.run.grace), 20)
        part.module, part.arguments, part.folder = "runtime.delivery.worker:main", (service.folder,), service.folder
        self._debug(part)
        return part

    def _syncer(self, service: Service) -> Part:
        name = f"syncer-{service.short}"
        port = self.ports[f"health-syncer-{service.short}"]
        env = self.environment(service, name) | {"HEALTH_PORT": str(port)}
        command = self._python(name, "runtime.journal.syncer", (service.folder,), env)
        part = Part(name, "syncer", lambda: command, probe.http(port, "/healthz"), f"http://127.0.0.1:{port}")
        part.needs = ("migrations", service.name)
        part.module, part.arguments, part.folder = "runtime.journal.syncer:main", (service.folder,), service.folder
        return part

    def _gateway(self) -> Part:
        routes = {
            s.prefix: f"{s.name}={self.service_url(s.name, 'gateway')}" for s in self.services.values() if s.prefix
        }
        env = self.base_environment() | self.s3_keys() | {"S3_ENDPOINT_URL": self.s3_url("gateway")}
        routes["/_emulator"] = f"dashboard=http://127.0.0.1:{self.state.port('dashboard')}"
        env["GATEWAY_ROUTES"] = ",".join(f"{prefix}={route}" for prefix, route in routes.items())
        command = self._python("gateway", "emulator.network.gateway", (), env, self.gateway)
        port = int(self.gateway.getsockname()[1])
        ready = probe.http(port, "/_gateway")
        part = Part("gateway", "gateway", lambda: command, ready, self.gateway_url, listener=self.gateway, orders=True)
        part.module = "emulator.network.gateway:main"
        return part

    def _dashboard(self) -> Part:
        port = self.state.port("dashboard")
        env = self.base_environment() | {"PORT": str(port), "ECO2_GATEWAY_URL": self.gateway_url}
        command = self._python("dashboard", "emulator.dashboard", (), env)
        ready = probe.http(port, "/_emulator/ready")
        part = Part("dashboard", "dashboard", lambda: command, ready, f"http://127.0.0.1:{port}")
        part.module = "emulator.dashboard.__main__:main"
        return part


def _listen(port: int) -> socket.socket:
    """A listening socket that the emulator keeps: connections wait in it while its part starts anew."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    listener.set_inheritable(False)
    return listener


def _on_existing(url: str, role: str, password: str, search_path: str) -> str:
    from urllib.parse import quote, urlsplit

    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    options = f"?options=-c%20search_path%3D{search_path}" if search_path else ""
    return f"postgresql://{role}:{quote(password, safe='')}@{place}/ecoeco{options}"


def default_state(environ: Mapping[str, str] = os.environ, name: str | None = None) -> Path:
    """`.eco2/` of the checkout, the folder of a named emulator beside it, or ECO2_STATE."""
    if name:
        return ROOT / ".eco2" / "named" / name
    return Path(environ["ECO2_STATE"]) if environ.get("ECO2_STATE") else ROOT / ".eco2"
