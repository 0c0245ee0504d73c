-- A list of tasks is the oldest or the latest of a status: with the time in the index it is read from one end.
DROP INDEX tasks.idx_tasks_status;
CREATE INDEX idx_tasks_status ON tasks.task_results(status, started_at);
