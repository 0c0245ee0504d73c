-- Whether a picture is still somebody's is asked at the end of each check of one.
CREATE INDEX profiles_avatar ON users.profiles (avatar_id) WHERE avatar_id IS NOT NULL;
