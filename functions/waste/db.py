"""The waste schema in SQL: analyses and their images."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta, Struct
from psycopg import AsyncCursor
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from functions.waste.guides import Advice
from functions.waste.model import Analysis, AnalysisResult
from shared.db import Connection
from shared.fields import Count, Time
from shared.ids import first_id, new_id
from shared.pages import row_behind
from shared.together import Unit, insert, later

_COLUMNS = """
    a.id, a.status, NULLIF(a.image_url, '') AS image_url, a.waste_type, a.corrected_type, a.confidence, a.analysis_result,
    a.error, a.error_code, a.created_at, a.completed_at,
    COALESCE((SELECT jsonb_agg(jsonb_build_object('s3_key', i.s3_key, 'cloudfront_url', i.cloudfront_url,
            'uploaded_at', to_char(i.uploaded_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) ORDER BY i.s3_key DESC)
        FROM images i WHERE i.analysis_id = a.id), '[]') AS images
"""


class Stats(Struct):
    """Analyses that succeeded.

    Attributes:
        total: how many.
        by_type: how many of each WasteType, by the person's correction where there is one.
        since: when the first was asked for; null without any.
    """

    total: Annotated[Count, Meta(examples=[3])]
    by_type: Annotated[dict[str, Count], Meta(examples=[{"plastic": 3}])]
    since: Time | None


_INSERT_ANALYSES = """
INSERT INTO analyses (id, user_id, image_url, upload_key, created_at)
SELECT id, user_id, '', upload_key, created_at
  FROM json_to_recordset(%s) AS given (id uuid, user_id uuid, upload_key text, created_at timestamptz)
RETURNING id
"""


async def insert_analysis(
    conn: Connection | Unit, analysis_id: UUID, user_id: UUID, upload_key: str, created_at: datetime
) -> Analysis:
    row = {"id": analysis_id, "user_id": user_id, "upload_key": upload_key, "created_at": created_at}
    await insert(conn, _INSERT_ANALYSES, analysis_id, row)
    return Analysis(
        id=analysis_id,
        status="pending",
        image_url=None,
        waste_type=None,
        corrected_type=None,
        confidence=None,
        analysis_result=None,
        error=None,
        error_code=None,
        images=[],
        created_at=created_at,
        completed_at=None,
    )


async def select_analysis(conn: Connection, analysis_id: UUID, user_id: UUID) -> Analysis | None:
    async with conn.cursor(row_factory=class_row(Analysis)) as cursor:
        await cursor.execute(
            f"SELECT {_COLUMNS} FROM analyses a WHERE a.id = %s AND a.user_id IS NOT DISTINCT FROM %s",  # noqa: S608 - our own columns
            [analysis_id, user_id],
        )
        return await cursor.fetchone()


async def select_analyses(
    conn: Connection, user_id: UUID, after: tuple[datetime, UUID] | None, limit: int
) -> list[Analysis]:
    """Newest first, from the row after `after`."""
    at, id_ = row_behind(after)
    async with conn.cursor(row_factory=class_row(Analysis)) as cursor:
        await cursor.execute(
            f"""
            SELECT {_COLUMNS}
            FROM analyses a
            WHERE a.user_id = %(user)s
                AND (a.created_at, a.id) < (%(at)s::timestamp, %(id)s)
            ORDER BY a.created_at DESC, a.id DESC
            LIMIT %(limit)s
            """,  # noqa: S608 - our own columns
            {"user": user_id, "at": at, "id": id_, "limit": limit},
        )
        return await cursor.fetchall()


class Owner(Struct):
    """Whose analysis it is, its raw upload's key, and what the person says it is."""

    user_id: UUID
    upload_key: str | None
    corrected_type: str | None


_LOCKED_OWNER = "SELECT user_id, upload_key, corrected_type FROM analyses WHERE id = %s FOR UPDATE"


async def select_owner_for_update(conn: Connection, analysis_id: UUID) -> Owner | None:
    """The owner, with the row locked; None when the row is gone."""
    async with conn.cursor(row_factory=class_row(Owner)) as cursor:
        await cursor.execute(_LOCKED_OWNER, [analysis_id])
        return await cursor.fetchone()


async def select_owner_later(conn: Connection, analysis_id: UUID) -> AsyncCursor[Owner]:
    """`select_owner_for_update` with the next statement: the cursor has the owner from then on."""
    cursor = await later(conn, _LOCKED_OWNER, [analysis_id])
    cursor.row_factory = class_row(Owner)
    return cursor


async def select_stats(conn: Connection, user_id: UUID) -> Stats:
    # One statement, and so one moment: between two a photo may end.
    cursor = await conn.execute(
        """
        SELECT waste_type, analyses,
               (SELECT created_at
                FROM analyses
                WHERE user_id = %(user)s AND status = 'success'
                ORDER BY created_at, id
                LIMIT 1)
        FROM counts
        WHERE user_id = %(user)s AND analyses > 0
        ORDER BY analyses DESC, waste_type
        """,
        {"user": user_id},
    )
    rows = await cursor.fetchall()
    by_type = {row[0]: row[1] for row in rows}
    return Stats(sum(by_type.values()), by_type, rows[0][2] if rows else None)


async def update_correction(conn: Connection, analysis: Analysis) -> None:
    """Keep the person's word, and the guide that follows it."""
    await conn.execute(
        """
        UPDATE analyses
        SET corrected_type  = %(type)s,
            analysis_result = CASE WHEN analysis_result IS NOT NULL
                                   THEN jsonb_set(analysis_result, '{guide}', %(guide)s) END
        WHERE id = %(id)s
        """,
        {
            "type": analysis.corrected_type,
            "guide": Jsonb(msgspec.to_builtins(analysis.analysis_result and analysis.analysis_result.guide)),
            "id": analysis.id,
        },
    )


async def update_stored(conn: Connection, analysis_id: UUID, image_url: str) -> None:
    """Note where the checked photo lies."""
    await later(conn, "UPDATE analyses SET image_url = %s WHERE id = %s", [image_url, analysis_id])


async def insert_images(conn: Connection, analysis_id: UUID, urls: dict[str, str], at: datetime) -> None:
    """Note an analysis' images, their addresses by their keys."""
    await later(
        conn,
        """
        INSERT INTO images (id, analysis_id, s3_key, cloudfront_url, uploaded_at)
        SELECT id, %s, s3_key, url, %s
        FROM unnest(%s::uuid[], %s::text[], %s::text[]) AS given (id, s3_key, url)
        ON CONFLICT (s3_key) DO NOTHING
        """,
        [analysis_id, at, [new_id() for _ in urls], list(urls), list(urls.values())],
    )


async def update_failed(conn: Connection, analysis_id: UUID, code: str, message: str, at: datetime) -> None:
    """End in failure, unless it has succeeded: states only rise."""
    await later(
        conn,
        """
        UPDATE analyses
        SET status = 'failure', error = %s, error_code = %s, completed_at = %s
        WHERE id = %s AND status = 'pending'
        """,
        [message, code, at, analysis_id],
    )


async def update_succeeded(
    conn: Connection, analysis_id: UUID, waste_type: str, confidence: float, result: AnalysisResult, at: datetime
) -> None:
    """End in success, also after an earlier failure; a second success changes nothing."""
    await later(
        conn,
        """
        UPDATE analyses
        SET status = 'success', waste_type = %s, confidence = %s, analysis_result = %s, error = NULL,
            error_code = NULL, completed_at = %s
        WHERE id = %s AND status <> 'success'
        """,
        [waste_type, round(confidence, 4), Jsonb(msgspec.to_builtins(result)), at, analysis_id],
    )


async def update_ended_uploads(conn: Connection) -> list[str]:
    """Forget the raw uploads of up to 500 analyses that have ended; return the keys, which the caller has deleted."""
    # Changed where they were found: joined by id, PostgreSQL would rather read all of a large table.
    cursor = await conn.execute(
        """
        WITH ended AS MATERIALIZED (
            SELECT ctid AS place, upload_key
            FROM analyses
            WHERE upload_key IS NOT NULL AND status <> 'pending'
            ORDER BY id
            LIMIT 500
            FOR UPDATE SKIP LOCKED),
        forgotten AS (
            UPDATE analyses
            SET upload_key = NULL
            WHERE ctid = ANY(ARRAY(SELECT place FROM ended)))
        SELECT upload_key FROM ended
        """
    )
    return [key for (key,) in await cursor.fetchall()]


class Missing(Struct):
    """An analysis whose guide could not be fetched: what it is, by the person's word where there is one."""

    id: UUID
    waste_type: str
    item_id: UUID | None


async def select_without_guide(conn: Connection, limit: int, but: Sequence[str] = ()) -> list[Missing]:
    """Those that have waited longest, `but` of these kinds none."""
    async with conn.cursor(row_factory=class_row(Missing)) as cursor:
        await cursor.execute(
            """
            SELECT id, COALESCE(corrected_type, waste_type) AS waste_type,
                   (analysis_result #>> '{guide,item_ids,0}')::uuid AS item_id
            FROM analyses
            WHERE status = 'success' AND analysis_result #>> '{guide,state}' = 'missing'
              AND COALESCE(corrected_type, waste_type) <> ALL(%s)
            ORDER BY completed_at
            LIMIT %s
            """,
            [list(but), limit],
        )
        return await cursor.fetchall()


async def update_guide(conn: Connection, missing: Missing, advice: Advice) -> None:
    """Fill it, unless it was filled or the person has said something else meanwhile."""
    parts = {"guide": advice.guide} | ({"item": advice.item} if advice.item else {})
    await conn.execute(
        """
        UPDATE analyses
        SET analysis_result = analysis_result || %s
        WHERE id = %s AND COALESCE(corrected_type, waste_type) = %s
            AND analysis_result #>> '{guide,state}' = 'missing'
        """,
        [Jsonb(msgspec.to_builtins(parts)), missing.id, missing.waste_type],
    )


async def delete_analysis(conn: Connection, analysis_id: UUID) -> None:
    await conn.execute("DELETE FROM images WHERE analysis_id = %s", [analysis_id])
    await conn.execute("DELETE FROM analyses WHERE id = %s", [analysis_id])


class Gone(Struct):
    """Analyses that were deleted, the keys of their images and raw uploads, and which of them had no image (yet)."""

    analyses: list[UUID]
    image_keys: list[str]
    without_images: list[UUID]
    upload_keys: list[str]


async def _delete_analyses(conn: Connection, analyses: list[UUID]) -> Gone:
    cursor = await conn.execute(
        "DELETE FROM images WHERE analysis_id = ANY(%s) RETURNING s3_key, analysis_id", [analyses]
    )
    images: list[Any] = await cursor.fetchall()
    cursor = await conn.execute("DELETE FROM analyses WHERE id = ANY(%s) RETURNING id, upload_key", [analyses])
    gone: list[Any] = await cursor.fetchall()
    stored = {analysis_id for _, analysis_id in images}
    return Gone(
        [id_ for id_, _ in gone],
        [key for key, _ in images],
        [id_ for id_, _ in gone if id_ not in stored],
        [key for _, key in gone if key],
    )


async def delete_old(conn: Connection, before: datetime, limit: int) -> Gone:
    """Delete the oldest analyses made before then, those that nobody is working on; return what is to be deleted elsewhere."""
    # By id, which begins with the time: `created_at` has no index but each person's own.
    cursor = await conn.execute(
        """
        SELECT id
        FROM analyses
        WHERE id < %s AND created_at < %s
        ORDER BY id
        LIMIT %s
        FOR UPDATE SKIP LOCKED
        """,
        [first_id(before), before, limit],
    )
    return await _delete_analyses(conn, [id_ for (id_,) in await cursor.fetchall()])


async def delete_person(conn: Connection, user_id: UUID) -> Gone:
    """Delete all that a person has here; return what is to be deleted elsewhere."""
    # Locked first: of a set of unknown size the planner would read all images there are.
    cursor = await conn.execute("SELECT id FROM analyses WHERE user_id = %s ORDER BY id FOR UPDATE", [user_id])
    gone = await _delete_analyses(conn, [id_ for (id_,) in await cursor.fetchall()])
    await conn.execute("DELETE FROM idempotency WHERE user_id = %s", [user_id])
    return gone


# The sweep of objects without an owner


async def select_sweep(conn: Connection, prefix: str, now: datetime) -> str:
    """The key after which the sweep goes on below a prefix; its row is made at the first look."""
    cursor = await conn.execute(
        """
        INSERT INTO sweeps (prefix, begun_at)
        VALUES (%s, %s)
        ON CONFLICT (prefix) DO UPDATE
        SET prefix = excluded.prefix
        RETURNING after
        """,
        [prefix, now],
    )
    row = await cursor.fetchone()
    assert row is not None
    return str(row[0])


async def select_not_ours(conn: Connection, keys: list[str]) -> list[str]:
    """Which of these objects belong to no analysis and to no upload of this service."""
    cursor = await conn.execute(
        """
        SELECT k.key
        FROM unnest(%s::text[]) AS k (key)
        WHERE NOT EXISTS (SELECT FROM images i WHERE i.s3_key = k.key)
          AND NOT EXISTS (SELECT FROM uploads u WHERE u.image_key = k.key)
          AND NOT EXISTS (
              SELECT
              FROM analyses a
              WHERE a.status = 'pending'
                AND a.id = CASE WHEN starts_with(k.key, 'images/') THEN split_part(k.key, '/', 2)::uuid END)
        ORDER BY k.key
        """,
        [keys],
    )
    return [row[0] for row in await cursor.fetchall()]


async def update_sweep(conn: Connection, prefix: str, after: str, looked_at: int, now: datetime) -> None:
    """Go on after a key; the empty one ends a round, and the next run begins another."""
    await conn.execute(
        """
        UPDATE sweeps
        SET after = %(after)s,
            looked_at = CASE WHEN after = '' THEN 0 ELSE looked_at END + %(looked_at)s,
            removed = CASE WHEN after = '' THEN 0 ELSE removed END,
            begun_at = CASE WHEN after = '' THEN %(now)s ELSE begun_at END,
            ended_at = CASE WHEN %(after)s = '' THEN %(now)s ELSE ended_at END
        WHERE prefix = %(prefix)s
        """,
        {"prefix": prefix, "after": after, "looked_at": looked_at, "now": now},
    )


async def update_removed(conn: Connection, keys: list[str]) -> None:
    """Count what is removed."""
    await conn.execute(
        """
        UPDATE sweeps
        SET removed = removed + (SELECT count(*) FROM unnest(%s::text[]) AS k (key) WHERE starts_with(k.key, prefix))
        """,
        [keys],
    )
