import numpy as np
import pytest
from keras import ops
from layer_checks import randomize, run_layer_test
from reference_model import assert_close

from hmar_keras.layers import BehaviorDense

BEHAVIOR_IDS = np.array([[0, 1, 3, 2], [2, 2, 1, 3]], "int32")
INPUTS = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")


@pytest.mark.parametrize("use_bias", [False, True])
def test_layer(tmp_path, use_bias):
    kwargs = {"num_behaviors": 3, "units": 5, "activation": "tanh", "use_bias": use_bias}
    run_layer_test(BehaviorDense, kwargs, (INPUTS, BEHAVIOR_IDS), tmp_path)


@pytest.mark.parametrize("use_bias", [False, True])
def test_applies_to_every_position_its_own_weights(use_bias):
    layer = BehaviorDense(3, 5, activation="relu", use_bias=use_bias)
    layer.build(INPUTS.shape)
    randomize(layer)
    outputs = ops.convert_to_numpy(layer(INPUTS, BEHAVIOR_IDS))
    kernel = ops.convert_to_numpy(layer.kernel)
    bias = ops.convert_to_numpy(layer.bias) if use_bias else np.zeros((3, 5))
    for index in np.ndindex(BEHAVIOR_IDS.shape):
        b = BEHAVIOR_IDS[index] - 1
        expected = np.maximum(INPUTS[index] @ kernel[b] + bias[b], 0) if b >= 0 else np.zeros(5)
        assert_close(outputs[index], expected)


def test_every_behavior_draws_a_kernel_of_its_own():
    layer = BehaviorDense(3, 40)
    layer.build((None, None, 20))
    kernel = ops.convert_to_numpy(layer.kernel)
    limit = np.sqrt(6 / (20 + 40))  # Glorot's limit for one kernel, not for three stacked
    for b in range(3):
        assert np.abs(kernel[b]).max() <= limit
        assert np.std(kernel[b]) == pytest.approx(limit / np.sqrt(3), rel=0.1)
        assert np.abs(kernel[b] - kernel[b - 1]).max() > 0.1 * limit
