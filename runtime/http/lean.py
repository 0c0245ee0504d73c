"""Litestar without what it brings along where it happens to be installed."""

from litestar import Litestar
from litestar.plugins import PluginProtocol
from litestar.plugins.core import MsgspecDIPlugin


class Application(Litestar):
    """A Litestar application for msgspec alone.

    Litestar (2.25) imports pydantic and attrs wherever they are installed, 7 MB of each process, to describe models that no
    function of ours has. A pod has neither; a developer's machine has both.
    """

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return [*plugins, MsgspecDIPlugin()]
