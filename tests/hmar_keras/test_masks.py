import numpy as np
from histories import histories, property_test
from hypothesis import given
from keras import ops

from hmar_keras import masks

LENGTH, BEHAVIORS = 5, 3


def test_causal_mask_allows_what_is_not_later():
    expected = [[key <= query for key in range(LENGTH)] for query in range(LENGTH)]
    np.testing.assert_array_equal(ops.convert_to_numpy(masks.causal_mask(LENGTH)), expected)


@property_test
@given(histories(LENGTH, 9, BEHAVIORS))
def test_masks_by_their_definitions(history):
    items, behaviors = history
    real = ops.convert_to_numpy(masks.event_mask(items))[0]
    past = ops.convert_to_numpy(masks.history_mask(items))[0]
    same = ops.convert_to_numpy(masks.same_behavior_mask(behaviors))[0]
    for query in range(LENGTH):
        assert real[query] == (items[0, query] != 0)
        for key in range(LENGTH):
            may = bool(key <= query and items[0, key] != 0)
            assert past[query, key] == may
            assert same[query, key] == (may and behaviors[0, query] == behaviors[0, key])
