"""What all packages build on: errors, text, the terminal, hardware."""
