"""Photos of waste, from upload to answer."""
