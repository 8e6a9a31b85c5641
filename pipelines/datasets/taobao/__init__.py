"""Taobao (Tmall) as the paper uses it."""
