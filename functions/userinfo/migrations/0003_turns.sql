-- Changes of one person's rows take turns by locking one of these rows. An advisory lock's key could be held by any other role.
CREATE TABLE users.turns (slot SMALLINT PRIMARY KEY);
INSERT INTO users.turns (slot) SELECT generate_series(0, 255);
