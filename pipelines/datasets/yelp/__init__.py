"""Yelp as the paper uses it."""
