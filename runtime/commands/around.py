"""Where a command finds its settings: the environment, or the emulator that runs in this checkout."""

import importlib
import os
from collections.abc import Mapping

from runtime.services import Service


def around(service: Service) -> Mapping[str, str]:
    """The environment, completed by the running emulator's for this service where the database's address is not set."""
    if os.environ.get(service.database.env):
        return os.environ
    # By name: the runtime imports nothing of the emulator's, and in a pod there is none.
    try:
        running = importlib.import_module("emulator.running")
    except ModuleNotFoundError:
        return os.environ
    found: dict[str, str] = running.environment(service.folder)
    return found | dict(os.environ)


def take(name: str) -> None:
    """Make the emulator's settings for a service this process's own, for a program that reads `os.environ`.

    Raises:
        ServiceError: there is no such service, or neither settings nor an emulator.
    """
    from runtime.services import ServiceError, find

    service = find(name)
    found = around(service)
    if not found.get(service.database.env):
        raise ServiceError(f"{service.database.env} is not set, and nothing runs here (`eco2 up` starts it)")
    os.environ.update(found)
