-- Whose task it is, under a name that does not say who: a relay with a backlog takes people in turn. Null is no one's.
ALTER TABLE {schema}.outbox ADD COLUMN person TEXT;
