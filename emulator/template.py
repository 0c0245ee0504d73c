"""A process that has imported the heavy libraries once and becomes each service by a fork (`python -m emulator.template`).

Nothing that a fork would break may exist here: no thread, no connection, no event loop. Functions are not imported here
either: a child does that, so that a changed function needs a new child only. Orders come as datagrams on an inherited
socket, with the child's descriptors beside them; children's ends are told on it.
"""

import contextlib
import gc
import importlib
import json
import logging
import os
import selectors
import signal
import socket
import sqlite3
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from emulator.process import die_with, name_process
from runtime import telemetry
from runtime.loader import LoadError, discover
from runtime.services import readable
from shared import identity
from shared.objects import ObjectStore
from shared.settings import Settings

# What every process of the API, worker and syncer kind uses. Onnxruntime and Pillow start threads or are one worker's alone.
WARM = (
    *("runtime.http.lean", "shared.lean_redis", "shared.lean_jwt"),
    *("asyncio", "uvloop", "httptools", "uvicorn", "uvicorn.protocols.http.httptools_impl", "uvicorn.lifespan.on"),
    *(
        "litestar",
        "litestar.handlers",
        "litestar.openapi.plugins",
        "msgspec",
        "psycopg",
        "psycopg_pool",
        "psycopg_binary",
    ),
    *(
        "dramatiq",
        "dramatiq.brokers.stub",
        "httpcore",
        "sqlite3",
        "encodings.idna",  # of which every first look-up of a host makes use
    ),
    *("prometheus_client", "cryptography.hazmat.primitives.asymmetric.ed25519"),
    *(
        "runtime.http.host",
        "runtime.delivery.worker",
        "runtime.journal.syncer",
        "runtime.delivery.relay",
        "runtime.health",
        "runtime.migrate",
    ),
    *("emulator.network.gateway", "emulator.state.folder"),
    *("shared.tasks", "shared.redis", "shared.progress", "shared.objects", "shared.calls"),
)

# As many as the kernel passes at once: the proxy gets a listening socket a link.
_DESCRIPTORS = 253


def main(control: socket.socket | None = None) -> None:
    control = control or socket.socket(fileno=int(os.environ["TEMPLATE_FD"]))
    name_process("template")
    # Collecting during the imports finds no garbage, and frozen objects stay on pages that children share.
    gc.disable()
    warm()
    if threading.active_count() != 1:
        names = ", ".join(thread.name for thread in threading.enumerate())
        sys.exit(f"the template must have one thread, not {names}")
    _tell(control, {"ready": sorted(_own_files())})
    _obey(control)


def warm() -> None:
    """Import and do once what each child would else do anew, in memory of its own; then leave no place for a child's objects
    between ours. Connects nowhere."""
    for name in WARM:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    telemetry.quiet()
    identity.warm()
    sqlite3.connect(":memory:").close()
    _know_postgres()
    _know_s3()
    _know_litestar()
    _know_functions()
    gc.collect()
    _fill_holes()
    gc.freeze()


def _know_postgres() -> None:
    """Compute a password's secret, as each connection does: libpq's OpenSSL loads its algorithms for it (1 MB)."""
    from psycopg import pq

    nowhere = pq.PGconn.connect(b"host=127.0.0.1 port=1")
    nowhere.encrypt_password(b"nothing", b"nobody", b"scram-sha-256")
    nowhere.finish()


def _know_s3() -> None:
    """Make a signature, for which parts of boto3 are imported."""
    ObjectStore(Settings(s3_bucket="none", aws_access_key_id="nobody", aws_secret_access_key="nothing")).warm()  # noqa: S106 - a made-up key that is sent nowhere


def _know_litestar() -> None:
    """Build an application and throw it away: what Litestar, msgspec and the typing module remember of it is 12 MB and a third
    of a second that every service would spend anew."""
    from litestar import get, post
    from litestar.di import Provide
    from litestar.params import FromPath, FromQuery, JSONBody
    from msgspec import Struct

    from runtime.http.lean import Application
    from shared.http import Db, problems

    class Body(Struct):
        text: str
        number: int | None = None

    @get("/{name:str}", sync_to_thread=False)
    def read(name: FromPath[str], limit: FromQuery[int] = 1) -> list[Body]:
        return []

    @post("/", responses=problems())
    async def write(data: JSONBody[Body], db: Db) -> Body:
        return data

    Body.__module__ = __name__
    app = Application(
        [read, write], dependencies={"db": Provide(lambda: None, sync_to_thread=False)}, logging_config=None
    )
    assert app.openapi_schema


def _know_functions() -> None:
    """Read what each file says it is, without importing any: a child looks again where one has changed since."""
    with contextlib.suppress(LoadError, OSError):  # the child that meets it says so
        for service in readable().values():
            discover(service)


_places: list[object] = []
# CPython's pools of places of one size, and what they begin with; and where it has none such, so many places at most.
_POOL, _HEAD, _MOST_HOLES = 1 << 14, 48, 4000


def _fill_holes() -> None:
    """Take the free places that the imports left between their objects, for good: else each child's first objects would lie in
    them, and for a few bytes each the child would have a whole page of its own (2 MB a child)."""
    _fill(16, object)
    # Python gives objects up to 512 bytes places of the next multiple of 16.
    for size in range(32, 513, 16):
        _fill(size, partial(bytes, size - 33) if size > 32 else partial(float, "1.5"))


def _fill(size: int, make: Callable[[], object]) -> None:
    """Take free places of a size until a pool (16 KB) that is new is filled to its half."""
    row = last = 0
    for _ in range(_MOST_HOLES):
        _places.append(one := make())
        row = row + 1 if id(one) == last + size else int(id(one) % _POOL == _HEAD)
        last = id(one)
        if row * size > _POOL // 2:
            return


def _own_files() -> list[str]:
    """The checkout's own files that are imported here: a change in one needs a new template."""
    files = (getattr(module, "__file__", None) for name, module in sys.modules.items())
    return [file for file in files if file and "site-packages" not in file and "/lib/python" not in file]


def _obey(control: socket.socket) -> None:
    read, write = socket.socketpair()
    for end in (read, write):
        end.setblocking(False)
    signal.set_wakeup_fd(write.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    waiting = selectors.DefaultSelector()
    waiting.register(control, selectors.EVENT_READ)
    waiting.register(read, selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            if key.fileobj is read:
                with contextlib.suppress(BlockingIOError):
                    read.recv(4096)
                _reap(control)
                continue
            message, descriptors, _, _ = socket.recv_fds(control, 1 << 17, _DESCRIPTORS)
            if not message:
                return  # the emulator has gone
            order = json.loads(message)
            if order.get("end"):
                return
            order["parent"] = os.getpid()
            pid = os.fork()
            if pid == 0:
                waiting.close()
                for end in (read, write, control):
                    end.close()
                _become(order, descriptors)
            _tell(control, {"forked": order["id"], "pid": pid})
            for descriptor in descriptors:
                os.close(descriptor)


def _reap(control: socket.socket) -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            _tell(control, {"exited": pid, "code": os.waitstatus_to_exitcode(status)})


def _tell(control: socket.socket, message: dict[str, Any]) -> None:
    control.send(json.dumps(message).encode())


def _become(order: dict[str, Any], descriptors: list[int]) -> NoReturn:
    """Be the part: its environment, its log, its descriptors, as if it had been started by exec."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        os.setsid()
        die_with(order["parent"], order["death_signal"])
        name_process(order["name"])
        log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        null = os.open(os.devnull, os.O_RDONLY)
        given = list(zip(order["descriptors"], descriptors, strict=True))
        os.dup2(dict(given).get("stdin", null), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.clear()
        os.environ.update(order["env"])
        if listeners := [str(descriptor) for what, descriptor in given if what == "listener"]:
            os.environ["LISTEN_FDS"] = ",".join(listeners)
        os.chdir(order["cwd"])
        sys.argv = [order["module"], *order["arguments"]]
        gc.enable()
        if "ECO2_DEBUG_PORT" in os.environ:
            _listen_for_debugger(int(os.environ["ECO2_DEBUG_PORT"]))
        module, _, name = order["module"].partition(":")
        function = getattr(importlib.import_module(module), name)
        answer = function(order["arguments"]) if order["arguments"] else function()
        code = answer if isinstance(answer, int) else 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:  # noqa: BLE001 - the process's outermost place
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _listen_for_debugger(port: int) -> None:
    """Serve the debug adapter protocol on this loopback port from a thread; no one is waited for. SystemExit when the port is
    taken."""
    with socket.socket() as probe:
        # As debugpy does later in its thread, where no one would hear of a failure.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            sys.exit(f"error: debug port {port}: {(error.strerror or 'unusable').lower()}")
    # Breakpoints in the standard library's frozen modules may be missed; a warning at each start helps no one.
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    import debugpy

    # Not as a program of its own, which is debugpy's default: that one leaves the session and would outlive a killed part.
    debugpy.listen(("127.0.0.1", port), in_process_debug_adapter=True)


if __name__ == "__main__":
    main()
