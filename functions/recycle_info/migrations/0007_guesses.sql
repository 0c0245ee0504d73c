-- Comparing trigrams is what a search spends its time with: a search for a name that is there, or differs by a letter, needs
-- none. So `near` and `guesses` are two functions, and the second is called where the first found nothing.

-- The names that contain a word, differ from it by a letter or share its consonants: some hundred of each kind at most, so
-- that a word which thousands of names contain costs no more than another. A function for its setting: the planner takes
-- 5,000 names for quickly read through.
CREATE OR REPLACE FUNCTION recycle_info.near(word TEXT) RETURNS SETOF recycle_info.item_names
    LANGUAGE plpgsql STABLE STRICT ROWS 50 SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    wanted CONSTANT TEXT := recycle_info.sound(word);
    consonants CONSTANT TEXT := recycle_info.skeleton(word);
BEGIN
    -- The name itself comes first in this order, so the limit never cuts it off.
    RETURN QUERY SELECT n.* FROM recycle_info.item_names n
        WHERE n.sound >= wanted AND n.sound < wanted || pg_catalog.chr(1114111) ORDER BY n.sound LIMIT 100;
    -- LIKE needs no escaping: a folded name has neither % nor _.
    RETURN QUERY SELECT f.* FROM (SELECT n.* FROM recycle_info.item_names n WHERE n.sound LIKE '%' || wanted || '%' LIMIT 250) f
        WHERE NOT pg_catalog.starts_with(f.sound, wanted);
    RETURN QUERY SELECT n.* FROM recycle_info.item_names n
        WHERE n.shortened OPERATOR(pg_catalog.&&) recycle_info.shortened(word) LIMIT 100;
    IF pg_catalog.length(consonants) > 1 THEN
        RETURN QUERY SELECT n.* FROM recycle_info.item_names n WHERE n.skeleton = consonants LIMIT 100;
    END IF;
END $$;

-- A function may be created with a setting of a library only once the session has loaded the library.
DO $$ BEGIN PERFORM public.similarity('', ''); END $$;

-- The names that share most of a word's trigrams: about what a wrong syllable, or two letters too many or too few, leave of
-- them. Below that, whatever has a common ending is let through, and read for 10 ms.
CREATE FUNCTION recycle_info.guesses(word TEXT) RETURNS SETOF recycle_info.item_names
    LANGUAGE plpgsql STABLE STRICT ROWS 50 SET enable_seqscan = off SET plan_cache_mode = force_generic_plan SET pg_trgm.word_similarity_threshold = 0.6 AS $$
DECLARE
    wanted CONSTANT TEXT := recycle_info.sound(word);
    letters CONSTANT REAL := pg_catalog.length(wanted);
BEGIN
    -- A shorter one has too few trigrams, and a text of more is no name.
    IF letters BETWEEN 7 AND 60 THEN
        -- Not `%`: it compares with all trigrams of the name, so the index lets through whatever has a common ending.
        PERFORM pg_catalog.set_config('pg_trgm.word_similarity_threshold',
            LEAST(0.65, GREATEST(0.58, (letters - 5) / (letters + 1)))::TEXT, TRUE);
        RETURN QUERY SELECT f.* FROM
            (SELECT n.* FROM recycle_info.item_names n WHERE n.sound OPERATOR(public.%>) wanted LIMIT 500) f
            ORDER BY public.similarity(f.sound, wanted) DESC LIMIT 100;
    END IF;
END $$;
