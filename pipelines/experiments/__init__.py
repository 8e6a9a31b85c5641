"""The paper's experiments: variants of a model, compared over several seeds."""
