"""The built-in dataset: a simulated shop."""
