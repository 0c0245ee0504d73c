"""Requests with the state they met: recorded, sent again to another system beside this one, and compared."""
