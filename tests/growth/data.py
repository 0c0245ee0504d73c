"""A system that has grown: rows for every table that grows, and one person who has twenty thousand photographs.

Loaded by the superuser with one statement a table, for any size; 1 is a million people. Ids follow from a word and a number, so
that sizes can be compared: `id_of("analysis", 1)` is a row of each.
"""

import hashlib
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

PEOPLE = 1_000_000
# The first person's share of what people have.
SHARE = 20


def id_of(word: str, number: int) -> UUID:
    """As `md5(word || number)::uuid` in the statements."""
    return UUID(hashlib.md5(f"{word}{number}".encode(), usedforsecurity=False).hexdigest())


# Who has row n: every twentieth is the first person's.
_WHO = f"md5('person' || CASE WHEN n % {SHARE} = 0 THEN 1 ELSE 1 + n % %(people)s END)::uuid"
_AT = "%(now)s::timestamp - n * interval '20 seconds'"

# How many rows at size 1, and the statement that makes rows 1 to n.
TABLES: dict[str, tuple[int, str]] = {
    "auth.users": (
        PEOPLE,
        """
        SELECT md5('person' || n)::uuid, 'person-' || n, 'person-' || n || '@example.com', 'x', {at}
        FROM generate_series(1, %(rows)s) n
        """,
    ),
    "auth.sessions": (
        500_000,
        """
        SELECT md5('session' || n)::uuid, md5('person' || n)::uuid, md5('token' || n),
               %(now)s::timestamp + n * interval '1 second'
               - CASE WHEN n %% 2 = 0 THEN interval '20 days' ELSE '0' END, {at}
        FROM generate_series(1, %(rows)s) n
        """,
    ),
    "auth.refresh_tokens (id, session_id, user_id, token, expires_at)": (
        500_000,
        """
        SELECT md5('refresh' || n)::uuid, md5('session' || n)::uuid, md5('person' || n)::uuid, md5('token' || n),
               %(now)s::timestamp + n * interval '1 second' - CASE WHEN n %% 2 = 0 THEN interval '20 days' ELSE '0' END
        FROM generate_series(1, %(rows)s) n
        """,
    ),
    "auth.mail_tokens": (
        100_000,
        """
        SELECT md5('mail' || n), md5('person' || n)::uuid, 'reset', 'person-' || n || '@example.com',
               %(now)s::timestamp + n * interval '1 s'
        FROM generate_series(1, %(rows)s) n
        """,
    ),
    "auth.identities": (
        300_000,
        """
        SELECT 'kakao', 'subject-' || n, md5('person' || n)::uuid, NULL, {at}
        FROM generate_series(1, %(rows)s) n
        """,
    ),
    "waste.analyses (id, user_id, image_url, waste_type, confidence, analysis_result, created_at, status, completed_at)": (
        400_000,
        """
        SELECT md5('analysis' || n)::uuid, {who}, 'https://cdn.example/images/' || n || '.jpg',
               (ARRAY['plastic', 'paper', 'metal', 'glass'])[1 + n %% 4], 0.9,
               '{{"candidates": [{{"waste_type": "general", "confidence": 0.6062}},
                                  {{"waste_type": "food", "confidence": 0.3129}}],
                 "provider": "embedded", "model": "efficientnet-lite2", "materials": [], "contamination": "", "parts": [],
                 "guide": {{"steps": ["재활용되지 않는 것은 종량제봉투에 담아 배출합니다.",
                                      "날카롭거나 깨진 것은 신문지 등으로 싸서 담습니다.",
                                      "타지 않는 것은 지자체의 불연성(특수규격) 봉투에 담습니다."],
                            "do_not": ["재활용품·음식물·건전지·형광등을 섞지 마세요."], "state": "complete",
                            "item_ids": ["113b95c7-bf1b-589b-bb20-45b9762acbeb", "113b95c7-bf1b-589b-bb20-45b9762acbec"]}}}}',
               {at}, CASE WHEN n %% 50 = 0 THEN 'failure' ELSE 'success' END, {at}
        FROM generate_series(1, %(rows)s) n
        """,
    ),
    "waste.images": (
        800_000,
        """
        SELECT md5('image' || n)::uuid, md5('analysis' || (n + 1) / 2)::uuid, 'images/' || n || '-web.jpg',
               'https://cdn.example/images/' || n || '-web.jpg', {at}
        FROM generate_series(1, %(rows)s) n
        """,
    ),
    "waste.uploads": (
        100_000,
        """
        SELECT 'uploads/' || {who} || '/' || md5('upload' || n), {who}, %(now)s::timestamptz - n * interval '1 second', NULL
        FROM generate_series(1, %(rows)s) n
        """,
    ),
    "chat_llm.conversations (id, user_id, title, created_at, message_count)": (
        100_000,
        """
        SELECT md5('conversation' || n)::uuid, {who}, 'A title ' || n, {at}, 4
        FROM generate_series(1, %(rows)s) n
        """,
    ),
    "chat_llm.messages (id, conversation_id, role, content, created_at, position)": (
        400_000,
        """
        SELECT md5('message' || n)::uuid, md5('conversation' || (n + 3) / 4)::uuid,
               CASE WHEN n %% 2 = 1 THEN 'user' ELSE 'assistant' END, repeat('words ', 40), {at}, 1 + (n - 1) %% 4
        FROM generate_series(1, %(rows)s) n
        """,
    ),
    "locations.user_locations": (
        300_000,
        """
        SELECT md5('place' || n)::uuid, {who}, 'home', 'an address ' || n, 37.5, 127.0, FALSE, {at}
        FROM generate_series(1, %(rows)s) n
        """,
    ),
    "locations.recycle_centers (id, name, address, latitude, longitude, operating_hours, items, source)": (
        100_000,
        """
        SELECT md5('center' || n)::uuid, (ARRAY['한빛', '푸른', '새론', '누리'])[1 + n %% 4] || n || '재활용센터',
               '서울시 ' || n %% 97 || '구 ' || n %% 1009 || '로 ' || n, 33.5 + (n %% 1000) * 0.0045, 126.2 + n * 3.0 / %(rows)s,
               jsonb_build_object('mon', '[["09:00", "18:00"]]'::jsonb, 'tue', '[["09:00", "18:00"]]'::jsonb, 'wed', '[]'::jsonb,
                   'thu', '[["09:00", "12:00"], ["13:00", "18:00"]]'::jsonb, 'fri', '[["22:00", "05:00"]]'::jsonb,
                   'sat', '[]'::jsonb, 'sun', '[]'::jsonb, 'holiday', '[]'::jsonb, 'note', ''::text),
               '{{plastic}}', 'grown'
        FROM generate_series(1, %(rows)s) n
        """,
    ),
    "recycle_info.user_queries": (
        400_000,
        """
        SELECT md5('query' || n)::uuid, {who}, 'a question ' || n, '[]', {at}
        FROM generate_series(1, %(rows)s) n
        """,
    ),
    "users.profiles (user_id, nickname, updated_at)": (
        500_000,
        "SELECT md5('person' || n)::uuid, 'p' || n, {at} FROM generate_series(1, %(rows)s) n",
    ),
    "users.settings (user_id)": (
        300_000,
        "SELECT md5('person' || n)::uuid FROM generate_series(1, %(rows)s) n",
    ),
    "users.avatars": (
        100_000,
        "SELECT md5('avatar' || n)::uuid, {who}, 'x/' || n FROM generate_series(1, %(rows)s) n",
    ),
    "tasks.task_results (id, task_id, task_name, worker_name, status, result, started_at,"
    " completed_at, run_id, runs, revision)": (
        800_000,  # two tasks a photo
        """
        SELECT md5('result' || n)::uuid, md5('task' || n)::uuid::text, 'process_photo', 'storage',
               CASE WHEN n %% 100 = 0 THEN 'failure' ELSE 'success' END, '{{"width": 640, "height": 480}}', {at}, {at},
               md5('run' || n)::uuid, 1, 2
        FROM generate_series(1, %(rows)s) n
        """,
    ),
    "tasks.task_history": (
        2_400_000,
        """
        SELECT md5('event' || n)::uuid, md5('task' || (n + 2) / 3)::uuid::text,
               (ARRAY['queued', 'started', 'completed'])[1 + n %% 3], '{{"attempt": 1}}', {at}
        FROM generate_series(1, %(rows)s) n
        """,
    ),
}
for _schema in ("waste", "chat_llm", "auth", "users", "locations", "recycle_info"):
    TABLES[f"{_schema}.idempotency"] = (
        100_000,
        """
        SELECT {who}, 'POST /x', n::text, '', 202, '{{}}', '{{"id": "x"}}', %(now)s::timestamptz - n * interval '1 second'
        FROM generate_series(1, %(rows)s) n
        """,
    )
    TABLES[f"{_schema}.outbox (id, actor, message, subject, created_at, due_at, time_limit)"] = (
        100_000,
        """
        SELECT md5('task' || n)::uuid, 'storage/process_photo', '{{}}', md5('analysis' || n)::uuid,
               %(now)s::timestamptz - n * interval '1 second', %(now)s::timestamptz - n * interval '1 second', '60 s'
        FROM generate_series(1, %(rows)s) n
        """,
    )
    TABLES[f"{_schema}.failed_tasks"] = (
        20_000,
        """
        SELECT md5('failed' || n)::uuid, 'storage/process_photo', '{{}}', NULL, md5('analysis' || n)::uuid, NULL,
               %(now)s::timestamptz, '60 s', 1, 0, 'broken', 'It broke.', %(now)s::timestamptz - n * interval '1 minute'
        FROM generate_series(1, %(rows)s) n
        """,
    )


# What triggers would have written.
DERIVED = [
    "TRUNCATE waste.counts",
    """
    INSERT INTO waste.counts (user_id, waste_type, analyses)
    SELECT user_id, COALESCE(corrected_type, waste_type, ''), count(*)
    FROM waste.analyses
    WHERE status = 'success'
    GROUP BY 1, 2
    """,
]


def fill(conn: psycopg.Connection[Any], size: float, now: datetime) -> dict[str, int]:
    """Empty every table that grows, fill it to this size, and have the planner know it; the rows of each table."""
    names = {name.split(" ")[0] for name in TABLES}
    conn.execute(f"TRUNCATE {', '.join(names)} CASCADE")
    # Foreign keys were checked when they were written; here they cost most of the time.
    conn.execute("SET session_replication_role = replica")
    counts = {}
    people = max(2, int(PEOPLE * size))
    for name, (rows, statement) in TABLES.items():
        count = max(1, int(rows * size))
        values = {"rows": count, "people": people, "now": now.replace(tzinfo=None)}
        conn.execute(
            f"INSERT INTO {name} {statement.format(who=_WHO.replace('%', '%%').replace('%%(', '%('), at=_AT)}", values
        )
        counts[name.split(" ")[0]] = count
    conn.execute("SET session_replication_role = origin")
    for statement in DERIVED:
        conn.execute(statement)
    for name in sorted(names):
        conn.execute(f"VACUUM (ANALYZE) {name}")
    return counts


def bytes_of(conn: psycopg.Connection[Any], counts: dict[str, int]) -> dict[str, float]:
    """Bytes a row of each table, with its indexes and its long values."""
    found = {}
    for name, rows in counts.items():
        row = conn.execute("SELECT pg_total_relation_size(%s::regclass)", [name]).fetchone()
        assert row is not None
        found[name] = row[0] / rows
    return found
