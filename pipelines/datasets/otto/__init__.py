"""The OTTO sessions."""
