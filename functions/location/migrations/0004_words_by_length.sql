-- A word with one letter wrong is as long as the right one, or one or two letters off. In one index with the trigrams, so
-- that it is decided there: of the thousands of words that end in 행정복지센터 only those are looked at that can be meant.
ALTER TABLE locations.center_words ADD COLUMN lengths INTEGER[] GENERATED ALWAYS AS (ARRAY[
    char_length(normalize(word, NFD)) - 2, char_length(normalize(word, NFD)) - 1, char_length(normalize(word, NFD)),
    char_length(normalize(word, NFD)) + 1, char_length(normalize(word, NFD)) + 2]) STORED;
DROP INDEX locations.center_words_letters;
CREATE INDEX center_words_letters ON locations.center_words USING gin (letters public.gin_trgm_ops, lengths);
