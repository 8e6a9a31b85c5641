"""Retailrocket."""
