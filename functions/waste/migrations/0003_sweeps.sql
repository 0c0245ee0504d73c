-- How far the sweep of objects without an owner has come below each prefix, and what its present round has found.
CREATE TABLE waste.sweeps (
    prefix TEXT PRIMARY KEY, after TEXT NOT NULL DEFAULT '', looked_at BIGINT NOT NULL DEFAULT 0,
    removed BIGINT NOT NULL DEFAULT 0, begun_at TIMESTAMPTZ NOT NULL, ended_at TIMESTAMPTZ);
