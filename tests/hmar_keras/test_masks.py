import numpy as np
from histories import many_histories
from keras import ops

from hmar_keras import masks

LENGTH, BEHAVIORS = 5, 3


def test_causal_mask_allows_what_is_not_later():
    expected = [[key <= query for key in range(LENGTH)] for query in range(LENGTH)]
    np.testing.assert_array_equal(ops.convert_to_numpy(masks.causal_mask(LENGTH)), expected)


def test_masks_by_their_definitions():
    items, behaviors = many_histories(60, LENGTH, 9, BEHAVIORS)
    real = ops.convert_to_numpy(masks.event_mask(items))
    past = ops.convert_to_numpy(masks.history_mask(items))
    same = ops.convert_to_numpy(masks.same_behavior_mask(behaviors))
    np.testing.assert_array_equal(real, items != 0)
    for row, query, key in np.ndindex(past.shape):
        may = bool(key <= query and items[row, key] != 0)
        assert past[row, query, key] == may
        same_behavior = behaviors[row, query] == behaviors[row, key]
        assert same[row, query, key] == (may and same_behavior)
