-- The relay takes what is due actor by actor: one that is switched off, or whose queue is full, is not even looked at. With a
-- backlog of any size a turn reads the rows that it takes and one entry for each actor.
CREATE INDEX outbox_actor_due ON {schema}.outbox (actor, due_at);
-- What an operator looks at, and the age of the oldest of it: as a rule empty.
CREATE INDEX outbox_retried ON {schema}.outbox (created_at) WHERE attempts >= 3;
