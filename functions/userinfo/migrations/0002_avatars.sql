ALTER TABLE users.profiles
    -- Whose picture avatar_url shows: its objects lie below images/<avatar_id>/.
    ADD COLUMN avatar_id UUID,
    -- The last one asked for, while it is being checked; the result of any other comes too late.
    ADD COLUMN wanted_avatar_id UUID,
    -- Why the last one asked for was refused.
    ADD COLUMN avatar_error TEXT;
-- Pictures that the storage worker is checking: which person asked, and the raw upload, which goes after the result.
CREATE TABLE users.avatars (id UUID PRIMARY KEY, user_id UUID NOT NULL, image_key TEXT NOT NULL);
CREATE INDEX avatars_of_user ON users.avatars (user_id);
-- Uploads offered to people: each key is good for one picture within the hour (shared/uploads.py).
CREATE TABLE users.uploads (
    image_key TEXT PRIMARY KEY, user_id UUID NOT NULL, expires_at TIMESTAMPTZ NOT NULL, used_at TIMESTAMPTZ);
CREATE INDEX uploads_expiry ON users.uploads (expires_at);
CREATE INDEX uploads_of_user ON users.uploads (user_id);
