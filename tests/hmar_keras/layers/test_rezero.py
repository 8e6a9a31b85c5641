import numpy as np
from keras import ops
from layer_checks import randomize, run_layer_test
from reference_model import assert_close

from hmar_keras.layers import ReZero

BEHAVIOR_IDS = np.array([[0, 1, 3, 2], [2, 2, 1, 3]], "int32")
X, Y = np.random.default_rng(0).normal(size=(2, 2, 4, 3)).astype("float32")


def test_layer(tmp_path):
    run_layer_test(ReZero, {"num_behaviors": 3}, (X, Y, BEHAVIOR_IDS), tmp_path)


def test_starts_closed():
    np.testing.assert_array_equal(ops.convert_to_numpy(ReZero(3)(X, Y, BEHAVIOR_IDS)), Y)


def test_gates_every_position_by_its_own_behavior():
    layer = ReZero(3)
    layer.build(X.shape)
    randomize(layer)
    gamma = [0.0, *ops.convert_to_numpy(layer.gamma)]
    outputs = ops.convert_to_numpy(layer(X, Y, BEHAVIOR_IDS))
    for row, column in np.ndindex(BEHAVIOR_IDS.shape):
        expected = Y[row, column] + gamma[BEHAVIOR_IDS[row, column]] * X[row, column]
        assert_close(outputs[row, column], expected, 1e-6)
