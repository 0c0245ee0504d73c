-- The first consonants of a name's syllables, as people type them in search boxes: ㄱㅈㅈ is 건전지. U+1100 to U+1112 are
-- the initial consonants of decomposed Hangul, and what NFKC makes of the letters of the keyboard (ㄱ).
CREATE FUNCTION recycle_info.initials(name TEXT) RETURNS TEXT LANGUAGE SQL IMMUTABLE STRICT PARALLEL SAFE
    RETURN pg_catalog.regexp_replace(normalize(recycle_info.fold(name), NFD), U&'[^\1100-\1112]+', '', 'g');
ALTER TABLE recycle_info.item_names
    ADD COLUMN initials TEXT GENERATED ALWAYS AS (recycle_info.initials(name)) STORED;
CREATE INDEX item_names_initials ON recycle_info.item_names (initials);
