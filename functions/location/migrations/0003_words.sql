-- The words of all names and addresses, once each: a misspelt word is compared with short words here, in a millisecond,
-- and not with a hundred thousand long texts. A word that no center has any more does no harm.
CREATE TABLE locations.center_words (
    word TEXT PRIMARY KEY,
    letters TEXT GENERATED ALWAYS AS (normalize(word, NFD)) STORED);
CREATE INDEX center_words_letters ON locations.center_words USING gin (letters public.gin_trgm_ops);

CREATE FUNCTION locations.keep_center_words() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO locations.center_words (word)
    SELECT DISTINCT word FROM written,
        regexp_split_to_table(lower(normalize(name || ' ' || address || ' ' || replace(name, ' ', ''), NFC)), '[^[:alnum:]]+')
            AS word
    WHERE length(word) BETWEEN 2 AND 100 AND word !~ '^[0-9]+(번길|길|층|호)?$'
    ORDER BY word  -- two imports at once take their locks in one order
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
-- For each statement: an import writes thousands of rows with one.
CREATE TRIGGER keep_words_of_new AFTER INSERT ON locations.recycle_centers
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION locations.keep_center_words();
CREATE TRIGGER keep_words_of_changed AFTER UPDATE ON locations.recycle_centers
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION locations.keep_center_words();
