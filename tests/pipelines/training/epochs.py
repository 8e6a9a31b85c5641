"""Epochs of training batches as NumPy, from either batch maker."""

import numpy as np


def left_padded(values, length):
    """Returns a list of the last `length` values, left-padded with 0."""
    values = list(values)[-length:] if length else []
    return [0] * (length - len(values)) + values


def epochs_of(data, first, last):
    """Returns epochs `first` to `last` of either batch maker: a list of (inputs, targets)."""
    if hasattr(data, "dataset"):
        return list(data.dataset(first, last).as_numpy_iterator())
    found = []
    for epoch in range(first, last):
        data.begin(epoch)
        for batch in data:
            found.append(tuple({k: np.asarray(x) for k, x in part.items()} for part in batch))
    return found
