"""Every loop of an emulator is killed once, by name: it lives again, and so does what it keeps."""

import asyncio
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from emulator.dashboard.pages import tasks
from emulator.process import free_port
from emulator.servers.postgres import Postgres, remove_cluster
from emulator.state.folder import State
from emulator.supervisor import Supervisor
from runtime.services import load_services
from shared import supervision
from tests.support import until


@pytest.mark.slow
async def test_each_loop_of_the_emulator_lives_again_and_the_parts_stay(model: Path) -> None:
    state = State(Path(tempfile.mkdtemp(prefix="eco2-test-")))
    state.create()
    shutil.copytree(model, state.path / "model", dirs_exist_ok=True)
    seen: list[str] = []
    others = supervision.loops()  # of tests that this process ran before

    async def kill_each(supervisor: Supervisor) -> None:
        fleet = supervisor.fleet
        try:
            await until(lambda: any(loop.name == "reload" for loop in supervision.loops()), "reload is watched for")
            pids = {name: keeper.process.pid for name, keeper in fleet.keepers.items() if keeper.process}
            for loop in [loop for loop in supervision.loops() if loop not in others]:
                ends = loop.ends
                loop.kill()
                again = f"{loop.name} runs again ({loop.state}, {loop.ends} ends)"
                await until(lambda loop=loop, ends=ends: loop.ends > ends and loop.state == "runs", again)
                seen.append(loop.name)
            assert {name: keeper.process.pid for name, keeper in fleet.keepers.items() if keeper.process} == pids
            assert {keeper.seen for keeper in fleet.keepers.values()} == {"ready"}
            # The loops that live again do what the first ones did.
            for name, keeper in fleet.keepers.items():
                keeper.kill()
                await until(lambda keeper=keeper, name=name: keeper.lives and keeper.process.pid != pids[name], name)
            await until(lambda: {keeper.seen for keeper in fleet.keepers.values()} == {"ready"}, "all is ready again")
        finally:
            supervisor.stopping.set()

    killing: list[asyncio.Task[None]] = []

    async def on_ready(supervisor: Supervisor) -> None:
        killing.append(asyncio.create_task(kill_each(supervisor)))

    try:
        with state.lock():
            await Supervisor(state, free_port(), os.environ, lambda line: None).run(on_ready)
        await killing[0]
    finally:
        remove_cluster(state)
        shutil.rmtree(state.path, ignore_errors=True)
    parts = {"postgres", "redis-broker", "s3", "proxy", "gateway", "dashboard", "worker-ai", "syncer-ai", "api-waste"}
    assert set(seen) >= {"fleet", "reload", *(f"keeper-{part}" for part in parts)}


class Beside:
    """What the dashboard's reading needs of its site: where the database and the journals are."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self.dsn = dsn
        self.state = State(folder)
        self.services = load_services()

    def follow_clock(self) -> None:
        pass

    async def environment(self) -> dict[str, str]:
        return {"MIGRATION_DB_URL": self.dsn}


async def test_the_dashboards_reading_of_what_waits_lives_again(postgres: Postgres, tmp_path: Path) -> None:
    waits = tasks.Backlog(Beside(postgres.dsn("migrator"), tmp_path))  # type: ignore[arg-type]  # a part of it
    async with waits.reading():
        (loop,) = [one for one in supervision.loops() if one.name == "dashboard-backlog"]
        waits.look()
        await until(lambda: len(waits.history) > 0, "it reads")
        loop.kill()
        await until(lambda: (loop.ends, loop.state) == (1, "runs"), "it runs again")
        before = len(waits.history)
        waits.look()
        await until(lambda: len(waits.history) > before, "it reads again")
    assert loop not in supervision.loops()
