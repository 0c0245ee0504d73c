-- No statement of this version looks for due rows of all actors at once.
DROP INDEX {schema}.outbox_due;
