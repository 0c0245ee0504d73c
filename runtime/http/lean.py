"""Litestar and uvicorn without what they bring along; whoever imports either imports this first."""

from typing import Any

from shared.unneeded import without

# A debugger, a format that no document of ours has, a command line, templates, and how else logs may be set up: 6 MB and 35 ms
# of each process' start.
with without("pdb", "yaml", "uvicorn.main", "html", "logging.config"):
    import litestar.exceptions.responses  # noqa: F401 - its page about errors would import templates, and no one sees it
    import uvicorn.server
    from litestar import Litestar, Router
    from litestar.plugins import PluginProtocol
    from litestar.plugins.core import MsgspecDIPlugin

# The package itself names it, out of the module that was left out.
uvicorn.Server = uvicorn.server.Server  # type: ignore[misc] # a class by its other name


class Application(Litestar):
    """A Litestar application for msgspec alone.

    Litestar (2.25) imports pydantic and attrs wherever they are installed, 7 MB of each process, to describe models that no
    function of ours has. A pod has neither; a developer's machine has both.
    """

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return [*plugins, MsgspecDIPlugin()]

    def _validate_registration_value(self, value: Any) -> Any:
        """Take a router as it is: each is made for one application.

        Litestar copies it deeply, with all that its handlers hold: a fifth of an application's making.
        """
        if isinstance(value, Router):
            value.owner = self
            return value
        return super()._validate_registration_value(value)
