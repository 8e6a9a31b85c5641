"""A user's own log."""
