"""The page Data: tables under a service's own role, objects, Redis keys. Read only unless told."""

import asyncio
from typing import Annotated, Any, Literal

import psycopg
import redis
from litestar import Response, get, patch, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Struct
from psycopg.rows import dict_row

from emulator.dashboard.guard import Refused
from emulator.dashboard.site import Site
from emulator.dashboard.table import ROWS, Change, Row, View, change_row, connect, one_row, rows, shown
from runtime.services import Service, find


class Statement(Struct):
    """One statement under a service's role."""

    service: str
    text: str
    write: bool = False


@get("/data/tables", summary="Every table by schema")
async def data_tables(site: Site) -> list[dict[str, Any]]:
    return await asyncio.to_thread(tables, await site.environment())


@get(
    "/data/tables/{schema:str}/{table:str}",
    summary="A page of a table, as a service's role sees it (?as=SERVICE), sorted by a column and filtered by one",
)
async def data_rows(
    site: Site,
    schema: FromPath[str],
    table: FromPath[str],
    as_: Annotated[str, QueryParameter(name="as")],
    sort: Annotated[str, QueryParameter()] = "",
    order: Annotated[str, QueryParameter()] = "asc",
    column: Annotated[str, QueryParameter()] = "",
    operator: Annotated[str, QueryParameter()] = "eq",
    value: Annotated[str, QueryParameter()] = "",
    offset: Annotated[int, QueryParameter(ge=0, le=1_000_000)] = 0,
) -> dict[str, Any]:
    view = View(schema, table, sort, order, column, operator, value, offset)
    return await asyncio.to_thread(rows, await site.environment(), find(as_), view)


@post("/data/row", status_code=200, summary="One row in full, by its primary key, and as an INSERT")
async def data_row(site: Site, data: JSONBody[Row]) -> dict[str, Any]:
    return await asyncio.to_thread(one_row, await site.environment(), find(data.service), data)


@patch("/data/row", summary="New values for a row that is still the version that was read; it may write only if told")
async def data_change(site: Site, data: JSONBody[Change]) -> dict[str, Any]:
    return await asyncio.to_thread(change_row, await site.environment(), find(data.service), data)


@post("/data/sql", status_code=200, summary="One statement under a service's role; it may write only if told")
async def data_sql(site: Site, data: JSONBody[Statement]) -> dict[str, Any]:
    return await asyncio.to_thread(run_sql, await site.environment(), find(data.service), data.text, data.write)


@get("/data/objects", summary="Objects below a prefix")
async def data_objects(site: Site, prefix: Annotated[str, QueryParameter()] = "") -> list[dict[str, Any]]:
    return await asyncio.to_thread(objects, await site.environment(), prefix)


@get("/data/object", summary="One object's bytes (?key=)")
async def data_object(site: Site, key: Annotated[str, QueryParameter()]) -> Response[bytes]:
    from botocore.exceptions import ClientError

    try:
        found, kind = await asyncio.to_thread(content, await site.environment(), key)
    except ClientError:
        raise HTTPException("there is no such object", status_code=404) from None
    # Whatever a person has uploaded: shown as a picture or not at all.
    kind = kind if kind in ("image/jpeg", "image/png", "image/webp") else "application/octet-stream"
    return Response(found, media_type=kind, headers={"X-Content-Type-Options": "nosniff"})


@get("/data/redis", summary="Keys of the broker or the cache (?which=&match=)")
async def data_redis(
    site: Site,
    which: Annotated[Literal["broker", "cache"], QueryParameter()] = "broker",
    match: Annotated[str, QueryParameter()] = "",
) -> list[dict[str, Any]]:
    return await asyncio.to_thread(keys, await site.environment(), which, match)


HANDLERS: list[Any] = [data_tables, data_rows, data_row, data_change, data_sql, data_objects, data_object, data_redis]


def tables(environ: dict[str, str]) -> list[dict[str, Any]]:
    """Every table of every schema, with an estimate of its rows."""
    with psycopg.connect(environ["MIGRATION_DB_URL"], autocommit=True, connect_timeout=2) as conn:
        cursor = conn.cursor(row_factory=dict_row)
        return cursor.execute(
            """
            SELECT n.nspname AS schema, c.relname AS name, greatest(c.reltuples, 0)::bigint AS rows
            FROM pg_class c
            JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind = 'r'
                AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'migrations')
            ORDER BY 1, 2
            """
        ).fetchall()


def run_sql(environ: dict[str, str], service: Service, text: str, write: bool) -> dict[str, Any]:
    """One statement under the service's role, in a transaction that may write only if `write`.

    Raises:
        Refused: with PostgreSQL's words.
    """
    try:
        with connect(environ, service, write=write) as conn:
            # Prepared: PostgreSQL then takes one statement, and no COMMIT before it that would end the reading.
            cursor = conn.execute(text.encode(), prepare=True)
            if cursor.description is None:
                return {"columns": [], "rows": [], "more": False, "changed": cursor.rowcount}
            columns = [column.name for column in cursor.description]
            found = [[shown(value) for value in row] for row in cursor.fetchmany(ROWS + 1)]
    except psycopg.Error as error:
        raise Refused(str(error).strip()) from None
    return {"columns": columns, "rows": found[:ROWS], "more": len(found) > ROWS}


def objects(environ: dict[str, str], prefix: str) -> list[dict[str, Any]]:
    """Objects below a prefix, at most a page of them."""
    return [
        {"key": item["Key"], "size": item["Size"], "modified": item["LastModified"]}
        for item in _s3(environ)
        .list_objects_v2(Bucket=environ["S3_BUCKET"], Prefix=prefix, MaxKeys=200)
        .get("Contents", ())
    ]


def content(environ: dict[str, str], key: str) -> tuple[bytes, str]:
    """An object's bytes and its type."""
    found = _s3(environ).get_object(Bucket=environ["S3_BUCKET"], Key=key)
    return found["Body"].read(), found["ContentType"]


def _s3(environ: dict[str, str]) -> Any:
    import boto3  # here: its 30 MB are for who looks at objects
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=environ["S3_ENDPOINT_URL"],
        region_name=environ["AWS_REGION"],
        aws_access_key_id=environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environ["AWS_SECRET_ACCESS_KEY"],
        config=Config(
            s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, connect_timeout=1, read_timeout=5
        ),
    )


def keys(environ: dict[str, str], which: str, pattern: str) -> list[dict[str, Any]]:
    """Keys of the broker or the cache with type, size and time to live.

    Raises:
        Refused: with Redis' words.
    """
    url = environ["BROKER_REDIS_URL" if which == "broker" else "CACHE_REDIS_URL"]
    found = []
    try:
        with redis.Redis.from_url(url, socket_timeout=2, decode_responses=True) as client:
            for key in client.scan_iter(match=pattern or "*", count=500):
                kind = str(client.type(key))
                found.append({"key": key, "type": kind, "size": _size(client, key, kind), "ttl": client.ttl(key)})
                if len(found) >= 200:
                    break
    except redis.RedisError as error:
        raise Refused(str(error)) from None
    return sorted(found, key=lambda entry: str(entry["key"]))


def _size(client: Any, key: str, kind: str) -> int:
    count = {"string": "strlen", "list": "llen", "set": "scard", "zset": "zcard", "hash": "hlen", "stream": "xlen"}.get(
        kind
    )
    return int(getattr(client, count)(key)) if count else 0
