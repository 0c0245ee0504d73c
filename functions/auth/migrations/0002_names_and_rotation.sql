-- A name belongs to one person whatever its case: "Kim" must not be able to pass for "kim".
CREATE UNIQUE INDEX users_username_lower ON auth.users (lower(username));
CREATE UNIQUE INDEX users_email_lower ON auth.users (lower(email));

-- sessions.token holds the SHA-256 of the session's one valid refresh token; refresh_tokens keeps that of every token the
-- session ever had until it expires, so that the replay of an old one is seen.
ALTER TABLE auth.refresh_tokens
    ADD COLUMN session_id UUID REFERENCES auth.sessions (id) ON DELETE CASCADE,
    ADD COLUMN replaced_at TIMESTAMP,
    -- What its successor was derived with: kept for the last replaced token alone, for a client whose answer was lost.
    ADD COLUMN nonce BYTEA;
CREATE UNIQUE INDEX refresh_tokens_token ON auth.refresh_tokens (token);
CREATE INDEX refresh_tokens_session ON auth.refresh_tokens (session_id);
CREATE INDEX refresh_tokens_user ON auth.refresh_tokens (user_id);
CREATE INDEX refresh_tokens_expiry ON auth.refresh_tokens (expires_at);
CREATE INDEX sessions_user ON auth.sessions (user_id, created_at DESC, id DESC);
CREATE INDEX sessions_expiry ON auth.sessions (expires_at);
