"""How well a scorer answers questions: ranks, metrics and baselines."""
