"""The paper's experiments: variants of a model, over several seeds, side by side."""
