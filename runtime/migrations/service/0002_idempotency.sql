-- The answer that a request with this Idempotency-Key was given; the relay deletes rows after 24 hours.
CREATE TABLE {schema}.idempotency (
    user_id UUID NOT NULL, scope TEXT NOT NULL, key TEXT NOT NULL, body_hash BYTEA NOT NULL,
    status INTEGER NOT NULL, headers JSONB NOT NULL, answer JSONB, created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (user_id, scope, key));
CREATE INDEX idempotency_created_at ON {schema}.idempotency (created_at);
