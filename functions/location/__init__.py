"""A person's places, and where waste is collected."""
