"""The stores on this machine: PostgreSQL, Redis, S3, and a server that speaks like an AI provider."""
