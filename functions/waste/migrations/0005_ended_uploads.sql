-- Analyses that have ended and whose raw upload is still there: `drop_uploads` has many deleted at once.
CREATE INDEX analyses_with_upload ON waste.analyses (id) WHERE upload_key IS NOT NULL AND status <> 'pending';
