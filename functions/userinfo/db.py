"""The SQL of userinfo: profiles, settings, and the pictures being checked."""

from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct
from psycopg.rows import class_row

from shared.db import Connection, tried
from shared.fields import Language, Time

AvatarStatus = Annotated[
    Literal["none", "pending", "failure", "success"],
    Meta(
        title="AvatarStatus",
        description="How far a person's picture is: none was asked for, it is being checked, refused, shown.",
    ),
]
Theme = Annotated[Literal["light", "dark", "system"], Meta(title="Theme", description="The app's colours.")]

_Nickname = Annotated[str | None, Meta(examples=["초록이"])]
_AvatarUrl = Annotated[
    str | None,
    Meta(
        examples=[
            "https://cdn.example.com/images/019a0000-0000-7000-8000-000000000000/6ba5b4d395ac2dbf7017f6db06af1401-thumb.jpg"
        ]
    ),
]
_Bio = Annotated[str | None, Meta(examples=["분리배출 3년 차"])]


class Profile(Struct):
    """A person's profile as they see it themselves.

    Attributes:
        user_id: whose.
        nickname, bio: as the person wrote them; null until then.
        avatar_url: the picture; while a new one is being checked, the one before; null without any.
        updated_at: of the last change; of the registration where there was none.
        avatar_status: how far the picture that was asked for last has come.
        avatar_error: why it was refused, for the person; null unless it was.
    """

    user_id: UUID
    nickname: _Nickname
    avatar_url: _AvatarUrl
    bio: _Bio
    updated_at: Time | None
    avatar_status: Annotated[AvatarStatus, Meta(examples=["success"])]
    avatar_error: Annotated[str | None, Meta(examples=[None])]


class PublicProfile(Struct):
    """A person as others see them.

    Attributes:
        user_id: whose.
        nickname, avatar_url, bio: null where the person has none.
    """

    user_id: UUID
    nickname: _Nickname
    avatar_url: _AvatarUrl
    bio: _Bio


class Settings(Struct):
    """How the app is to behave for a person.

    Attributes:
        notification_enabled: whether to tell the person when something is done.
        language: the app's.
        theme: the app's.
    """

    notification_enabled: bool = True
    language: Language = "ko"
    theme: Theme = "light"


class AvatarState(Struct):
    """The picture that a profile shows, and the one it waits for."""

    avatar_id: UUID | None
    wanted_avatar_id: UUID | None


class Avatar(Struct):
    """A picture being checked."""

    id: UUID
    user_id: UUID
    image_key: str


async def lock_person(conn: Connection, user_id: UUID) -> None:
    """Let changes of one person's rows take turns, the first one too, when there is no row yet to lock."""
    await conn.execute(
        """
        SELECT
        FROM turns
        WHERE slot = hashtextextended(%s::text, 2) & 255
        FOR NO KEY UPDATE
        """,
        [user_id],
    )
    # How 0.1.0, which may run beside this while it is replaced, takes turns; to go with the release after. Tried and not waited
    # for: any other role could hold it.
    await tried(conn, "SELECT pg_try_advisory_xact_lock(hashtextextended(%s::text, 2))", [user_id])


async def select_profile(conn: Connection, user_id: UUID) -> Profile:
    """The profile; the defaults for a person who has written nothing yet."""
    cur = conn.cursor(row_factory=class_row(Profile))
    await cur.execute(
        """
        SELECT user_id, nickname, avatar_url, bio, updated_at,
               CASE WHEN wanted_avatar_id IS NOT NULL THEN 'pending'
                    WHEN avatar_error IS NOT NULL THEN 'failure'
                    WHEN avatar_url IS NOT NULL THEN 'success'
                    ELSE 'none' END AS avatar_status,
               avatar_error
        FROM profiles
        WHERE user_id = %s
        """,
        [user_id],
    )
    return await cur.fetchone() or Profile(user_id, None, None, None, _since(user_id), "none", None)


def _since(user_id: UUID) -> datetime | None:
    """When the person registered: ids of version 7 begin with the milliseconds of their making."""
    return datetime.fromtimestamp((user_id.int >> 80) / 1000, UTC) if user_id.version == 7 else None


async def select_public_profile(conn: Connection, user_id: UUID) -> PublicProfile | None:
    cur = conn.cursor(row_factory=class_row(PublicProfile))
    await cur.execute("SELECT user_id, nickname, avatar_url, bio FROM profiles WHERE user_id = %s", [user_id])
    return await cur.fetchone()


async def upsert_profile(conn: Connection, profile: Profile, now: datetime) -> None:
    """Write what a person may write by hand."""
    await conn.execute(
        """
        INSERT INTO profiles (user_id, nickname, bio, updated_at)
        VALUES (%s, %s, %s, %s)
        ON CONFLICT (user_id) DO UPDATE
        SET nickname = excluded.nickname, bio = excluded.bio, updated_at = excluded.updated_at
        """,
        [profile.user_id, profile.nickname, profile.bio, now.replace(tzinfo=None)],
    )


async def select_settings(conn: Connection, user_id: UUID) -> Settings:
    """The settings; the defaults for a person who has written nothing yet."""
    cur = conn.cursor(row_factory=class_row(Settings))
    await cur.execute("SELECT notification_enabled, language, theme FROM settings WHERE user_id = %s", [user_id])
    return await cur.fetchone() or Settings()


async def upsert_settings(conn: Connection, user_id: UUID, settings: Settings) -> None:
    await conn.execute(
        """
        INSERT INTO settings (user_id, notification_enabled, language, theme)
        VALUES (%s, %s, %s, %s)
        ON CONFLICT (user_id) DO UPDATE
        SET notification_enabled = excluded.notification_enabled, language = excluded.language,
            theme = excluded.theme
        """,
        [user_id, settings.notification_enabled, settings.language, settings.theme],
    )


# Pictures


async def insert_avatar(conn: Connection, avatar: Avatar, now: datetime) -> None:
    """Note that a picture is being checked, and that it is the one its person wants."""
    await conn.execute(
        "INSERT INTO avatars (id, user_id, image_key) VALUES (%s, %s, %s)",
        [avatar.id, avatar.user_id, avatar.image_key],
    )
    await conn.execute(
        """
        INSERT INTO profiles (user_id, wanted_avatar_id, updated_at)
        VALUES (%s, %s, %s)
        ON CONFLICT (user_id) DO UPDATE
        SET wanted_avatar_id = excluded.wanted_avatar_id, avatar_error = NULL, updated_at = excluded.updated_at
        """,
        [avatar.user_id, avatar.id, now.replace(tzinfo=None)],
    )


async def select_avatar(conn: Connection, avatar_id: UUID) -> Avatar | None:
    cur = conn.cursor(row_factory=class_row(Avatar))
    await cur.execute("SELECT id, user_id, image_key FROM avatars WHERE id = %s", [avatar_id])
    return await cur.fetchone()


async def select_avatar_shown(conn: Connection, avatar_id: UUID) -> bool:
    """Whether any profile shows this picture."""
    cur = await conn.execute("SELECT EXISTS (SELECT FROM profiles WHERE avatar_id = %s)", [avatar_id])
    row = await cur.fetchone()
    return row is not None and bool(row[0])


async def select_avatar_state(conn: Connection, user_id: UUID) -> AvatarState:
    cur = conn.cursor(row_factory=class_row(AvatarState))
    await cur.execute("SELECT avatar_id, wanted_avatar_id FROM profiles WHERE user_id = %s", [user_id])
    return await cur.fetchone() or AvatarState(None, None)


async def update_avatar(conn: Connection, user_id: UUID, avatar_id: UUID, url: str, now: datetime) -> None:
    """Show a picture that was checked."""
    await conn.execute(
        """
        UPDATE profiles
        SET avatar_id = %s, avatar_url = %s, wanted_avatar_id = NULL, avatar_error = NULL, updated_at = %s
        WHERE user_id = %s
        """,
        [avatar_id, url, now.replace(tzinfo=None), user_id],
    )


async def update_avatar_refused(conn: Connection, user_id: UUID, error: str, now: datetime) -> None:
    """Keep the picture that there is, and say why there is no new one."""
    await conn.execute(
        "UPDATE profiles SET wanted_avatar_id = NULL, avatar_error = %s, updated_at = %s WHERE user_id = %s",
        [error, now.replace(tzinfo=None), user_id],
    )


async def update_no_avatar(conn: Connection, user_id: UUID) -> None:
    """Show no picture, and wait for none."""
    await conn.execute(
        """
        UPDATE profiles
        SET avatar_id = NULL, avatar_url = NULL, wanted_avatar_id = NULL, avatar_error = NULL
        WHERE user_id = %s
        """,
        [user_id],
    )


async def delete_avatar(conn: Connection, avatar_id: UUID) -> None:
    await conn.execute("DELETE FROM avatars WHERE id = %s", [avatar_id])


async def delete_person(conn: Connection, user_id: UUID) -> list[UUID]:
    """Delete everything here that names a person; return the ids of their pictures, whose objects are to go too."""
    cur = await conn.execute("DELETE FROM avatars WHERE user_id = %s RETURNING id", [user_id])
    pictures = [row[0] for row in await cur.fetchall()]
    cur = await conn.execute("DELETE FROM profiles WHERE user_id = %s RETURNING avatar_id", [user_id])
    pictures += [row[0] for row in await cur.fetchall() if row[0] is not None]
    await conn.execute("DELETE FROM settings WHERE user_id = %s", [user_id])
    await conn.execute("DELETE FROM idempotency WHERE user_id = %s", [user_id])
    # Of a picture that was refused no row is left, but its task, kept for an operator, names whose upload it was.
    await conn.execute(
        "DELETE FROM failed_tasks WHERE starts_with(message ->> 'image_key', 'uploads/' || %s::text || '/')", [user_id]
    )
    return pictures


async def select_not_ours(conn: Connection, keys: list[str]) -> list[str]:
    """Which of these objects are no picture that is shown or being checked, and no upload of this service."""
    cur = await conn.execute(
        """
        SELECT k.key
        FROM unnest(%s::text[]) AS k (key)
        WHERE NOT EXISTS (SELECT FROM uploads u WHERE u.image_key = k.key)
          AND NOT EXISTS (
              SELECT
              FROM avatars a
              WHERE a.id = CASE WHEN starts_with(k.key, 'images/') THEN split_part(k.key, '/', 2)::uuid END)
          AND NOT EXISTS (
              SELECT
              FROM profiles p
              WHERE p.avatar_id = CASE WHEN starts_with(k.key, 'images/') THEN split_part(k.key, '/', 2)::uuid END
                AND right(p.avatar_url, length(k.key)) = k.key)
        ORDER BY k.key
        """,
        [keys],
    )
    return [row[0] for row in await cur.fetchall()]
