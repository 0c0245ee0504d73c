"""Begins and ends a recording of a running emulator."""

import asyncio
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from emulator.plain_http import PLAIN
from emulator.process import StartError
from emulator.recording import cached, form, opened, spanlog
from emulator.recording import folder as recordings
from emulator.standstill import Standstill
from emulator.state import version
from emulator.state.folder import State
from emulator.system import System
from shared import clock

# Seconds: for requests on their way to be answered before the state is copied, and for work to end before the recording does.
_PASSING, _WORKING = 5.0, 20.0
# Spans are sent after what they tell of: the last are here by then.
_LAST_SPANS = 0.3


class Recorder:
    """One emulator's. `order` is what the gateway is to be told; `tell` has it told."""

    def __init__(
        self, system: System, standstill: Standstill, tell: Callable[[], None], say: Callable[[str], None]
    ) -> None:
        self._system = system
        self._standstill = standstill
        self._tell = tell
        self._say = say
        self._one = asyncio.Lock()
        self._folder: Path | None = None
        self._hold = False
        self._lost = 0

    @property
    def order(self) -> dict[str, Any]:
        return {"record": str(self._folder or ""), "hold": self._hold}

    @property
    def about(self) -> dict[str, Any] | None:
        """The recording that is open."""
        return recordings.read_about(self._folder) if self._folder else None

    async def on(self, name: str, *, snapshot: bool = True) -> str:
        """Begin a recording at this moment; what is to be said of it.

        Raises:
            StartError: another one is open, the name is taken, or the state can't be copied.
        """
        async with self._one:
            if self._folder is not None:
                raise StartError(f"{self._folder.name} is being recorded; `eco2 record off` ends it")
            state = self._system.state
            folder = recordings.begin(state, name)
            try:
                await asyncio.to_thread(cached.save, self._system.addresses.redis("redis-cache"), folder)
                await self._hold_all()
                if snapshot:
                    copy = f"recording-{name}"[:64]
                    await self._standstill.save(copy, lambda: self._begin(folder))
                    (state.path / "snapshots" / copy).rename(folder / form.SNAPSHOT)
                else:
                    self._begin(folder)
            except BaseException:
                self._close()
                shutil.rmtree(folder, ignore_errors=True)
                raise
            finally:
                self._hold = False
                self._tell()
            await self._wait(lambda said: said["x-eco2-recording"] == name, _PASSING)
        self._say(f"recording {name}")
        return f"recording {name}: every request from now on, until `eco2 record off`"

    def _begin(self, folder: Path) -> None:
        """From here on everybody writes into it."""
        state = self._system.state
        clock.use_file(str(state.path / "clock"))
        about = version.mark() | {
            "name": folder.name,
            "at": clock.time(),
            "ended": "open",
            "until": None,
            "requests": None,
            "code": recordings.code(),
            "gateway": self._system.addresses.gateway_url,
            "ai": self._system.answers,
            "settings": self._system.environments.settings(),
        }
        recordings.write_about(folder, about)
        self._lost = spanlog.lost(self._system.addresses.port_of("dashboard"))
        opened.mark_open(state, folder, requests=True)
        self._folder = folder

    async def off(self, why: str = "off") -> str:
        """End the recording that is open, when the work that it set going has ended; what is to be said of it.

        Raises:
            StartError: none is open.
        """
        async with self._one:
            folder = self._folder
            if folder is None:
                raise StartError("nothing is being recorded; `eco2 record on` begins")
            state = self._system.state
            try:
                await self._hold_all()
                opened.mark_open(state, folder, requests=False)
            finally:
                self._folder, self._hold = None, False
                self._tell()
            await self._wait(lambda said: said["x-eco2-recording"] == "", _PASSING)
            late = await self._worked()
            self._close()
            lost = spanlog.lost(self._system.addresses.port_of("dashboard")) - self._lost
            recordings.write_about(folder, recordings.read_about(folder) | {"spans_lost": max(0, lost)})
            about = await asyncio.to_thread(recordings.finish, folder, why, clock.time())
        self._say(f"recorded {folder.name}: {about['requests']} requests")
        note = f"; work of {late} requests had not ended" if late else ""
        return f"{folder.name}: {about['requests']} requests, {about['bytes'] / 1e6:.1f} MB{note}"

    async def _hold_all(self) -> None:
        """Let no request in, and have those on their way answered."""
        self._hold = True
        self._tell()
        await self._wait(lambda said: said["x-eco2-held"] == "1" and said["x-eco2-passing"] == "0", _PASSING)

    async def _worked(self) -> int:
        """Wait for what recorded requests set going; how many traces had not ended after a while."""
        import psycopg  # no one else's here

        from emulator.recording.work import Work

        deadline = time.monotonic() + _WORKING
        try:
            work = await asyncio.to_thread(Work, self._system.addresses.dsn("migrator", ""))
        except psycopg.Error:  # away: no work ends now
            return 0
        try:
            while left := await asyncio.to_thread(work.open, clock.time()):
                if time.monotonic() > deadline:
                    return len(left)
                await asyncio.sleep(0.05)
        except psycopg.Error:
            return 0
        finally:
            work.close()
        await asyncio.sleep(_LAST_SPANS)
        return 0

    def _close(self) -> None:
        self._folder = None
        (self._system.state.path / opened.OPEN).unlink(missing_ok=True)

    async def _wait(self, holds: Callable[[Mapping[str, str]], bool], seconds: float) -> None:
        """Until the gateway says so, or for so long: a request that takes longer than that is in no recording."""
        import httpx  # only when something is recorded

        deadline = time.monotonic() + seconds
        async with httpx.AsyncClient(timeout=2, **PLAIN) as client:
            while time.monotonic() < deadline:
                try:
                    said = await client.get(f"{self._system.addresses.gateway_url}/_gateway")
                    if "x-eco2-held" in said.headers and holds(said.headers):
                        return
                except httpx.HTTPError:
                    pass
                await asyncio.sleep(0.01)


def finish_left(state: State, say: Callable[[str], None]) -> None:
    """Close the recording of an emulator that was killed: what is in it counts."""
    left = opened.open_one(state)
    (state.path / opened.OPEN).unlink(missing_ok=True)
    if left is None:
        return
    try:
        about = recordings.finish(left, "killed", clock.time())
    except (StartError, OSError) as error:
        say(f"the recording {left.name} can't be closed: {error}")
        return
    say(f"the recording {left.name} ended with the emulator that was killed: {about['requests']} requests")
