CREATE TABLE tasks.task_results (
    id UUID PRIMARY KEY, task_id VARCHAR(255) UNIQUE NOT NULL, task_name VARCHAR(100) NOT NULL,
    worker_name VARCHAR(50) NOT NULL,  -- storage, ai
    status VARCHAR(20) NOT NULL,       -- pending, success, failure
    result JSONB, error TEXT, started_at TIMESTAMP NOT NULL, completed_at TIMESTAMP,
    synced_at TIMESTAMP DEFAULT NOW());
CREATE TABLE tasks.task_history (
    id UUID PRIMARY KEY, task_id VARCHAR(255) NOT NULL,
    event_type VARCHAR(50) NOT NULL,   -- queued, started, completed, failed
    event_data JSONB, timestamp TIMESTAMP DEFAULT NOW());
CREATE INDEX idx_tasks_worker ON tasks.task_results(worker_name);
CREATE INDEX idx_tasks_status ON tasks.task_results(status);
CREATE INDEX idx_tasks_completed ON tasks.task_results(completed_at);
