-- Where an analysis stands, why it failed, and what the person says it is. image_url is empty until the photo is checked.
ALTER TABLE waste.analyses
    ADD COLUMN status VARCHAR(20) NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'failure', 'success')),
    ADD COLUMN upload_key VARCHAR(500),
    ADD COLUMN corrected_type VARCHAR(50),
    ADD COLUMN error TEXT,
    ADD COLUMN error_code VARCHAR(100),
    ADD COLUMN completed_at TIMESTAMP;
CREATE INDEX analyses_of_user ON waste.analyses (user_id, created_at DESC, id DESC);
CREATE INDEX analyses_without_guide ON waste.analyses (completed_at)
    WHERE status = 'success' AND analysis_result #>> '{guide,state}' = 'missing';
CREATE INDEX images_of_analysis ON waste.images (analysis_id);
-- A result that comes twice must not add its images twice.
CREATE UNIQUE INDEX images_s3_key ON waste.images (s3_key);
-- Uploads offered to people: each key is good for one analysis within the hour (shared/uploads.py).
CREATE TABLE waste.uploads (
    image_key TEXT PRIMARY KEY, user_id UUID NOT NULL, expires_at TIMESTAMPTZ NOT NULL, used_at TIMESTAMPTZ);
CREATE INDEX uploads_expiry ON waste.uploads (expires_at);
CREATE INDEX uploads_of_user ON waste.uploads (user_id);
