"""What is imported without what no process of ours uses."""

import importlib
import json.tool
import sys

from shared.unneeded import without


def test_only_what_is_not_there_yet_is_left_out_and_only_meanwhile() -> None:
    there, unneeded = "json.tool", "this.is.nowhere"
    with without(there, unneeded):
        assert sys.modules[there] is json.tool
        assert importlib.import_module(unneeded).whatever is None
    assert sys.modules[there] is json.tool
    assert unneeded not in sys.modules
