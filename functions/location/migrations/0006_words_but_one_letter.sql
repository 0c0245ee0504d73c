-- A word, and the word without each one of its letters, as hashes: two words that differ by one letter, or by two that
-- changed places, have one of these in common. Where a place's name ends in 행정복지센터 as ten thousand others do, its
-- trigrams are theirs too, and comparing them all is most of such a search; these are its own.
CREATE FUNCTION locations.but_one_letter(letters TEXT) RETURNS INTEGER[] LANGUAGE SQL IMMUTABLE STRICT PARALLEL SAFE
    RETURN (SELECT pg_catalog.array_agg(DISTINCT pg_catalog.hashtext(pg_catalog.overlay(letters, '', letter, 1)))
            || pg_catalog.hashtext(letters)
        FROM pg_catalog.generate_series(1, pg_catalog.char_length(letters)) AS letter);
ALTER TABLE locations.center_words
    ADD COLUMN near INTEGER[] GENERATED ALWAYS AS (locations.but_one_letter(normalize(word, NFD))) STORED;
CREATE INDEX center_words_near ON locations.center_words USING gin (near);
-- What is left for the trigrams is LIKE. The column `lengths` stays until no old code asks for it.
DROP INDEX locations.center_words_letters;
CREATE INDEX center_words_letters ON locations.center_words USING gin (letters public.gin_trgm_ops);
