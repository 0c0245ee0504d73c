-- How many of a person's analyses succeeded, by kind: counted as they end, because counting twenty thousand of them at each look at
-- the statistics reads them all. A trigger after the rows comes when all rows of the statement are locked, so whoever changes many
-- takes their locks in the order of every other: analyses, then counts.
CREATE TABLE waste.counts (
    user_id UUID NOT NULL, waste_type VARCHAR(50) NOT NULL, analyses INTEGER NOT NULL, PRIMARY KEY (user_id, waste_type));

CREATE FUNCTION waste.count_one() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.status = 'success' THEN
        UPDATE waste.counts SET analyses = analyses - 1
            WHERE user_id = OLD.user_id AND waste_type = COALESCE(OLD.corrected_type, OLD.waste_type, '');
    END IF;
    IF NEW.status = 'success' THEN
        INSERT INTO waste.counts AS c (user_id, waste_type, analyses)
            VALUES (NEW.user_id, COALESCE(NEW.corrected_type, NEW.waste_type, ''), 1)
            ON CONFLICT (user_id, waste_type) DO UPDATE SET analyses = c.analyses + 1;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER count_new AFTER INSERT ON waste.analyses
    FOR EACH ROW WHEN (NEW.status = 'success') EXECUTE FUNCTION waste.count_one();
CREATE TRIGGER count_changed AFTER UPDATE OF status, waste_type, corrected_type, user_id ON waste.analyses
    FOR EACH ROW WHEN ((OLD.status, OLD.waste_type, OLD.corrected_type, OLD.user_id)
        IS DISTINCT FROM (NEW.status, NEW.waste_type, NEW.corrected_type, NEW.user_id)) EXECUTE FUNCTION waste.count_one();

-- By the statement: a person's erasure would else write each count twenty thousand times.
CREATE FUNCTION waste.count_deleted() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    UPDATE waste.counts c SET analyses = c.analyses - gone.analyses
        FROM (SELECT user_id, COALESCE(corrected_type, waste_type, '') AS waste_type, count(*) AS analyses FROM before
              WHERE status = 'success' GROUP BY 1, 2) gone
        WHERE c.user_id = gone.user_id AND c.waste_type = gone.waste_type;
    DELETE FROM waste.counts c
        WHERE c.analyses <= 0 AND c.user_id IN (SELECT user_id FROM before);
    RETURN NULL;
END $$;
CREATE TRIGGER count_deleted AFTER DELETE ON waste.analyses
    REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION waste.count_deleted();

INSERT INTO waste.counts (user_id, waste_type, analyses)
    SELECT user_id, COALESCE(corrected_type, waste_type, ''), count(*) FROM waste.analyses
    WHERE status = 'success' GROUP BY 1, 2;
