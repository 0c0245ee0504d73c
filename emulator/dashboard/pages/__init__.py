"""A page of the dashboard each: its routes, and what reads for them. `app.py` puts them together."""
