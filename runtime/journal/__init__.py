"""A worker's journal: SQLite beside the worker, and the syncer that copies it to PostgreSQL."""
