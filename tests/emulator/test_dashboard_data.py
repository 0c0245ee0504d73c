"""The page Data's tables on a running system: sorted, filtered, followed, copied as SQL, and changed only as told."""

from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql

from emulator.running import environment
from tests.emulator.conftest import Emulator

# Its name would end a statement that took it as it is.
NAME = 'said"; DROP TABLE recycle_info.odd; --'
ODD = "/data/tables/recycle_info/odd"
EVIL = [
    "'; DROP TABLE recycle_info.odd; --",
    '"; DROP TABLE recycle_info.odd; --',
    "%s",
    "id) OR (1 = 1",
    "id DESC, (SELECT 1)",
]


@pytest.fixture
def odd(emulator: Emulator) -> Iterator[psycopg.Connection[Any]]:
    """A table of everything that is not plain, and its owner's connection."""
    with psycopg.connect(environment(state=emulator.folder)["MIGRATION_DB_URL"], autocommit=True) as conn:
        conn.execute("DROP TABLE IF EXISTS recycle_info.odd")
        conn.execute(
            sql.SQL(
                """
                CREATE TABLE recycle_info.odd (
                    id INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                    item_id UUID,
                    category_id UUID,
                    {name} TEXT,
                    body JSONB NOT NULL DEFAULT '{{}}',
                    plain JSON,
                    twice TEXT GENERATED ALWAYS AS ({name} || {name}) STORED)
                """
            ).format(name=sql.Identifier(NAME))
        )
        conn.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON recycle_info.odd TO api_recycle_role")
        conn.execute(
            sql.SQL(
                """
                INSERT INTO recycle_info.odd ({name}, body, item_id)
                VALUES ('b', '{{"a": [1, null]}}', (SELECT id FROM recycle_info.items ORDER BY id LIMIT 1)),
                       ('100 %% of it''s \\ "c"', '{{}}', NULL),
                       (NULL, '{{}}', NULL)
                """
            ).format(name=sql.Identifier(NAME)),
            [],
        )
        yield conn
        conn.execute("DROP TABLE recycle_info.odd")


def rows(api: httpx.Client, **query: Any) -> dict[str, Any]:
    answer = api.get(ODD, params={"as": "recycle_info"} | query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ids(api: httpx.Client, **query: Any) -> list[int]:
    return [row[0] for row in rows(api, **query)["rows"]]


def row_of(key: dict[str, str], **more: Any) -> dict[str, Any]:
    return {"service": "recycle_info", "schema": "recycle_info", "table": "odd", "key": key} | more


def test_a_table_is_sorted_and_filtered_by_any_column(api: httpx.Client, odd: psycopg.Connection[Any]) -> None:
    assert ids(api) == [1, 2, 3]
    assert ids(api, sort="id", order="desc") == [3, 2, 1]
    assert ids(api, sort=NAME) == [2, 1, 3]
    assert ids(api, column=NAME, value="b") == [1]
    assert ids(api, column=NAME, operator="ne", value="b") == [2]
    assert ids(api, column=NAME, operator="contains", value="OF IT'S \\") == [2]
    assert ids(api, column=NAME, operator="contains", value="%") == [2], "no character is a wildcard"
    assert ids(api, column=NAME, operator="null") == [3]
    assert ids(api, column="item_id", operator="not_null") == [1]
    assert ids(api, column="body", operator="contains", value='"a"') == [1]
    for operator, found in {"lt": [1], "le": [1, 2], "gt": [3], "ge": [2, 3]}.items():
        assert ids(api, column="id", operator=operator, value="2") == found
    assert rows(api, column="id", value="1")["rows"][0][4] == '{"a": [1, null]}', "JSON is shown as JSON"


def test_pages_of_rows_that_are_alike_hold_each_row_once(api: httpx.Client, odd: psycopg.Connection[Any]) -> None:
    odd.execute("INSERT INTO recycle_info.odd (plain) SELECT NULL FROM generate_series(1, 150)")
    first, second = rows(api, sort="body", order="desc"), rows(api, sort="body", order="desc", offset=100)
    assert (first["more"], second["more"], len(first["keys"])) == (True, False, 100)
    assert sorted(row[0] for page in (first, second) for row in page["rows"]) == list(range(1, 154))


def test_what_is_shown_is_copied_as_the_query_that_shows_it(api: httpx.Client, odd: psycopg.Connection[Any]) -> None:
    found = rows(api, sort=NAME, order="desc", column=NAME, operator="ge", value="100 % of it's \\")
    again = api.post("/data/sql", json={"service": "recycle_info", "text": found["sql"]}).json()
    assert (again["columns"], again["rows"]) == (found["columns"], found["rows"])
    assert len(found["rows"]) == 2


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"sort": "nothing"}, "recycle_info.odd has no column 'nothing'; it has id, item_id"),
        ({"column": "nothing"}, "has no column 'nothing'"),
        ({"sort": "id", "order": "down"}, "'down' is neither asc nor desc"),
        ({"column": "id", "operator": "like"}, "'like' is none of the operators eq, ne"),
        ({"column": "id", "value": "many"}, "invalid input syntax"),
        ({"column": "id", "value": "\0"}, "NUL"),
        ({"column": "plain", "value": "{}"}, "operator does not exist"),
        ({"sort": "plain"}, "ordering operator"),
    ],
    ids=["sort", "column", "order", "operator", "type", "nul", "incomparable", "unordered"],
)
def test_what_a_table_cannot_be_sorted_or_filtered_by_is_said(
    api: httpx.Client, odd: psycopg.Connection[Any], query: dict[str, str], said: str
) -> None:
    answer = api.get(ODD, params={"as": "recycle_info"} | query)
    assert (answer.status_code, said in answer.json()["detail"]) == (400, True), answer.text


def test_no_field_becomes_part_of_a_statement(api: httpx.Client, odd: psycopg.Connection[Any]) -> None:
    before = rows(api)["rows"]
    for evil in EVIL:
        for field in ("sort", "order", "column", "operator"):
            assert api.get(ODD, params={"as": "recycle_info", field: evil}).status_code == 400, (field, evil)
        assert api.get(ODD, params={"as": evil}).status_code == 409
        for path in (f"/data/tables/recycle_info/{evil}", f"/data/tables/{evil}/odd"):
            assert (
                api.get(
                    httpx.URL(str(api.base_url)).copy_with(path=f"/_emulator/api{path}"), params={"as": "recycle_info"}
                ).status_code
                == 404
            )
        assert ids(api, column=NAME, value=evil) == []
        assert ids(api, column=NAME, operator="contains", value=evil) == []
        for key in ({evil: "1"}, {"id": "1", evil: "1"}, {"id": evil}, {}):
            assert api.post("/data/row", json=row_of(key)).status_code == 400, key
        for part in ("schema", "table"):
            assert api.post("/data/row", json=row_of({"id": "1"}) | {part: evil}).status_code == 404
        change = row_of({"id": "1"}, version="1", values={NAME: "x"}, write=True)
        assert api.patch("/data/row", json=change | {"version": evil}).status_code == 412
        assert api.patch("/data/row", json=change | {"values": {evil: "x"}}).status_code == 400
        assert api.patch("/data/row", json=change | {"key": {"id": evil}}).status_code == 400
        # As a value it is what the column then holds.
        version = api.post("/data/row", json=row_of({"id": "3"})).json()["version"]
        written = row_of({"id": "3"}, version=version, values={NAME: evil}, write=True)
        assert api.patch("/data/row", json=written).json()["values"][NAME] == evil
    assert rows(api)["rows"][:2] == before[:2]
    assert len(rows(api)["rows"]) == 3


def test_an_id_leads_to_its_table_by_foreign_key_or_by_its_name(
    api: httpx.Client, odd: psycopg.Connection[Any]
) -> None:
    # `category_id` is a UUID here, and the key of `categories` is a word.
    assert rows(api)["links"] == {"item_id": {"schema": "recycle_info", "table": "items", "column": "id"}}
    item = rows(api)["rows"][0][1]
    led = api.get("/data/tables/recycle_info/items", params={"as": "recycle_info", "column": "id", "value": item})
    assert [row[0] for row in led.json()["rows"]] == [item]
    images = api.get("/data/tables/waste/images", params={"as": "waste"}).json()
    assert images["links"] == {"analysis_id": {"schema": "waste", "table": "analyses", "column": "id"}}
    assert api.get("/data/tables/waste/analyses", params={"as": "waste"}).json()["links"] == {}, "waste has no users"


def test_a_row_is_copied_as_the_insert_that_makes_it_again(api: httpx.Client, odd: psycopg.Connection[Any]) -> None:
    before = rows(api)["rows"]
    for key in rows(api)["keys"]:
        copied = api.post("/data/row", json=row_of(key)).json()["insert"]
        odd.execute("DELETE FROM recycle_info.odd WHERE id = %s", [key["id"]])
        written = api.post("/data/sql", json={"service": "recycle_info", "text": copied, "write": True})
        assert written.json().get("changed") == 1, written.text
    assert rows(api)["rows"] == before


def test_a_row_is_changed_under_the_services_role_when_writing_is_allowed(
    api: httpx.Client, odd: psycopg.Connection[Any]
) -> None:
    read = api.post("/data/row", json=row_of({"id": "1"})).json()
    change = row_of({"id": "1"}, version=read["version"], values={NAME: "new", "body": '{"b": 2}', "item_id": None})
    refused = api.patch("/data/row", json=change)
    assert (refused.status_code, "read-only" in refused.json()["detail"]) == (409, True)
    assert api.patch("/data/row", json=change | {"write": True}, headers={"X-Eco2-Token": ""}).status_code == 401
    foreign = api.patch("/data/row", json=change | {"write": True, "service": "location"})
    assert (foreign.status_code, "permission denied" in foreign.json()["detail"]) == (409, True)
    assert api.post("/data/row", json=row_of({"id": "1"})).json() == read, "nothing was written"

    written = api.patch("/data/row", json=change | {"write": True})
    assert written.status_code == 200, written.text
    assert written.json()["values"] | {"twice": "newnew"} == written.json()["values"]
    assert (written.json()["values"]["item_id"], rows(api)["rows"][0][4]) == (None, '{"b": 2}')


def test_a_row_that_was_changed_meanwhile_is_not_written_over(api: httpx.Client, odd: psycopg.Connection[Any]) -> None:
    read = api.post("/data/row", json=row_of({"id": "1"})).json()
    odd.execute(sql.SQL("UPDATE recycle_info.odd SET {} = 'theirs' WHERE id = 1").format(sql.Identifier(NAME)))
    change = row_of({"id": "1"}, version=read["version"], values={NAME: "mine"}, write=True)
    late = api.patch("/data/row", json=change)
    assert (late.status_code, "changed meanwhile" in late.json()["detail"]) == (412, True)
    assert ids(api, column=NAME, value="theirs") == [1]
    change["version"] = api.post("/data/row", json=row_of({"id": "1"})).json()["version"]
    with odd.transaction():
        odd.execute("SELECT FROM recycle_info.odd WHERE id = 1 FOR UPDATE")
        held = api.patch("/data/row", json=change)
        assert (held.status_code, "lock timeout" in held.json()["detail"]) == (409, True)
    odd.execute("DELETE FROM recycle_info.odd WHERE id = 1")
    assert api.patch("/data/row", json=change).status_code == 404


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({}, 400),
        ({"id": "7"}, 400),
        ({"twice": "x"}, 400),
        ({"none": "x"}, 400),
        ({"item_id": "x"}, 400),
        ({"body": None}, 409),
    ],
    ids=["nothing", "key", "computed", "unknown", "type", "constraint"],
)
def test_a_value_that_cannot_be_written_is_refused_with_words(
    api: httpx.Client, odd: psycopg.Connection[Any], values: dict[str, str | None], status: int
) -> None:
    version = api.post("/data/row", json=row_of({"id": "1"})).json()["version"]
    refused = api.patch("/data/row", json=row_of({"id": "1"}, version=version, values=values, write=True))
    assert (refused.status_code, len(refused.json()["detail"]) > 10) == (status, True), refused.text


def test_a_table_that_is_not_there_or_has_no_key_is_said_so(api: httpx.Client, odd: psycopg.Connection[Any]) -> None:
    missing = api.get("/data/tables/recycle_info/nothing", params={"as": "recycle_info"})
    assert (missing.status_code, "there is no table" in missing.json()["detail"]) == (404, True)
    odd.execute("ALTER TABLE recycle_info.odd DROP CONSTRAINT odd_pkey")
    assert rows(api)["keys"] == []
    unnamed = api.post("/data/row", json=row_of({"id": "1"}))
    assert (unnamed.status_code, "it has none" in unnamed.json()["detail"]) == (400, True)
