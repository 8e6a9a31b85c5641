"""The steps behind the commands: a request, its settings, runs and their data."""
