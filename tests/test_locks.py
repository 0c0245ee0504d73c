"""What is locked can be installed on every machine that we name, without a compiler."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.tags import compatible_tags, cpython_tags

ROOT = Path(__file__).parents[1]
PYTHONS = ((3, 11), (3, 12), (3, 13), (3, 14))
PROCESSORS = ("x86_64", "aarch64")
# Debian 12's glibc.
NEWEST_GLIBC = 36


def locked() -> dict[str, str]:
    """Each `name==version` of the two locks that `make install` uses, with its marker."""
    found = {}
    for name in ("dev.txt", "uv.txt"):
        for line in (ROOT / "locks" / name).read_text().splitlines():
            if match := re.match(r"([a-z0-9][^ =]*==[^ ]+)(?: ; ([^\\]+?))? *\\?$", line):
                found[match[1]] = match[2] or ""
    return found


def wheels() -> dict[str, set[str]]:
    lines = (ROOT / "locks" / "wheels.txt").read_text().splitlines()
    return {line.split()[0]: set(line.split()[1:]) for line in lines}


def accepted(python: tuple[int, int], processor: str) -> set[str]:
    """The tags of the wheels that such a machine installs."""
    places = [f"manylinux_2_{glibc}_{processor}" for glibc in range(5, NEWEST_GLIBC + 1)]
    places += [f"{old}_{processor}" for old in ("manylinux1", "manylinux2010", "manylinux2014", "linux")]
    return {
        *map(str, cpython_tags(python, platforms=places)),
        *map(str, compatible_tags(python, f"cp{python[0]}{python[1]}", places)),
    }


def wanted_on(python: tuple[int, int], processor: str) -> Iterator[str]:
    environment = {
        "python_version": f"{python[0]}.{python[1]}",
        "python_full_version": f"{python[0]}.{python[1]}.1",
        "platform_machine": processor,
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    for package, marker in locked().items():
        if not marker or Marker(marker).evaluate(environment):
            yield package


def test_the_table_of_wheels_is_that_of_the_locks() -> None:
    assert wheels().keys() == locked().keys(), "`make lock` writes both"


@pytest.mark.parametrize("processor", PROCESSORS)
@pytest.mark.parametrize("python", PYTHONS, ids=lambda python: f"{python[0]}.{python[1]}")
def test_every_locked_package_has_a_wheel_or_is_pure(python: tuple[int, int], processor: str) -> None:
    fit, known = accepted(python, processor), wheels()
    chosen = list(wanted_on(python, processor))
    assert len(chosen) > 100
    assert [package for package in chosen if not known[package] & fit] == []


def test_a_package_without_a_wheel_would_be_noticed() -> None:
    assert not {"cp312-cp312-manylinux2014_x86_64"} & accepted((3, 13), "x86_64")
    assert {"cp311-abi3-manylinux_2_28_aarch64"} & accepted((3, 14), "aarch64")


@pytest.mark.parametrize("lock", sorted((ROOT / "locks").iterdir()), ids=lambda lock: lock.name)
def test_a_lock_names_no_index(lock: Path) -> None:
    assert "://" not in lock.read_text()
