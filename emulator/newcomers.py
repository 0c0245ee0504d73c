"""Services that come or go while everything runs: schema, role, Redis user, process and route appear by themselves, and leave."""

import asyncio
from collections.abc import Callable

from msgspec import structs

from emulator.fleet import Fleet
from emulator.process import StartError
from emulator.setup import Setup
from emulator.system import System
from runtime import redis_users
from runtime.services import Service, load_readable


class Newcomers:
    """Keeps one emulator's services those of the checkout."""

    def __init__(
        self, system: System, fleet: Fleet, setup: Setup, order: Callable[[], None], say: Callable[[str], None]
    ) -> None:
        """`order` tells the proxy and the gateway what holds now."""
        # Whether the last attempt failed: it is made again with whatever is saved next.
        self.behind = False
        self._system = system
        self._fleet = fleet
        self._setup = setup
        self._order = order
        self._say = say

    async def follow(self) -> set[str]:
        """Begin services that are new and end those that are gone; return the folders of the new ones.

        A service whose service.toml is wrong stays as it is, and is said.

        Raises:
            StartError: a new one's schema or user can't be made.
        """
        self.behind = True
        there, wrong = load_readable()
        known, told = self._system.services, self._system.left_out
        self._system.left_out = wrong
        for folder, error in wrong.items():
            if str(error) != str(told.get(folder, "")):
                self._say(f"not reloaded: {error}; {'it goes on as it was' if folder in known else 'it is left out'}")
        for folder in known.keys() - there.keys() - wrong.keys():
            await self._leave(known[folder])
        for folder in there.keys() & known.keys():
            if structs.replace(known[folder], functions={}) != structs.replace(there[folder], functions={}):
                self._say(
                    f"functions/{folder}/service.toml has changed: it holds after a restart (`eco2 down`, `eco2 up`)"
                )
        new = {folder: service for folder, service in there.items() if folder not in known}
        for service in new.values():
            await self._join(service)
        self.behind = False
        return set(new)

    async def _join(self, service: Service) -> None:
        # Roles, schemas and migrations of all: each is made where it is not there yet.
        await self._setup.prepare()
        await asyncio.to_thread(self._give_users, service)
        self._system.services[service.folder] = service
        self._system.addresses.scale(service, 1)
        self._order()
        keepers = [self._fleet.join(part) for part in self._system.replica(service, 1)]
        await self._fleet.until(lambda: all(keeper.state in ("ready", "failed") for keeper in keepers))
        failed = next((keeper for keeper in keepers if keeper.state == "failed"), None)
        self._say(f"{service.name} is new: {f'it does not start: {failed.error}' if failed else 'it answers'}")

    async def _leave(self, service: Service) -> None:
        del self._system.services[service.folder]
        self._order()
        for keeper in self._fleet.of_service(service.folder):
            await self._fleet.leave(keeper.part.name)
        self._system.addresses.forget(service)
        self._order()
        self._say(f"{service.name} is gone: its schema {service.database.schema} stays until `eco2 reset`")

    def _give_users(self, service: Service) -> None:
        """Its user in each embedded Redis that it uses, and once more those of services that may now send to it."""
        import redis  # here: 9 MB of every emulator, for a service that is new

        for part, server in (("redis-broker", self._system.broker), ("redis-cache", self._system.cache)):
            if part in self._system.existing:
                continue
            everyone = self._system.services | {service.folder: service}
            try:
                with redis.Redis.from_url(server.url, socket_timeout=5) as there:
                    for line in redis_users.lines(server.kind, everyone, [server.password]).splitlines():
                        _, name, *rules = redis_users.words(line)
                        there.execute_command("ACL", "SETUSER", name, "resetpass", *rules)
            except redis.RedisError as error:
                raise StartError(f"{service.name} gets no user in {part}: {error}") from None
