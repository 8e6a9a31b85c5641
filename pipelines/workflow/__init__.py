"""The steps behind the commands: requests, their settings, runs and their data."""
