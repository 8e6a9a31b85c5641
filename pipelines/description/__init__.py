"""What is in a dataset: numbers, tables for the terminal, a picture."""
