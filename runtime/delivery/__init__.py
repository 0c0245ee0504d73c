"""Tasks on their way: from the outbox over the broker to a queue function, and back."""
