-- A center's second address: the list gives most places one by road and one by lot, and people search for the town of the
-- second (구월동), which the first does not name.
ALTER TABLE locations.recycle_centers ADD COLUMN other_address TEXT;
ALTER TABLE locations.recycle_centers ALTER COLUMN search_text SET EXPRESSION AS
    (lower(normalize(name || ' ' || address || ' ' || coalesce(other_address, '') || ' ' || replace(name, ' ', ''), NFD)));

CREATE OR REPLACE FUNCTION locations.keep_center_words() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO locations.center_words (word)
    SELECT DISTINCT word FROM written,
        regexp_split_to_table(lower(normalize(name || ' ' || address || ' ' || coalesce(other_address, '') || ' '
            || replace(name, ' ', ''), NFC)), '[^[:alnum:]]+') AS word
    WHERE length(word) BETWEEN 2 AND 100 AND word !~ '^[0-9]+(번길|길|층|호)?$'
    ORDER BY word  -- two imports at once take their locks in one order
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
