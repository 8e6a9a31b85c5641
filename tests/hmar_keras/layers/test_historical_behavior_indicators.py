import numpy as np
import pytest
import reference
from histories import many_candidates, many_histories
from keras import ops
from layer_checks import run_layer_test

from hmar_keras.layers import HistoricalBehaviorIndicators

LENGTH, ITEMS, BEHAVIORS, ROWS = 6, 3, 3, 60
items, behaviors = many_histories(ROWS, LENGTH, ITEMS, BEHAVIORS)
layer = HistoricalBehaviorIndicators(BEHAVIORS)


def count(*inputs):
    return ops.convert_to_numpy(layer(*inputs))


@pytest.mark.parametrize("with_candidates", [False, True])
def test_layer(tmp_path, with_candidates):
    items = np.array([[0, 0, 2, 1], [2, 2, 1, 2]], "int32")
    behaviors = np.array([[0, 0, 1, 3], [1, 1, 2, 3]], "int32")
    chosen = np.array([[[1, 2, 0]] * 2] * 2, "int32")
    inputs = (items, behaviors, chosen) if with_candidates else (items, behaviors)
    kwargs = {"num_behaviors": BEHAVIORS}
    run_layer_test(HistoricalBehaviorIndicators, kwargs, inputs, tmp_path, float32_output=True)


def test_positions_count_their_item_so_far():
    counts = count(items, behaviors)
    for row in range(ROWS):
        expected = reference.indicators(items[row], behaviors[row], BEHAVIORS)
        np.testing.assert_array_equal(counts[row], expected)


def test_candidates_count_events_before_them():
    chosen = many_candidates(ROWS, 3, 4, ITEMS)
    counts = count(items, behaviors, chosen)
    for row, step, column in np.ndindex(chosen.shape):
        t = LENGTH - 3 + step
        expected = reference.candidate_indicators(
            items[row], behaviors[row], t, chosen[row, step, column], BEHAVIORS
        )
        np.testing.assert_array_equal(counts[row, step, column], expected)


def test_the_item_at_a_position_counts_as_a_candidate_for_the_next():
    as_candidates = count(items, behaviors, items[:, :, None])
    np.testing.assert_array_equal(as_candidates[:, :, 0], count(items, behaviors))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "bfloat16"])
def test_long_histories_are_counted_exactly_under_every_policy(policy):
    # bfloat16 represents every integer exactly only up to 256.
    items = np.ones((1, 301), "int32")
    mixed = HistoricalBehaviorIndicators(1, dtype=policy)
    counts = ops.convert_to_numpy(mixed(items, items))
    np.testing.assert_array_equal(counts[0, :, 0], np.arange(1, 302))


def test_candidates_may_be_of_another_integer_type():
    items = np.array([[1, 2]], "int32")
    counts = count(items, np.array([[1, 3]], "int32"), np.array([[[1, 2]]], "int64"))
    np.testing.assert_array_equal(counts, [[[[1, 0, 0], [0, 0, 1]]]])


def test_no_behavior_is_an_error():
    with pytest.raises(ValueError, match="num_behaviors must be at least 1, got 0"):
        HistoricalBehaviorIndicators(0)
