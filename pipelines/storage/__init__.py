"""Files that outlive a process: written whole, checked when read, held by one process."""
