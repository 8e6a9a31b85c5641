"""Batches of many histories, and the settings of property tests."""

import itertools

import hypothesis
import numpy as np

# The same examples in every run.
property_test = hypothesis.settings(deadline=None, max_examples=30, derandomize=True, database=None)


def every_history(length, num_behaviors):
    """Returns all possible histories: behaviour ids int32 `[histories, length]`, left-padded."""
    ids = range(1, num_behaviors + 1)
    return np.array(
        [
            [0] * (length - events) + list(history)
            for events in range(length + 1)
            for history in itertools.product(ids, repeat=events)
        ],
        "int32",
    )


def many_histories(rows, length, num_items, num_behaviors, min_events=0, seed=0):
    """Returns random item and behaviour ids, int32 `[rows, length]`, with any amount of padding."""
    rng = np.random.default_rng(seed)
    events = min_events + np.arange(rows) % (length + 1 - min_events)
    is_event = np.arange(length) >= length - events[:, None]
    items = rng.integers(1, num_items + 1, (rows, length)) * is_event
    behaviors = rng.integers(1, num_behaviors + 1, (rows, length)) * is_event
    return items.astype("int32"), behaviors.astype("int32")


def many_candidates(rows, steps, width, num_items, seed=1):
    """Returns random candidate ids, int32 `[rows, steps, width]`, some of them padding."""
    return np.random.default_rng(seed).integers(0, num_items + 1, (rows, steps, width), "int32")
