"""The object store: moto's S3 behind a check of every signature, with the objects on disk."""
