"""Who listens where, and who reaches whom through which link of the proxy."""

import socket
from collections.abc import Container, Iterator, Mapping

from emulator.existing import Existing
from emulator.network.links import Link, Place
from emulator.part import replica_name
from emulator.process import StartError
from emulator.servers.postgres import Postgres
from emulator.servers.redis import RedisServer
from emulator.state.folder import State
from runtime.services import Service

GATEWAY_PORT = 8000
_ATTEMPTS = 7
# Our own programs of which there is one.
_ALWAYS = ("s3", "proxy", "dashboard", "outside", "smtp")
_USES = {"postgres": "postgres", "broker": "redis-broker", "cache": "redis-cache", "objects": "s3"}


class Addresses:
    """The ports of one emulator: kept from run to run, free when it starts."""

    def __init__(
        self,
        state: State,
        services: Mapping[str, Service],
        existing: Existing,
        servers: tuple[Postgres, RedisServer, RedisServer],
        counts: Mapping[str, int],
        gateway: int | None,
    ) -> None:
        """`counts` are the replicas of services that have more than one, by the service's name; `gateway` the port asked for."""
        self._state = state
        self._services = services
        self._existing = existing
        self._counts = dict(counts)
        # Functions that run as parts of their own, each as a service of the part's name.
        self._apart: dict[str, Service] = {}
        self._postgres, self._broker, self._cache = servers
        # First of all: the others are chosen among what is left.
        self.gateway = self._open_gateway(gateway)
        # All at once: to remember a port is a write that waits for the disk, and there are some eighty.
        state.ports(
            dict.fromkeys([*_ALWAYS, *self._of_replicas(), *(server.name for server in servers), *self._pairs()])
        )
        # Listening sockets of our own programs and of the proxy's links: connections wait in them while a process starts anew,
        # and no one else can take their ports meanwhile.
        self.listeners = {name: self._listen(name) for name in [*_ALWAYS, *self._of_replicas()]}
        for server in servers:
            server.port = state.port(server.name)
        self.links_listen = {pair: self._listen(pair) for pair in self._pairs()}
        self._link_ports = {pair: int(link.getsockname()[1]) for pair, link in self.links_listen.items()}

    def add_apart(self, service: Service) -> None:
        """Count a function's own part from now on, of which there is none yet."""
        self._apart[service.name] = service
        self._counts.setdefault(service.name, 0)

    def _all(self) -> Iterator[Service]:
        yield from self._services.values()
        yield from self._apart.values()

    def _replicas(self, *kinds: str) -> Iterator[str]:
        """The names of all replicas of services, workers or syncers."""
        for service in self._all():
            for number in range(1, self.count(service) + 1):
                if (service.is_worker and "worker" in kinds) or (not service.is_worker and "service" in kinds):
                    yield replica_name(service.name, number)
                if service.is_worker and "syncer" in kinds:
                    yield replica_name(f"syncer-{service.short}", number)

    def count(self, service: Service) -> int:
        """How many replicas of a service there are to be."""
        return self._counts.get(service.name, 1)

    def scale(self, service: Service, count: int) -> None:
        """Have so many replicas of a service from now on; what is new gets its ports."""
        self._counts[service.name] = count
        wanted = {*_ALWAYS, *self._of_replicas()}
        for name in wanted - self.listeners.keys():
            self.listeners[name] = self._listen(name)
        for name in self.listeners.keys() - wanted:  # else a connection would wait in it for no one
            self.listeners.pop(name).close()
        new = [pair for pair in self._pairs() if pair not in self._link_ports]
        self._link_ports |= self._state.ports(dict.fromkeys(new))

    def forget(self, service: Service) -> None:
        """A service that is gone has no replica, no listener and no link any more."""
        self.scale(service, 0)
        del self._counts[service.name]

    def _of_replicas(self) -> list[str]:
        """What listens of all replicas: a service itself, a worker and a syncer to say how they are."""
        return [*self._replicas("service"), *(f"health-{name}" for name in self._replicas("worker", "syncer"))]

    def _listen(self, name: str) -> socket.socket:
        for _ in range(_ATTEMPTS):
            try:
                return listen(self._state.port(name))
            except OSError:  # somebody was faster by a moment
                continue
        raise StartError("no free port on 127.0.0.1")

    def _open_gateway(self, wanted: int | None) -> socket.socket:
        """Listen on the port asked for or nothing; without one on the last run's, 8000, or the next that is free."""
        if wanted:
            try:
                return listen(wanted)
            except OSError as error:
                why = (error.strerror or "unusable").lower()
                raise StartError(
                    f"port {wanted} for the gateway: {why}; take another, or none for the next free one"
                ) from None
        kept = (self._state.read_json("ports.json", dict[str, int]) or {}).get("gateway")
        for port in [*([kept] if kept else []), *range(GATEWAY_PORT, GATEWAY_PORT + 100)]:
            try:
                gateway = listen(port)
            except OSError:
                continue
            ports = self._state.read_json("ports.json", dict[str, int]) or {}
            self._state.write_json("ports.json", ports | {"gateway": port})
            return gateway
        raise StartError(f"no free port for the gateway from {GATEWAY_PORT} on")

    def close(self) -> None:
        for listener in [*self.listeners.values(), *self.links_listen.values(), self.gateway]:
            listener.close()

    @property
    def gateway_url(self) -> str:
        return f"http://127.0.0.1:{self.gateway.getsockname()[1]}"

    # Links

    def _pairs(self) -> list[str]:
        """Every connection between two parts, as `source>target`: a source is a replica, a target all replicas."""
        pairs = []
        there = {service.name for service in self._all()}
        for service in self._all():
            for number in range(1, self.count(service) + 1):
                source = replica_name(service.name, number)
                pairs += [f"{source}>{_USES[use]}" for use in service.uses]
                # One that is gone may still be called.
                pairs += [f"{source}>{callee}" for callee in service.calls if callee in there]
                if service.is_worker:
                    pairs.append(f"{replica_name(f'syncer-{service.short}', number)}>postgres")
            if not service.is_worker and self.count(service):
                pairs.append(f"gateway>{service.name}")
        return [*pairs, "gateway>s3"]

    def links(self, away: Container[str] = ()) -> list[Link]:
        """What the proxy should be between: with replicas that are `away` left out, unless all are. Servers of the developer's
        own are reached directly."""
        found = []
        for pair in self._pairs():
            source, _, target = pair.partition(">")
            if target not in self._existing:
                names = [name for name in self._replicas("service") if name.partition("/")[0] == target] or [target]
                there = [name for name in names if name not in away] or names
                places = tuple(Place(name, self.port_of(name)) for name in there)
                found.append(Link(source, target, self._link_ports[pair], places))
        return found

    def port_of(self, target: str) -> int:
        """Where a part listens itself."""
        if target in self.listeners:
            return int(self.listeners[target].getsockname()[1])
        return {server.name: server.port for server in (self._postgres, self._broker, self._cache)}[target]

    def _reach(self, target: str, source: str | None) -> int:
        """The port by which `source` reaches a part: its link's, or the part's own for a person (None)."""
        return self._link_ports.get(f"{source}>{target}") or self.port_of(target)

    # Addresses

    def dsn(self, role: str, search_path: str, source: str | None = None) -> str:
        """A role's connection string, through the proxy for a part (`source`), else direct."""
        if "postgres" in self._existing:
            return self._existing.dsn(role, self._state.secret(role), search_path)
        direct = self._postgres.dsn(role, search_path=search_path)
        return _on(self._reach("postgres", source), direct, self._postgres.port)

    def redis(self, target: str, source: str | None = None, service: Service | None = None) -> str:
        """The URL of redis-broker or redis-cache, for a service as its own user; a developer's own server has one for all."""
        if target in self._existing:
            return self._existing.urls[target]
        server = self._broker if target == "redis-broker" else self._cache
        return _on(self._reach(target, source), server.service_url(service) if service else server.url, server.port)

    def s3(self, source: str | None = None) -> str:
        return self._existing.urls.get("s3") or f"http://127.0.0.1:{self._reach('s3', source)}"

    def service(self, name: str, source: str | None = None) -> str:
        return f"http://127.0.0.1:{self._reach(name, source)}"


def _on(port: int, url: str, own: int) -> str:
    return url.replace(f"127.0.0.1:{own}", f"127.0.0.1:{port}")


def listen(port: int) -> socket.socket:
    """A listening socket that the emulator keeps. OSError when the port is taken."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(4096)
    except OSError:
        listener.close()
        raise
    return listener
