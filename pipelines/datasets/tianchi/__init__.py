"""Tianchi as the paper uses it."""
