"""Which wheels the locked versions have, without any address: `python -m tests.wheels pylock.toml > locks/wheels.txt`.

A lock of hashes does not say whether a version can be installed without a compiler; this table beside it does, so that
tests/test_locks.py can ask for every Python and processor without asking the network.
"""

import re
import sys
import tomllib
from pathlib import Path

from packaging.tags import Tag
from packaging.utils import parse_wheel_filename

# The tags that matter here: Linux with glibc on the two processors, and what is for every machine.
_OURS = re.compile(r"any|manylinux.*_(x86_64|aarch64)")


def table(pylock: str) -> list[str]:
    """A line a package: `name==version`, then the tags of its wheels."""
    lines = []
    for package in tomllib.loads(pylock)["packages"]:
        names = [wheel["url"].rpartition("/")[2] for wheel in package.get("wheels", ())]
        tags = {tag for name in names for tag in parse_wheel_filename(name)[3] if _is_ours(tag)}
        lines.append(" ".join([f"{package['name']}=={package['version']}", *sorted(map(str, tags))]))
    return lines


def _is_ours(tag: Tag) -> bool:
    return bool(_OURS.fullmatch(tag.platform)) and not tag.abi.endswith("t") and not tag.interpreter.startswith("pp")


if __name__ == "__main__":
    print("\n".join(table(Path(sys.argv[1]).read_text())))
