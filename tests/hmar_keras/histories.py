"""Hypothesis strategies for histories, and the settings of every property test here."""

import hypothesis
import numpy as np
from hypothesis import strategies as st

# The same examples in every run; a first call compiles, so no deadline.
property_test = hypothesis.settings(deadline=None, max_examples=30, derandomize=True, database=None)


@st.composite
def histories(draw, length, num_items, num_behaviors, min_events=0):
    """Item and behaviour ids `[1, length]` with any amount of padding on the left."""
    events = draw(st.integers(min_events, length))

    def ids(high):
        drawn = draw(st.lists(st.integers(1, high), min_size=events, max_size=events))
        return np.array([[0] * (length - events) + drawn], "int32")

    return ids(num_items), ids(num_behaviors)


def candidates(steps, width, num_items):
    """Candidate ids `[1, steps, width]`, padding among them."""
    count = steps * width
    lists = st.lists(st.integers(0, num_items), min_size=count, max_size=count)
    return lists.map(lambda ids: np.array(ids, "int32").reshape(1, steps, width))
