-- Which run gave the result, and a hash of the whole of it (record and payload) that the owner's row can be compared with.
ALTER TABLE tasks.task_results
    ADD COLUMN run_id UUID, ADD COLUMN runs INTEGER, ADD COLUMN revision BIGINT, ADD COLUMN result_hash TEXT,
    ADD COLUMN traceparent TEXT,
    ADD CONSTRAINT task_results_status CHECK (status IN ('pending', 'failure', 'success'));
CREATE INDEX idx_history_task ON tasks.task_history(task_id);
CREATE INDEX idx_history_timestamp ON tasks.task_history(timestamp);
-- Rows of a journal that PostgreSQL refuses, each with its reason. All text: whatever was refused must fit here.
CREATE TABLE tasks.quarantine (
    worker_name TEXT NOT NULL, row_id TEXT NOT NULL, task_id TEXT NOT NULL, task_name TEXT, status TEXT,
    revision BIGINT NOT NULL, reason TEXT NOT NULL, quarantined_at TIMESTAMP NOT NULL, released_at TIMESTAMP,
    PRIMARY KEY (worker_name, row_id));
