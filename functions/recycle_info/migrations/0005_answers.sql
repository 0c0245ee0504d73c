-- What a person may ask about an item: why, what if it is dirty or broken, and short answers to usual questions. `exceptions` and
-- `answers` are {"rinse": {"ko": "네, …", "en": "Yes, …"}, …}; `bins` names the bins and services of the steps.
ALTER TABLE recycle_info.items
    ADD COLUMN why TEXT,
    ADD COLUMN why_en TEXT,
    ADD COLUMN bins TEXT[] NOT NULL DEFAULT '{}',
    ADD COLUMN exceptions JSONB NOT NULL DEFAULT '{}',
    ADD COLUMN answers JSONB NOT NULL DEFAULT '{}',
    ADD COLUMN source JSONB;
