"""IJCAI-15 / Tmall."""
