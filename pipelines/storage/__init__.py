"""Files that outlive a process: written completely, checked when read, held by one process."""
