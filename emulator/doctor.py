"""What on this machine would keep the system from starting or from working, each finding with its remedy: `eco2 doctor`."""

import locale
import os
import resource
import shutil
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Literal

from msgspec import Struct
from packaging.requirements import Requirement

from emulator import control
from emulator.addresses import GATEWAY_PORT
from emulator.existing import Existing
from emulator.process import StartError, free_port
from emulator.screen import missing
from emulator.state.folder import State
from runtime.services import ROOT, ServiceError, load_services

OLDEST, NEWEST = (3, 11), (3, 14)
MB = 1 << 20
# What a system of one day takes, and what PostgreSQL's journal alone may take before it is written back.
_DISK, _DISK_AT_LEAST = 2048, 400
# The idle system takes 450 MB; the photographs that workers decode come to it.
_MEMORY, _MEMORY_AT_LEAST = 1024, 500
_FILES, _WATCHES = 1024, 4096


class Finding(Struct, frozen=True):
    """What was looked at, what was found, how bad it is, and what to do (empty where nothing is)."""

    about: str
    level: Literal["ok", "note", "wrong"]
    found: str
    remedy: str = ""


def examine(state: State, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Every finding about this machine, the checkout and one state folder, in the order in which they matter."""
    yield python(sys.version_info[:3], Path(sys.prefix))
    yield versions(lock_of(ROOT))
    yield services()
    yield disk(state.path)
    yield memory()
    yield files()
    yield watches()
    yield letters()
    yield folder(state)
    yield from running(state)
    yield ports(state)
    yield leftovers([state, *named()])
    yield existing(environ)


def python(version: tuple[int, ...], prefix: Path) -> Finding:
    """The interpreter, and whether it is the checkout's own."""
    said = f"{'.'.join(map(str, version))} in {prefix}"
    if version < OLDEST:
        return Finding("Python", "wrong", f"{said} is too old", "`make PYTHON=python3.13 install`")
    if version[:2] > NEWEST:
        return Finding(
            "Python", "note", f"{said} is newer than the locked wheels", "`make PYTHON=python3.14 install` if one lacks"
        )
    if prefix.resolve() != (ROOT / ".venv").resolve():
        return Finding("Python", "note", f"{said} is not the checkout's", "run `.venv/bin/eco2` or `make install`")
    return Finding("Python", "ok", said)


def lock_of(root: Path) -> Path:
    """The lock file that this environment was made from: of the system alone, or with tests and checks."""
    return root / "locks" / ("dev.txt" if (root / ".venv" / "installed").exists() else "up.txt")


def versions(lock: Path) -> Finding:
    """Whether each locked package is installed in its locked version."""
    about, remedy = "packages", "`make install` brings the locked versions"
    if not lock.exists():
        return Finding(about, "wrong", f"there is no {lock}", "put the file back: `git checkout locks`")
    wrong, count = [], 0
    for line in lock.read_text(encoding="utf-8").splitlines():
        if "==" not in line or line.startswith((" ", "#")):
            continue
        wanted = Requirement(line.removesuffix("\\").strip())
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        count += 1
        try:
            found = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{wanted.name} is missing")
            continue
        if not wanted.specifier.contains(found, prereleases=True):
            wrong.append(f"{wanted.name} is {found}, locked {str(wanted.specifier).removeprefix('==')}")
    if wrong:
        more = f" and {len(wrong) - 4} more" if len(wrong) > 4 else ""
        return Finding(about, "wrong", f"{'; '.join(wrong[:4])}{more}", remedy)
    return Finding(about, "ok", f"{count} as in locks/{lock.name}")


def services() -> Finding:
    """Whether every service.toml can be read."""
    try:
        return Finding("services", "ok", f"{len(load_services())} service.toml files")
    except ServiceError as error:
        return Finding("services", "wrong", str(error), "mend that field")


def disk(folder: Path) -> Finding:
    """Free space and file names where the state is kept."""
    place = folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free // MB
    names = os.statvfs(place)
    said = f"{free} MB free for {folder}"
    remedy = "free some, or `eco2 up --state DIR` on another disk"
    if names.f_files and not names.f_favail:
        return Finding("disk", "wrong", f"no file can be made in {place}: it has no inode left", remedy)
    level: Literal["ok", "note", "wrong"] = "wrong" if free < _DISK_AT_LEAST else "note" if free < _DISK else "ok"
    return Finding("disk", level, said, "" if level == "ok" else remedy)


def memory() -> Finding:
    """What processes can still get: the machine's, or less where a container has a limit."""
    left = _available()
    if left is None:
        return Finding("memory", "note", "unknown on this system")
    level: Literal["ok", "note", "wrong"] = "wrong" if left < _MEMORY_AT_LEAST else "note" if left < _MEMORY else "ok"
    remedy = "" if level == "ok" else "end other programs, or give the container 2 GB"
    return Finding("memory", level, f"{left} MB available", remedy)


def _available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    left = next((int(line.split()[1]) // 1024 for line in lines if line.startswith("MemAvailable:")), None)
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = (group / "memory.max").read_text().strip(), int((group / "memory.current").read_text())
    except (OSError, ValueError):
        return left
    return left if limit == "max" or left is None else min(left, (int(limit) - used) // MB)


def files() -> Finding:
    """How many files and connections a process may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _FILES:
        raised = f"`ulimit -n {_FILES}`" if hard == resource.RLIM_INFINITY or hard >= _FILES else "limits.conf (nofile)"
        return Finding("open files", "wrong", f"{soft} a process: event streams need {_FILES}", f"raise it: {raised}")
    return Finding("open files", "ok", "no limit" if soft == resource.RLIM_INFINITY else f"{soft} a process")


def watches() -> Finding:
    """Whether saved files can be noticed without looking all the time."""
    place = Path("/proc/sys/fs/inotify/max_user_watches")
    try:
        count = int(place.read_text())
    except (OSError, ValueError):
        return Finding("reload", "note", "no inotify here: saved files are looked for five times a second")
    if count < _WATCHES:
        remedy = "`sysctl fs.inotify.max_user_watches=65536`"
        return Finding("reload", "note", f"{count} folders can be watched; a saved file may go unseen", remedy)
    return Finding("reload", "ok", "saved files are noticed (inotify)")


def letters() -> Finding:
    """Whether this terminal's locale exists and has Korean letters."""
    kept = locale.setlocale(locale.LC_CTYPE)
    remedy = "`export LC_ALL=C.UTF-8`"
    try:
        locale.setlocale(locale.LC_CTYPE, "")
        encoding = locale.nl_langinfo(locale.CODESET)
    except locale.Error:
        named = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG")
        return Finding("locale", "note", f"this machine has no locale {named}", remedy)
    finally:
        locale.setlocale(locale.LC_CTYPE, kept)
    if encoding.upper().replace("-", "") != "UTF8":
        return Finding("locale", "note", f"{encoding} has no Korean letters: they are shown as \\u codes", remedy)
    return Finding("locale", "ok", encoding)


def folder(state: State) -> Finding:
    """Whether the state folder can be used and is whole."""
    about, anew = "state", "`eco2 snapshot restore NAME`, or `eco2 reset` begins anew"
    if not state.path.exists():
        return Finding(about, "ok", f"{state.path} is not there yet: `eco2 up` makes it")
    if not os.access(state.path, os.W_OK | os.X_OK):
        return Finding(about, "wrong", f"{state.path} cannot be written", "change its owner, or `--state DIR`")
    cluster = state.path / "postgres"
    if cluster.is_symlink() and not cluster.exists():
        return Finding(about, "wrong", f"{cluster} points to a folder that is gone", anew)
    if not state.secrets_are_sound():
        return Finding(about, "wrong", f"{state.path / 'secrets.json'} is damaged", "put it back, or `eco2 up`")
    return Finding(about, "ok", str(state.path))


def running(state: State) -> Iterator[Finding]:
    """Whether a system runs on the folder, and which of its parts are not ready."""
    try:
        about = control.ask(state, "status", look=True)["about"]
    except control.NotRunning:
        holder = state.holder()
        if holder is None:
            yield Finding("system", "ok", "nothing runs on this state")
        else:
            remedy = f"wait a moment; if it stays so, `kill {holder}`" if holder else "wait a moment"
            yield Finding("system", "note", f"an emulator (pid {holder or 'unknown'}) holds the folder", remedy)
        return
    except StartError as error:
        yield Finding("system", "wrong", str(error), "`eco2 down`, then `eco2 up`")
        return
    away = missing(about)
    if not away:
        yield Finding("system", "ok", f"runs at {about['gateway']}, every part is ready")
    for part in away:
        why = f": {part['error']}" if part.get("error") else ""
        yield Finding("system", "wrong", f"{part['name']} is {part['state']}{why}", f"`eco2 logs {part['name']}`")


def ports(state: State) -> Finding:
    """Whether the gateway gets the address that it had, and whether there are ports at all."""
    try:
        free_port()
    except StartError as error:
        return Finding("ports", "wrong", str(error), "end programs that listen, or restart the machine")
    if state.holder() is not None:
        return Finding("ports", "ok", "held by the running system")
    wanted = (state.read_json("ports.json", dict[str, int]) or {}).get("gateway", GATEWAY_PORT)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            remedy = f"end the program that listens there (`ss -ltnp 'sport = :{wanted}'`), or use the next one"
            return Finding("ports", "note", f"{wanted}, the gateway's, is taken", remedy)
    return Finding("ports", "ok", f"{wanted} is free for the gateway")


def named() -> list[State]:
    """The states of the emulators that run beside the default one."""
    places = ROOT / ".eco2" / "named"
    return [State(place) for place in sorted(places.iterdir())] if places.is_dir() else []


def leftovers(states: Iterable[State]) -> Finding:
    """Processes that still write logs of a system that runs no more."""
    idle = {state.path / "logs" for state in states if state.holder() is None}
    left = [(pid, name) for pid, log, name in _writers() if log.parent in idle]
    if not left:
        return Finding("leftovers", "ok", "no process of an earlier system")
    said = ", ".join(f"{name} (pid {pid})" for pid, name in left[:6])
    return Finding(
        "leftovers", "wrong", said, f"`kill {' '.join(str(pid) for pid, _ in left)}`; `eco2 up` ends them too"
    )


def _writers() -> Iterator[tuple[int, Path, str]]:
    """Every process whose output is a file, with that file and the process's name. None where there is no /proc."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            log = (place / "fd" / "1").readlink()
            if log.suffix == ".log":
                yield int(place.name), log, (place / "comm").read_text().strip()
        except OSError:  # another user's, or gone meanwhile
            continue


def existing(environ: Mapping[str, str]) -> Finding:
    """Whether servers of one's own, where the shell names any, can be used."""
    try:
        own = Existing.of(environ)
        own.check()
    except StartError as error:
        return Finding("own servers", "wrong", str(error), "unset the variable, or mend what the line says")
    said = ", ".join(sorted(own.urls)) if own.urls else "none: the embedded ones are used"
    return Finding("own servers", "ok", said)
