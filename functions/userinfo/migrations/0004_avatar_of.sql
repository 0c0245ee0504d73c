-- Whose picture an id is: asked for a thousand at a time by the sweep of objects without an owner.
CREATE INDEX profiles_avatar ON users.profiles (avatar_id) WHERE avatar_id IS NOT NULL;
