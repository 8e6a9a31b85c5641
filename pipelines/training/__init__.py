"""From a split dataset to a trained model: examples, batches, validation, run directory."""
