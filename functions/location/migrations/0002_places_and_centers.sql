-- A person has at most one default place, whatever requests come at the same instant.
CREATE UNIQUE INDEX user_locations_default ON locations.user_locations (user_id) WHERE is_default;
CREATE INDEX user_locations_user ON locations.user_locations (user_id, created_at DESC, id DESC);

ALTER TABLE locations.recycle_centers
    -- Waste types of the API, for the filter; and the source's own words for what is taken.
    ADD COLUMN items TEXT[] NOT NULL DEFAULT '{}',
    ADD COLUMN item_names TEXT[] NOT NULL DEFAULT '{}',
    -- The source's text where it holds more than the one number of `phone`.
    ADD COLUMN phone_note TEXT,
    -- Which list a center came from, its number there, and the region that list files it under: see import_centers.py.
    ADD COLUMN source TEXT NOT NULL DEFAULT '',
    ADD COLUMN source_serial TEXT,
    ADD COLUMN source_region TEXT,
    -- The point on the sphere. Neighbours in degrees are not neighbours in metres: at 37° north a degree east is 0.8 of
    -- one north. Stored, for a KNN scan asks for the distance of every row it returns.
    ADD COLUMN point public.earth GENERATED ALWAYS AS
        (public.ll_to_earth(latitude::double precision, longitude::double precision)) STORED,
    -- Hangul decomposed into its letters: 시청 has two syllables and one trigram, but six letters and four. A typing error
    -- is mostly one letter, and leaves the other two of its syllable as they are. The name stands in it a second time
    -- without spaces: half of the people write 송천동행정복지센터.
    ADD COLUMN search_text TEXT GENERATED ALWAYS AS
        (lower(normalize(name || ' ' || address || ' ' || replace(name, ' ', ''), NFD))) STORED;
CREATE INDEX recycle_centers_point ON locations.recycle_centers USING gist (point);
-- For map views, which are boxes in degrees.
CREATE INDEX recycle_centers_degrees ON locations.recycle_centers
    USING gist (point(longitude::double precision, latitude::double precision));
-- The only trigram index on this table: beside a second one the planner takes a scan of the table for cheaper.
CREATE INDEX recycle_centers_search ON locations.recycle_centers USING gin (search_text public.gin_trgm_ops);
CREATE INDEX recycle_centers_source ON locations.recycle_centers (source);
