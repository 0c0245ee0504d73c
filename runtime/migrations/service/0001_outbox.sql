-- What every API schema has; {schema} is put in by runtime.migrate. Tasks accepted and not yet answered.
CREATE TABLE {schema}.outbox (
    id UUID PRIMARY KEY,                    -- the task's id
    actor TEXT NOT NULL,                    -- folder/function that works on it
    message JSONB NOT NULL,                 -- its keyword arguments
    reply TEXT,                             -- folder/function that takes the Outcome; null: the row is just deleted
    subject UUID NOT NULL,                  -- the owner's row that the task is about
    traceparent TEXT,
    created_at TIMESTAMPTZ NOT NULL,
    due_at TIMESTAMPTZ NOT NULL,            -- when the relay publishes it (again)
    time_limit INTERVAL NOT NULL,           -- the function's, for the time of the next attempt
    attempts INTEGER NOT NULL DEFAULT 0,
    retries INTEGER NOT NULL DEFAULT 0,     -- by an operator, after a failure
    published_to TEXT);                     -- which life of the broker has it: another one has lost it
CREATE INDEX outbox_due ON {schema}.outbox (due_at);
CREATE INDEX outbox_subject ON {schema}.outbox (subject);
-- Tasks that ended as failures, so that an operator can try them again; the relay deletes them after a week.
CREATE TABLE {schema}.failed_tasks (
    id UUID PRIMARY KEY, actor TEXT NOT NULL, message JSONB NOT NULL, reply TEXT, subject UUID NOT NULL,
    traceparent TEXT, created_at TIMESTAMPTZ NOT NULL, time_limit INTERVAL NOT NULL, attempts INTEGER NOT NULL,
    retries INTEGER NOT NULL, error_code TEXT, error_message TEXT, failed_at TIMESTAMPTZ NOT NULL);
CREATE INDEX failed_tasks_subject ON {schema}.failed_tasks (subject);
CREATE INDEX failed_tasks_failed_at ON {schema}.failed_tasks (failed_at);
-- The last slot of each schedule that was put into the outbox: once per slot, whichever replica comes first.
CREATE TABLE {schema}.schedule_slots (name TEXT PRIMARY KEY, slot BIGINT NOT NULL);
