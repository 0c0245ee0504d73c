-- What holds for a whole category: the guide of a photo whose kind is known and whose thing is not.
ALTER TABLE recycle_info.categories
    ADD COLUMN how_to_recycle TEXT NOT NULL DEFAULT '', ADD COLUMN do_not_do TEXT NOT NULL DEFAULT '',
    ADD COLUMN how_to_recycle_en TEXT NOT NULL DEFAULT '', ADD COLUMN do_not_do_en TEXT NOT NULL DEFAULT '';
