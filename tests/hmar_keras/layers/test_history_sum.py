import numpy as np
from keras import ops
from layer_checks import randomize, run_layer_test
from reference_model import assert_close

from hmar_keras.layers import HistorySum

BEHAVIOR_IDS = np.array([[0, 1, 3, 2], [2, 2, 1, 3], [0, 0, 0, 0]], "int32")
STATES, ENCODED = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype("float32")
ENCODED *= (BEHAVIOR_IDS > 0)[..., None]


def outputs(layer, states=STATES, encoded=ENCODED, behavior_ids=BEHAVIOR_IDS):
    return ops.convert_to_numpy(layer(states, encoded, behavior_ids))


def test_layer(tmp_path):
    run_layer_test(HistorySum, {"num_behaviors": 3}, (STATES, ENCODED, BEHAVIOR_IDS), tmp_path)


def test_begins_as_the_sum_whatever_the_states_are():
    expected = np.cumsum(ENCODED, axis=1)
    events = np.cumsum(BEHAVIOR_IDS > 0, axis=1)[..., None]
    expected /= np.sqrt(np.maximum(events, 1))
    for states in (STATES, 100 * STATES):
        assert_close(outputs(HistorySum(3), states), expected, 1e-6)


def test_sums_event_by_event_with_the_gains_of_their_behaviours():
    layer = HistorySum(3)
    layer.build(STATES.shape)
    randomize(layer)
    gamma = float(layer.gamma)
    gain = ops.convert_to_numpy(layer.gain)
    actual = outputs(layer)
    for row, ids in enumerate(BEHAVIOR_IDS):
        total, events = np.zeros(5), 0
        for position, behavior in enumerate(ids):
            if behavior:
                total = total + gain[behavior - 1] * ENCODED[row, position]
                events += 1
            expected = gamma * STATES[row, position] + total / np.sqrt(max(events, 1))
            assert_close(actual[row, position], expected, 1e-6)


def test_neither_padding_nor_what_comes_later_matters():
    layer = HistorySum(3)
    layer.build(STATES.shape)
    randomize(layer)
    padded = [np.pad(x, [(0, 0), (3, 0)] + [(0, 0)] * (x.ndim - 2)) for x in (STATES, ENCODED)]
    ids = np.pad(BEHAVIOR_IDS, [(0, 0), (3, 0)])
    assert_close(outputs(layer, *padded, ids)[:, 3:], outputs(layer), 1e-6)
    later = ENCODED.copy()
    later[:, 2:] += 1
    np.testing.assert_array_equal(outputs(layer, encoded=later)[:, :2], outputs(layer)[:, :2])


def test_long_histories_keep_their_digits_in_half_precision():
    ids = np.ones((1, 1000), "int32")
    encoded = np.ones((1, 1000, 1), "float32")
    layer = HistorySum(1, dtype="mixed_bfloat16")
    last = float(ops.cast(layer(0 * encoded, encoded, ids)[0, -1, 0], "float32"))
    assert abs(last - np.sqrt(1000)) < 0.15  # summed in bfloat16 it would end at 256 / 31.6
