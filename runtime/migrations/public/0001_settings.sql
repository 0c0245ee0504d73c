-- Common settings: read by every role, written by migrations and operators.
CREATE TABLE public.settings (
    key TEXT PRIMARY KEY, value JSONB NOT NULL, updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW());
INSERT INTO public.settings (key, value) VALUES
    ('functions.disabled', '[]'),          -- "storage/process_photo": its tasks wait in the outbox, its route answers 503
    ('tasks.retention_days', '90');        -- how long tasks.task_results and tasks.task_history keep a finished task
