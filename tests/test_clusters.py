"""Copies of PostgreSQL clusters, as tests have them for themselves."""

from pathlib import Path

import psycopg

from emulator.state.folder import State
from tests.clusters import Clusters


def test_a_copy_opens_with_its_passwords_and_leaves_those_of_the_state_s_other_servers(
    clusters: Clusters, tmp_path: Path
) -> None:
    state = State(tmp_path)
    state.create()
    broker = state.secret("broker")
    server = clusters.migrated(tmp_path)
    try:
        psycopg.connect(server.start().dsn("api_auth_role")).close()
        assert State(tmp_path).secret("broker") == broker
    finally:
        server.destroy()
