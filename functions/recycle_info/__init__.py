"""How things are recycled: categories, items and search."""
