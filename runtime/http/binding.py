"""Gives a Litestar handler what its parameters name, without Litestar's dependency resolution.

Litestar 2.25 resolves each dependency of a request in a task of its own inside an anyio task group: 50 µs for two of them,
as much as all the rest of a small GET. A handler is bound here once, at start, to a function that Litestar calls directly
and that looks up constants in a closure. The handler itself stays a plain Litestar handler: mounted in a bare Litestar app
with providers of the same names it does the same.

The body (`data`) is converted here too. Litestar converts it as if it were a query string: "1" would pass for a number, 0
for false and "null" for null, none of which the OpenAPI document allows.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import inspect
import random
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
from litestar.params import SkipValidationMarker

from runtime.binding import made
from runtime.http import problems
from runtime.http.response import Answering
from shared.errors import BadInput, Busy

if TYPE_CHECKING:
    from litestar.handlers import HTTPRouteHandler

# Parts that are there when the handler is bound, and those that the first request makes: redis is not imported before the
# first answer.
_BOUND = frozenset({"db", "objects", "calls", "hub", "settings"})
_AT_FIRST = frozenset({"broker", "cache"})

# What is made of the request. A provider's own parameters become the bound handler's (query, header), so OpenAPI shows them.
Provider = Callable[..., Any]


def parameters(handler: HTTPRouteHandler) -> set[str]:
    """The names of a handler's parameters, without parts of the service's own."""
    hints = get_type_hints(handler.fn, include_extras=True)
    return {name for name in inspect.signature(handler.fn).parameters if made(hints[name]) is None}


def bind(handler: HTTPRouteHandler, parts: Mapping[Any, Any], providers: Mapping[str, Provider]) -> HTTPRouteHandler:
    """A copy of the handler that takes from `parts` and `providers` what its parameters name, the rest from the request.

    Raises:
        LoadError: it names a part that its service does not use.
    """
    function = handler.fn
    needs = _Needs(function, parts, providers)
    body, steps, constants = needs.body, needs.steps, needs.constants
    kept = frozenset(inspect.signature(function).parameters)

    async def bound(**values: Any) -> Any:
        if body is not None and "data" in values:
            values["data"] = _convert(values["data"], body)
        for name, provider, needs, is_async in steps:
            value = provider(**{need: values[need] for need in needs})
            values[name] = await value if is_async else value
        arguments = {name: value for name, value in values.items() if name in kept} if steps else values
        try:
            return await function(**arguments, **constants)
        except Busy as busy:
            if not busy.undone:
                raise
        # Its transaction collided with another's and was the first that it did: once more, when the other is through.
        await asyncio.sleep(random.uniform(0.01, 0.05))  # noqa: S311 - apart from the other, no secret
        return await function(**arguments, **constants)

    _dress(bound, function, needs)
    result = copy.copy(handler)
    result.__class__ = Answering  # `get` and `post` add nothing to what they are made of
    result.responses = dict(handler.responses or {})
    return result(bound)


class _Needs:
    """What a handler's parameters name.

    Attributes:
        constants: parts that are the same for every request.
        steps: name, provider, what it needs of the others, and whether it is awaited: in their order, for each request.
        wanted: what Litestar gives, the providers' own parameters among it.
        body: the type of `data`; None without.
    """

    def __init__(
        self, function: Callable[..., Any], parts: Mapping[Any, Any], providers: Mapping[str, Provider]
    ) -> None:
        self.constants: dict[str, Any] = {}
        self.steps: list[tuple[str, Provider, tuple[str, ...], bool]] = []
        self.wanted: dict[str, inspect.Parameter] = {}
        self.body: Any = None
        self._providers = providers
        hints = get_type_hints(function, include_extras=True)
        self.answer = hints.get("return")
        for name, parameter in inspect.signature(function).parameters.items():
            own = made(hints[name])
            if name in _BOUND or own is not None:
                self.constants[name] = parts[own or name]
            elif name in _AT_FIRST:
                self.steps.append((name, partial(parts.__getitem__, name), (), False))
            elif name in providers:
                self._provide(name)
            elif name == "data":
                self.body = _plain(hints[name])
                self.wanted[name] = _keyword(parameter, Annotated[hints[name], SkipValidationMarker()])
            else:
                self.wanted[name] = _keyword(parameter, hints[name])

    def _provide(self, name: str) -> None:
        if any(step[0] == name for step in self.steps):
            return
        provider = self._providers[name]
        looked_at = inspect.isfunction(provider) or inspect.ismethod(provider)
        own = inspect.signature(provider).parameters if looked_at else {}
        hints = get_type_hints(provider, include_extras=True) if own else {}
        for parameter in own.values():
            if parameter.name in self._providers:
                self._provide(parameter.name)
            else:
                self.wanted[parameter.name] = _keyword(parameter, hints[parameter.name])
        self.steps.append((name, provider, tuple(own), inspect.iscoroutinefunction(provider)))


def _plain(hint: Any) -> Any:
    """The type alone: msgspec looks a type up by its hash, and that of Litestar's marks costs 60 µs each time."""
    if get_origin(hint) is not Annotated:
        return hint
    kind, *marks = get_args(hint)
    limits = [mark for mark in marks if isinstance(mark, msgspec.Meta)]
    return Annotated[(kind, *limits)] if limits else kind


def _convert(data: Any, wanted: Any) -> Any:
    try:
        return msgspec.convert(data, wanted, str_keys=True)
    except msgspec.ValidationError as error:
        # What nests deeper than Python calls has no integer in a place where one is asked for.
        with contextlib.suppress(msgspec.ValidationError, RecursionError):
            return msgspec.convert(_whole(data), wanted, str_keys=True)
        raise BadInput(errors=[problems.field_error(str(error))]) from None


def _whole(node: Any) -> Any:
    """The same with whole numbers as integers, however they are written: JSON has one kind (JSON Schema 2020-12 §4.2.3)."""
    if isinstance(node, dict):
        return {name: _whole(inner) for name, inner in node.items()}
    if isinstance(node, list):
        return [_whole(inner) for inner in node]
    return int(node) if isinstance(node, float) and node.is_integer() else node


def _keyword(parameter: inspect.Parameter, hint: Any) -> inspect.Parameter:
    return parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hint)


def _dress(bound: Callable[..., Awaitable[Any]], function: Callable[..., Any], needs: _Needs) -> None:
    """Make the bound function look like the handler to whoever inspects it."""
    bound.__name__, bound.__qualname__, bound.__module__ = function.__name__, function.__qualname__, function.__module__
    bound.__doc__ = function.__doc__
    bound.__annotations__ = {name: parameter.annotation for name, parameter in needs.wanted.items()}
    bound.__annotations__["return"] = needs.answer
    signature = inspect.Signature(list(needs.wanted.values()), return_annotation=needs.answer)
    bound.__signature__ = signature  # type: ignore[attr-defined] # what inspect looks at first
