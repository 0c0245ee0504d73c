CREATE TABLE recycle_info.categories (
    category VARCHAR(50) PRIMARY KEY, name_ko TEXT NOT NULL, name_en TEXT NOT NULL, position SMALLINT NOT NULL);

-- The second language, and the words people use. how_to_recycle and do_not_do hold one step a line, in both languages.
ALTER TABLE recycle_info.items
    ADD COLUMN slug VARCHAR(100) UNIQUE,
    ADD COLUMN name_en VARCHAR(200),
    ADD COLUMN synonyms TEXT[] NOT NULL DEFAULT '{}',
    ADD COLUMN synonyms_en TEXT[] NOT NULL DEFAULT '{}',
    ADD COLUMN description_en TEXT,
    ADD COLUMN how_to_recycle_en TEXT,
    ADD COLUMN do_not_do_en TEXT,
    ALTER COLUMN images SET DEFAULT '[]';
CREATE INDEX items_by_name ON recycle_info.items (name, id);
CREATE INDEX items_by_category ON recycle_info.items (category, name, id);
CREATE INDEX user_queries_by_user ON recycle_info.user_queries (user_id, created_at DESC, id DESC);

-- A name as it is compared: full-width and upper-case letters made plain, blanks and signs gone ("아이스 팩" is "아이스팩").
CREATE FUNCTION recycle_info.fold(name TEXT) RETURNS TEXT LANGUAGE SQL IMMUTABLE STRICT PARALLEL SAFE
    RETURN pg_catalog.regexp_replace(pg_catalog.lower(normalize(name, NFKC)), '[^[:alnum:]]+', '', 'g');

-- The same as it is heard. Decomposed into jamo, so that a trigram is about a syllable and a half and a two-syllable word
-- has some to be found by; then letters that sound alike are made one: 패트병 and 페트병 are equal here, and so are 햇반
-- and 햍반. In this order: ㅑㅕㅛㅠ as ㅏㅓㅗㅜ; ㄲㄸㅃㅆㅉ as ㄱㄷㅂㅅㅈ; ㅐㅒㅖ as ㅔ; ㅙㅚ as ㅞ; the final consonants as
-- the first consonants they are spoken like, so that 뽁뽀기 shares most of 뽁뽁이's trigrams.
CREATE FUNCTION recycle_info.sound(name TEXT) RETURNS TEXT LANGUAGE SQL IMMUTABLE STRICT PARALLEL SAFE
    RETURN pg_catalog.translate(normalize(recycle_info.fold(name), NFD),
        U&'\1163\1167\116D\1172\1101\1104\1108\110A\110D\1162\1164\1168\116B\116C\11A8\11A9\11AA\11BF\11B0\11AB\11AC\11AD\11AE\11BA\11BB\11BD\11BE\11C0\11C2\11AF\11B2\11B3\11B4\11B6\11B7\11B1\11B8\11C1\11B9\11B5',
        U&'\1161\1165\1169\116E\1100\1103\1107\1109\110C\1166\1166\1166\1170\1170\1100\1100\1100\1100\1100\1102\1102\1102\1103\1103\1103\1103\1103\1103\1103\1105\1105\1105\1105\1105\1106\1106\1107\1107\1107\1107');

-- What is left of a sound without its vowels: 남비 and 냄비, bycicle and bicycle have the same.
CREATE FUNCTION recycle_info.skeleton(name TEXT) RETURNS TEXT LANGUAGE SQL IMMUTABLE STRICT PARALLEL SAFE
    RETURN pg_catalog.regexp_replace(recycle_info.sound(name), U&'[\1161-\1175aeiouy]+', '', 'g');

-- A sound, and the sound without each one of its letters: two that differ by one letter, or by two that changed places, have
-- one of these in common. A short word with a wrong letter keeps too few trigrams to be found by them.
CREATE FUNCTION recycle_info.shortened(name TEXT) RETURNS TEXT[] LANGUAGE SQL IMMUTABLE STRICT PARALLEL SAFE
    RETURN (SELECT pg_catalog.array_agg(DISTINCT pg_catalog.overlay(heard, '', letter, 1)) || heard
        FROM (SELECT recycle_info.sound(name) AS heard) AS s
        CROSS JOIN LATERAL pg_catalog.generate_series(1, LEAST(pg_catalog.length(heard), 14)) AS letter
        WHERE pg_catalog.length(heard) < 15 GROUP BY heard);

-- Every word an item is found by, a row each: names and synonyms in both languages.
CREATE TABLE recycle_info.item_names (
    item_id UUID NOT NULL REFERENCES recycle_info.items (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    is_synonym BOOLEAN NOT NULL,
    folded TEXT GENERATED ALWAYS AS (recycle_info.fold(name)) STORED,
    sound TEXT GENERATED ALWAYS AS (recycle_info.sound(name)) STORED,
    skeleton TEXT GENERATED ALWAYS AS (recycle_info.skeleton(name)) STORED,
    shortened TEXT[] GENERATED ALWAYS AS (recycle_info.shortened(name)) STORED,
    PRIMARY KEY (item_id, name));
-- One trigram index and no second: beside another the planner picks a scan (ARCHITECTURE.md).
CREATE INDEX item_names_trigrams ON recycle_info.item_names USING gin (sound public.gin_trgm_ops)
    -- Without a list of pending entries, which each search would read through until the next VACUUM (4 ms instead of 0.2).
    WITH (fastupdate = off);
CREATE INDEX item_names_sound ON recycle_info.item_names (sound);
CREATE INDEX item_names_skeleton ON recycle_info.item_names (skeleton);
CREATE INDEX item_names_shortened ON recycle_info.item_names USING gin (shortened) WITH (fastupdate = off);

-- The names that contain a word, differ from it by a letter, share its consonants or most of its trigrams: some hundred of
-- each kind at most, so that a word which thousands of names contain costs no more than another. A function for its
-- settings: the planner takes comparing trigrams for as cheap as comparing numbers, and scans 5,000 names in 50 ms where
-- the index takes 0.2; and how much must be alike depends on the length: about what two wrong letters leave of the trigrams.
CREATE FUNCTION recycle_info.near(word TEXT) RETURNS SETOF recycle_info.item_names
    LANGUAGE plpgsql STABLE STRICT ROWS 50 SET enable_seqscan = off SET pg_trgm.word_similarity_threshold = 0.6 AS $$
DECLARE
    wanted CONSTANT TEXT := recycle_info.sound(word);
    consonants CONSTANT TEXT := recycle_info.skeleton(word);
    letters CONSTANT REAL := pg_catalog.length(wanted);
    containing INTEGER;
BEGIN
    -- The name itself comes first in this order, so the limit never cuts it off.
    RETURN QUERY SELECT n.* FROM recycle_info.item_names n
        WHERE n.sound >= wanted AND n.sound < wanted || pg_catalog.chr(1114111) ORDER BY n.sound LIMIT 100;
    -- LIKE needs no escaping: a folded name has neither % nor _.
    RETURN QUERY SELECT f.* FROM (SELECT n.* FROM recycle_info.item_names n WHERE n.sound LIKE '%' || wanted || '%' LIMIT 250) f
        WHERE NOT pg_catalog.starts_with(f.sound, wanted);
    GET DIAGNOSTICS containing = ROW_COUNT;
    RETURN QUERY SELECT n.* FROM recycle_info.item_names n
        WHERE n.shortened OPERATOR(pg_catalog.&&) recycle_info.shortened(word) LIMIT 100;
    IF pg_catalog.length(consonants) > 1 THEN
        RETURN QUERY SELECT n.* FROM recycle_info.item_names n WHERE n.skeleton = consonants LIMIT 100;
    END IF;
    -- A word that many names contain is spelt as it was meant.
    IF letters > 6 AND containing < 20 THEN
        -- Not `%`: it compares with all trigrams of the name, so the index lets through whatever has a common ending.
        PERFORM pg_catalog.set_config('pg_trgm.word_similarity_threshold',
            LEAST(0.65, GREATEST(0.45, (letters - 5) / (letters + 1)))::TEXT, TRUE);
        RETURN QUERY SELECT f.* FROM
            (SELECT n.* FROM recycle_info.item_names n WHERE n.sound OPERATOR(public.%>) wanted LIMIT 500) f
            WHERE pg_catalog.strpos(f.sound, wanted) = 0
            ORDER BY public.similarity(f.sound, wanted) DESC LIMIT 100;
    END IF;
END $$;

-- Whoever writes an item, its words follow.
CREATE FUNCTION recycle_info.index_names() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM recycle_info.item_names WHERE item_id = NEW.id;
    INSERT INTO recycle_info.item_names (item_id, name, is_synonym)
        SELECT NEW.id, word, pg_catalog.bool_and(is_synonym) FROM (
            SELECT NEW.name AS word, FALSE AS is_synonym
            UNION ALL SELECT NEW.name_en, FALSE
            UNION ALL SELECT pg_catalog.unnest(NEW.synonyms || NEW.synonyms_en), TRUE) AS words
        WHERE recycle_info.fold(word) <> '' GROUP BY word;
    RETURN NULL;
END $$;
CREATE TRIGGER items_index_names AFTER INSERT OR UPDATE OF name, name_en, synonyms, synonyms_en ON recycle_info.items
    FOR EACH ROW EXECUTE FUNCTION recycle_info.index_names();
