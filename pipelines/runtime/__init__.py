"""What all packages stand on: errors, text, the terminal, hardware."""
