"""One function of a service as a part of its own, as `deployment = true` in its service.toml makes it in the cluster: the front
door sends its method and path there, everything else to its service."""

import re

from msgspec import Struct, structs

from emulator.process import CalledWrongly
from runtime.services import Service, ServiceError, find, suggestion


class Apart(Struct, frozen=True):
    """`service` is the function's, under the part's name; `target` what a host is told to serve, as `waste/get_stats`; `path` a
    regular expression."""

    service: Service
    target: str
    method: str
    path: str


def apart(wanted: str, services: dict[str, Service]) -> Apart:
    """The HTTP function of that name, as `waste/get_stats`. CalledWrongly with the near one."""
    from runtime.loader import discover  # only where one is wanted: it reads every file of the service

    folder, _, name = wanted.partition("/")
    try:
        service = find(folder, services)
    except ServiceError as error:
        raise CalledWrongly(str(error)) from None
    functions = {function.name: function for function in discover(service) if function.trigger == "http"}
    if name not in functions:
        raise CalledWrongly(f"{service.folder} has no HTTP function {name}{suggestion(name, functions)}")
    method, _, path = functions[name].where.partition(" ")
    own = f"{service.name}-{name.replace('_', '-')}"  # as in the cluster
    pattern = re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(path))
    return Apart(structs.replace(service, name=own), f"{service.folder}/{name}", method, pattern)
