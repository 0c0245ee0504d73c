"""People: their profiles and settings."""
