-- A load writes a thousand items with twelve thousand names: indexed by the statement instead of by the row, in a third of the time.
DROP TRIGGER items_index_names ON recycle_info.items;
DROP FUNCTION recycle_info.index_names();
CREATE FUNCTION recycle_info.index_names() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM recycle_info.item_names n USING written w WHERE n.item_id = w.id;
    INSERT INTO recycle_info.item_names (item_id, name, is_synonym)
        SELECT id, word, pg_catalog.bool_and(is_synonym) FROM (
            SELECT id, name AS word, FALSE AS is_synonym FROM written
            UNION ALL SELECT id, name_en, FALSE FROM written
            UNION ALL SELECT id, pg_catalog.unnest(synonyms || synonyms_en), TRUE FROM written) AS words
        WHERE recycle_info.fold(word) <> '' GROUP BY id, word;
    RETURN NULL;
END $$;
CREATE TRIGGER items_index_new_names AFTER INSERT ON recycle_info.items
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION recycle_info.index_names();
CREATE TRIGGER items_index_changed_names AFTER UPDATE ON recycle_info.items
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION recycle_info.index_names();
