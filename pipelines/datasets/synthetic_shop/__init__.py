"""The embedded dataset: a simulated shop."""
