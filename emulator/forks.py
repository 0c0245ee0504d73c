"""The supervisor's side of the template: children by fork that look like processes started by exec."""

import asyncio
import contextlib
import errno
import json
import os
import signal
import socket
import subprocess

from emulator.early import Early
from emulator.pipe import OrderPipe
from emulator.process import Command, StartError, spawn
from runtime.services import ROOT

# Seconds for the template to import what it holds, or to make a child.
_PATIENCE = 30.0


class Forked:
    """A child of the template, with what the supervisor uses of subprocess.Popen."""

    def __init__(self, pid: int, orders: OrderPipe | None) -> None:
        self.pid = pid
        self.orders = orders
        self.returncode: int | None = None
        self.ended = asyncio.Event()

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def end(self, code: int) -> None:
        self.returncode = code
        self.ended.set()
        if self.orders is not None:
            self.orders.close()


Process = subprocess.Popen[bytes] | Forked


async def exited(process: Process) -> None:
    """Return when the process has ended (and is reaped)."""
    if process.poll() is not None:
        return
    if isinstance(process, Forked):
        await process.ended.wait()
        return
    if not hasattr(os, "pidfd_open"):
        while process.poll() is None:  # noqa: ASYNC110 - macOS has nothing to wait on
            await asyncio.sleep(0.05)
        return
    try:
        file = os.pidfd_open(process.pid)
    except ProcessLookupError:
        process.wait()
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(file, ended.set)
    try:
        await ended.wait()
        process.wait()
    finally:
        loop.remove_reader(file)
        os.close(file)


def _ended() -> OSError:
    return OSError(errno.EPIPE, "it ended; see its log")


class Template:
    """One template process. Children die with it."""

    def __init__(self, command: Command, early: Early | None = None) -> None:
        """`command` is `python -m emulator.template` with its environment and log; `early` waits to become it."""
        self.command = command
        self._early = early
        self.files: set[str] = set()
        self.ready = asyncio.Event()
        self.gone = asyncio.Event()
        self.children: dict[int, Forked] = {}
        self.ended_unheard: dict[int, int] = {}  # ended before we heard of their birth
        self.births: dict[int, asyncio.Future[int]] = {}
        self.count = 0
        self.process: subprocess.Popen[bytes] | Early | None = None
        self.socket: socket.socket | None = None

    def start(self) -> None:
        self.socket = self._begin() if self._early else self._exec()
        self.socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self.socket, self._hear)

    def _begin(self) -> socket.socket:
        assert self._early is not None
        try:
            self._early.begin(self.command)
        except OSError:  # it was killed meanwhile
            return self._exec()
        self.process = self._early
        return self._early.socket

    def _exec(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        env = {**self.command.env, "TEMPLATE_FD": str(theirs.fileno())}
        changed = Command(
            self.command.name, self.command.argv, env, self.command.log, cwd=ROOT, pass_fds=(theirs.fileno(),)
        )
        try:
            self.process = spawn(changed)
        finally:
            theirs.close()
        return ours

    def _hear(self) -> None:
        assert self.socket is not None
        try:
            message = self.socket.recv(1 << 17)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if not message:
            self._lost()
            return
        heard = json.loads(message)
        if "ready" in heard:
            self.files = set(heard["ready"])
            self.ready.set()
        elif "forked" in heard:
            birth = self.births.pop(heard["forked"], None)
            if birth is not None and not birth.done():
                birth.set_result(heard["pid"])
        elif "exited" in heard:
            child = self.children.pop(heard["exited"], None)
            if child is not None:
                child.end(heard["code"])
            else:
                self.ended_unheard[heard["exited"]] = heard["code"]

    def _lost(self) -> None:
        """The template ended: its children were killed with it."""
        if self.socket is None:
            return
        asyncio.get_running_loop().remove_reader(self.socket)
        self.socket.close()
        self.socket = None
        if self.process is not None:
            self.process.poll()
        self.gone.set()
        self.ready.set()
        for birth in self.births.values():
            if not birth.done():
                birth.set_exception(_ended())
        self.births.clear()
        for child in list(self.children.values()):
            child.end(-signal.SIGKILL)
        self.children.clear()

    async def fork(self, command: Command, module: str, arguments: tuple[str, ...], orders: bool = False) -> Forked:
        """A new child that runs `module:function` with the command's environment, log and listener.

        Raises:
            StartError: the template has gone, or does not answer; the latter is ended, so that the next one may.
        """
        try:
            async with asyncio.timeout(_PATIENCE):
                await self.ready.wait()
                return await self._fork(command, module, arguments, orders)
        except OSError as error:
            if isinstance(error, TimeoutError):
                self.close()
            why = "does not answer" if isinstance(error, TimeoutError) else error.strerror
            raise StartError(f"{command.name} did not start: the template of all services: {why}") from None

    async def _fork(self, command: Command, module: str, arguments: tuple[str, ...], orders: bool) -> Forked:
        if self.socket is None:
            raise _ended()
        self.count += 1
        number = self.count
        descriptors, names = list(command.pass_fds), ["listener"] * len(command.pass_fds)
        pipe = None
        if orders:
            read, write = os.pipe()
            descriptors.append(read)
            names.append("stdin")
            pipe = OrderPipe(write)
        order = {
            "id": number,
            "name": command.name,
            "module": module,
            "arguments": arguments,
            "env": dict(command.env),
            "log": str(command.log),
            "cwd": str(command.cwd or ROOT),
            "death_signal": int(command.death_signal),
            "descriptors": names,
        }
        birth: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.births[number] = birth
        try:
            socket.send_fds(self.socket, [json.dumps(order).encode()], descriptors)
            pid = await birth
        except BaseException:
            if pipe is not None:
                pipe.close()
            raise
        finally:
            self.births.pop(number, None)
            if orders:
                os.close(read)
        child = Forked(pid, pipe)
        if pid in self.ended_unheard:
            child.end(self.ended_unheard.pop(pid))
        else:
            self.children[pid] = child
        return child

    def retire(self) -> None:
        """Let it go when its last child has gone; nothing new is forked from it."""

        async def wait() -> None:
            while self.children:
                await asyncio.gather(*(child.ended.wait() for child in list(self.children.values())))
            self.close()

        self._retiring = asyncio.create_task(wait())

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._lost()
