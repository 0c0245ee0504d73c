"""A state without personal details: what becomes of the rows of people, by their table's rule, on real servers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bcrypt
import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from emulator.recording import anonymous
from emulator.recording.anonymous import Passwords
from emulator.recording.photos import without_metadata
from emulator.recording.replacing import ADDRESS, Replacer
from functions.auth.passwords import NOBODY, prepare
from shared.ids import new_id
from tests.clusters import Clusters
from tests.emulator.recording.scenes import photo_with_position

MINA, YUNA, TALK = new_id(), new_id(), new_id()
PLACE, PASSWORD = "할머니댁 별채", "correct horse 1A"


def rows(conn: psycopg.Connection[Any], table: str) -> list[tuple[Any, ...]]:
    return conn.execute(sql.SQL("SELECT * FROM {} ORDER BY 1").format(sql.Identifier(*table.split(".")))).fetchall()


@pytest.fixture(scope="module")
def both(clusters: Clusters, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any]]:
    """The database of two people, and a second one that was made a moment ago; superusers' connections."""
    server = clusters.migrated(tmp_path_factory.mktemp("anonymous"))
    try:
        server.start()
        with psycopg.connect(server.superuser_dsn, autocommit=True) as conn:
            conn.execute("CREATE DATABASE fresh TEMPLATE ecoeco")
        theirs = server.dsn("postgres")
        with (
            psycopg.connect(theirs, autocommit=True) as there,
            psycopg.connect(psycopg.conninfo.make_conninfo(theirs, dbname="fresh"), autocommit=True) as here,
        ):
            fill(there)
            yield there, here
    finally:
        server.destroy()


def fill(there: psycopg.Connection[Any]) -> None:
    hashed = bcrypt.hashpw(prepare(PASSWORD, "password"), bcrypt.gensalt(4)).decode()
    for user, name, email in ((MINA, "kimmina", "mina@example.org"), (YUNA, "leeyuna", "yuna@example.org")):
        there.execute(
            "INSERT INTO auth.users (id, username, email, password_hash) VALUES (%s, %s, %s, %s)",
            [user, name, email, hashed],
        )
    there.execute(
        "INSERT INTO locations.user_locations (id, user_id, name, address, latitude, longitude)"
        " VALUES (%s, %s, %s, '서울 마포구 월드컵로 212', 37.5665, 126.9018)",
        [new_id(), MINA, PLACE],
    )
    there.execute("INSERT INTO chat_llm.conversations (id, user_id, title) VALUES (%s, %s, '건전지')", [TALK, MINA])
    for position, content, sources in ((1, f"{PLACE} 근처? kimmina", [{"title": "mina@example.org"}]), (2, "네", [])):
        there.execute(
            "INSERT INTO chat_llm.messages (id, conversation_id, role, content, position, sources)"
            " VALUES (%s, %s, 'user', %s, %s, %s)",
            [new_id(), TALK, content, position, Jsonb(sources)],
        )
    there.execute(
        "INSERT INTO waste.analyses (id, user_id, image_url, analysis_result) VALUES (%s, %s, 'https://cdn/x', NULL)",
        [new_id(), MINA],
    )
    there.execute(
        "INSERT INTO recycle_info.items (id, name, category, description) VALUES (%s, '종이컵', 'paper', 'x')",
        [new_id()],
    )


def test_every_row_is_there_again_and_nothing_of_the_people(both: tuple[Any, Any]) -> None:
    there, here = both
    replacer = Replacer(lambda claims: "signed")
    passwords = Passwords([("MINA@example.org", PASSWORD), ("leeyuna", "wrong")], replacer)
    here.execute(
        "INSERT INTO recycle_info.items (id, name, category, description) VALUES (%s, '병', 'glass', 'x')", [new_id()]
    )
    anonymous._copy(there, here, replacer, passwords)
    tables = anonymous.tables(anonymous.columns_of(there))
    for table in tables:
        name = f"{table.schema}.{table.name}"
        assert len(rows(here, name)) == len(rows(there, name)), name
        if table.rules is None:
            assert rows(here, name) == rows(there, name), name
    copied = str([rows(here, f"{table.schema}.{table.name}") for table in tables])
    for word in ("kimmina", "leeyuna", "@example.org", PLACE, "월드컵로", "37.5665", "126.9018"):
        assert word not in copied, word
    (mina, yuna) = here.execute("SELECT username, email, password_hash FROM auth.users ORDER BY username").fetchall()
    assert mina[:2] == ("person-1", "person-1@example.com")
    assert yuna[1] == f"{yuna[0]}@example.com" != mina[1]
    assert bcrypt.checkpw(prepare(replacer.passwords[PASSWORD], "password"), mina[2].encode())
    assert yuna[2] == NOBODY, "no request gave it rightly"
    said = here.execute("SELECT content, sources FROM chat_llm.messages ORDER BY position").fetchall()
    assert said == [("place-1 근처? person-1", [{"title": "person-1@example.com"}]), ("네", [])]
    assert here.execute("SELECT address FROM locations.user_locations").fetchone() == (ADDRESS,)
    assert here.execute("SELECT analysis_result IS NULL FROM waste.analyses").fetchone() == (True,), (
        "and not JSON's null"
    )
    assert replacer.counts["auth.users password_hash", "password"] == 2
    assert replacer.counts["chat_llm.messages content", "text"] == 1


def test_photographs_are_copied_without_metadata_and_all_else_as_it_is(tmp_path: Path) -> None:
    place = tmp_path / "objects/bucket/objects/ab"
    place.mkdir(parents=True)
    photo = photo_with_position()
    files = {"photo": photo, "text": b"mina's words", "clean": without_metadata(photo)}
    for name, content in files.items():
        (place / name).write_bytes(b'{"key": "x"}\n' + content)
    replacer = Replacer(lambda claims: "signed")
    anonymous._objects(tmp_path / "objects", tmp_path / "copied", replacer)
    copied = {path.name: path.read_bytes() for path in (tmp_path / "copied/bucket/objects/ab").iterdir()}
    assert copied == {
        name: b'{"key": "x"}\n' + content for name, content in (files | {"photo": files["clean"]}).items()
    }
    assert files["clean"] != photo
    assert replacer.counts["object", "photo"] == 1
