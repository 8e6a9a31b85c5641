"""How well a scorer answers: ranks, metrics, and simple rules to compare with."""
