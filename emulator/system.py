"""What the system consists of on this machine: every part with its program, its environment, and how to see that it is ready."""

import difflib
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from emulator import probe
from emulator.addresses import Addresses
from emulator.apart import Apart, apart
from emulator.environments import Environments
from emulator.existing import Existing
from emulator.part import Part, Run, file_name, replica_name
from emulator.process import CalledWrongly, Command, StartError
from emulator.servers.postgres import Postgres
from emulator.servers.redis import RedisServer
from emulator.state.folder import State
from runtime.services import ROOT, Service, ServiceError, find, load_readable, seconds


class System:
    """All parts of one emulator, wired to each other through the proxy."""

    def __init__(
        self,
        state: State,
        port: int | None,
        environ: Mapping[str, str],
        seed: int = 0,
        debug: str | None = None,
        replicas: Mapping[str, int] | None = None,
    ) -> None:
        """Put together what runs.

        Args:
            debug: the service that a debugger may enter, by its folder or name, or `all`.
            replicas: how many of a service, by its folder or name; one of those that are not named.

        Raises:
            StartError: no such service, no such port, or a server of the developer's own that can't be used.
        """
        self.state = state
        self.seed = seed
        self.environ = environ
        # Services whose service.toml is wrong are left out until it is mended, by folder with the reason.
        self.services, self.left_out = load_readable()
        self.existing = Existing.of(environ)
        self.existing.check()
        debugged = self._to_debug(debug) if debug else ()
        self.postgres = Postgres(state.path)
        self.broker, self.cache = RedisServer(state.path, "broker"), RedisServer(state.path, "cache")
        servers = (self.postgres, self.broker, self.cache)
        # Functions that run as parts of their own, by the part's name, and those that the gateway knows of.
        self.apart: dict[str, Apart] = {}
        self.routed: set[str] = set()
        counts = {self.wanted(name).name: count for name, count in (replicas or {}).items()}
        self.addresses = Addresses(state, self.services, self.existing, servers, counts, port)
        for one in self.apart.values():
            self.addresses.add_apart(one.service)
            self.addresses.scale(one.service, counts[one.service.name])
            self.routed.add(one.service.name)
        self.environments = Environments(state, self.services, environ, self.existing, self.addresses)
        self._debug_ports = state.ports(dict.fromkeys(f"debug-{name}" for name in debugged))

    def _to_debug(self, wanted: str) -> tuple[str, ...]:
        chosen = tuple(s.name for s in self.services.values() if wanted in ("all", s.name, s.folder, s.short))
        if not chosen:
            known = [s.name for s in self.services.values()]
            near = difflib.get_close_matches(wanted, [*known, *self.services], 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise StartError(f"no service {wanted} to debug: {hint}")
        return chosen

    def wanted(self, name: str) -> Service:
        """What is to be scaled: a service, or a function of one as `waste/get_stats`. CalledWrongly with the near one."""
        if "/" not in name:
            return self.service(name)
        found = apart(name, self.services)
        self.apart.setdefault(found.service.name, found)
        return self.apart[found.service.name].service

    def routes(self) -> list[list[str]]:
        """Functions that the gateway sends to parts of their own: method, path, part and address."""
        chosen = [one for name, one in self.apart.items() if name in self.routed]
        return [
            [one.method, one.path, one.service.name, self.addresses.service(one.service.name, "gateway")]
            for one in chosen
        ]

    def prefixes(self) -> list[list[str]]:
        """The services that the gateway sends to: prefix, name and address."""
        address = self.addresses.service
        return [[s.prefix, s.name, address(s.name, "gateway")] for s in self.services.values() if s.prefix]

    def service(self, name: str) -> Service:
        """The service of that name or folder. CalledWrongly with the near one."""
        try:
            return find(name, self.services)
        except ServiceError as error:
            raise CalledWrongly(str(error)) from None

    @property
    def superuser_dsn(self) -> str:
        return self.existing.urls.get("postgres") or self.postgres.superuser_dsn

    @property
    def answers(self) -> str:
        """Who answers questions about photographs and in words: `embedded`, the local `stub`, or a server (`openai`)."""
        key = self.environ.get("OPENAI_API_KEY", "")
        return "stub" if key == "stub" else "openai" if key else "embedded"

    def log(self, name: str) -> Path:
        return self.state.path / "logs" / f"{file_name(name)}.log"

    def parts(self) -> list[Part]:
        """Every part in the order of its start."""
        found = [part for part in self._servers() if part.name not in self.existing]
        found.append(self._proxy())
        replicas = [
            part
            for service in [*self.services.values(), *(one.service for one in self.apart.values())]
            for number in range(1, self.addresses.count(service) + 1)
            for part in self.replica(service, number)
        ]
        found += sorted(replicas, key=lambda part: part.kind == "syncer")
        return [*found, self._gateway(), self._dashboard()]

    def _python(
        self,
        name: str,
        module: str,
        arguments: tuple[str, ...],
        env: Mapping[str, str],
        *listeners: socket.socket,
    ) -> Callable[[], Command]:
        fds = [listener.fileno() for listener in listeners]
        env = {**env, "LISTEN_FDS": ",".join(map(str, fds))} if fds else env
        argv = [sys.executable, "-m", module, *arguments]
        command = Command(name, argv, env, self.log(name), None, signal.SIGTERM, signal.SIGKILL, ROOT, fds)
        return lambda: command

    # Servers

    def _servers(self) -> list[Part]:
        return [self._postgres(), *map(self._redis, (self.broker, self.cache)), self._s3()]

    def _postgres(self) -> Part:
        server = self.postgres

        async def prepare(run: Run) -> None:
            try:
                making = server.begin_cluster()
            except OSError as error:
                raise StartError(f"postgres cannot use {self.state.path}: {error.strerror}") from None
            if making is not None:
                await run(making)
                server.end_cluster()

        async def answers() -> str:
            return "" if server.ready() else probe.SILENT

        def another_port() -> None:
            server.port = self.state.port("postgres")

        part = Part("postgres", "server", server.command, answers, f"127.0.0.1:{server.port}", grace=20)
        part.prepare, part.started, part.another_port = prepare, server.adopt, another_port
        return part

    def _redis(self, server: RedisServer) -> Part:
        async def prepare(_: Run) -> None:
            try:
                server.prepare()
            except OSError as error:
                raise StartError(f"{server.name} cannot use {self.state.path}: {error.strerror}") from None

        def another_port() -> None:
            server.port = self.state.port(server.name)
            server.prepare()

        answers = probe.redis(lambda: server.url)
        part = Part(server.name, "server", server.command, answers, f"127.0.0.1:{server.port}")
        part.prepare, part.another_port = prepare, another_port
        return part

    def _s3(self) -> Part:
        listener, port = self.addresses.listeners["s3"], self.addresses.port_of("s3")
        env = self.environments.base() | self.environments.store_keys()
        env |= {"PORT": str(port), "S3_DATA": str(self.state.path / "objects")}
        command = self._python("s3", "emulator.servers.s3.server", (), env, listener)
        part = Part("s3", "server", command, probe.http(port, "/_ready"), f"http://127.0.0.1:{port}")
        part.module = "emulator.servers.s3.server:main"
        return part

    # The network

    def _proxy(self) -> Part:
        port, seed = self.addresses.port_of("proxy"), (str(self.seed),)
        env = self.environments.base() | {"HEALTH_PORT": str(port)}
        listeners = (self.addresses.listeners["proxy"], *self.addresses.links_listen.values())
        command = self._python("proxy", "emulator.network.proxy", seed, env, *listeners)
        part = Part("proxy", "proxy", command, probe.http(port, "/readyz"), f"http://127.0.0.1:{port}", orders=True)
        part.module, part.arguments = "emulator.network.proxy:run", seed
        return part

    def _gateway(self) -> Part:
        listener, url = self.addresses.gateway, self.addresses.gateway_url
        command = self._python("gateway", "emulator.network.gateway", (), self.environments.gateway(), listener)
        ready = probe.http(int(listener.getsockname()[1]), "/_gateway")
        part = Part("gateway", "gateway", command, ready, url, orders=True)
        part.module = "emulator.network.gateway:main"
        return part

    def _dashboard(self) -> Part:
        port = self.addresses.port_of("dashboard")
        listeners = [self.addresses.listeners[name] for name in ("dashboard", "outside", "smtp")]
        command = self._python("dashboard", "emulator.dashboard", (), self.environments.dashboard(), *listeners)
        ready = probe.http(port, "/_emulator/ready")
        part = Part("dashboard", "dashboard", command, ready, f"http://127.0.0.1:{port}")
        part.module = "emulator.dashboard.__main__:main"
        return part

    # Services

    def replica(self, service: Service, number: int) -> list[Part]:
        """What one replica of a service consists of: its process, and a worker's syncer."""
        if service.is_worker:
            return [self._worker(service, number), self._syncer(service, number)]
        return [self._service(service, number)]

    def _service(self, service: Service, number: int) -> Part:
        name = replica_name(service.name, number)
        target = self.apart[service.name].target if service.name in self.apart else service.folder
        port = self.addresses.port_of(name)
        env = self.environments.service(service, name) | {"PORT": str(port)} | self._debug_environment(name)
        listener = self.addresses.listeners[name]
        command = self._python(name, "runtime.http.host", (target,), env, listener)
        part = Part(name, "service", command, probe.http(port, "/readyz"), f"http://127.0.0.1:{port}")
        part.needs, part.grace = ("migrations",), seconds(service.run.grace)
        part.module, part.arguments, part.folder = "runtime.http.host:run", (target,), service.folder
        self._debug(part)
        return part

    def _worker(self, service: Service, number: int) -> Part:
        name = replica_name(service.name, number)
        listener, port = self._health(name)
        env = self.environments.service(service, name, number) | {"HEALTH_PORT": str(port)}
        env |= self._debug_environment(name)
        command = self._python(name, "runtime.delivery.worker", (service.folder,), env, listener)
        part = Part(name, "worker", command, probe.http(port, "/readyz"), f"http://127.0.0.1:{port}")
        part.needs = ("keys", "model") if service.folder == "ai" else ("keys",)
        part.grace = min(seconds(service.run.grace), 20)
        part.module, part.arguments, part.folder = "runtime.delivery.worker:main", (service.folder,), service.folder
        self._debug(part)
        return part

    def _syncer(self, service: Service, number: int) -> Part:
        name = replica_name(f"syncer-{service.short}", number)
        listener, port = self._health(name)
        env = self.environments.service(service, name, number) | {"HEALTH_PORT": str(port)}
        command = self._python(name, "runtime.journal.syncer", (service.folder,), env, listener)
        part = Part(name, "syncer", command, probe.http(port, "/healthz"), f"http://127.0.0.1:{port}")
        part.needs = ("migrations", replica_name(service.name, number))
        part.module, part.arguments, part.folder = "runtime.journal.syncer:main", (service.folder,), service.folder
        return part

    def _health(self, name: str) -> tuple[socket.socket, int]:
        return self.addresses.listeners[f"health-{name}"], self.addresses.port_of(f"health-{name}")

    def _debug_environment(self, name: str) -> dict[str, str]:
        port = self._debug_ports.get(f"debug-{name}")
        return {"ECO2_DEBUG_PORT": str(port)} if port else {}

    def _debug(self, part: Part) -> None:
        part.debug = self._debug_ports.get(f"debug-{part.name}")
        if part.debug:
            # Who is at a breakpoint cannot end by itself.
            part.grace = min(part.grace, 1)
