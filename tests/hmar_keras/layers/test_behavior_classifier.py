import numpy as np
import pytest
from keras import ops
from layer_checks import randomize, run_layer_test
from reference_model import assert_close

from hmar_keras.layers import BehaviorClassifier

rng = np.random.default_rng(0)
STATES = rng.normal(size=(2, 5, 4)).astype("float32")
CANDIDATES = rng.normal(size=(2, 5, 4)).astype("float32")


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_logits_belong_to_the_last_steps(steps):
    layer, candidates = BehaviorClassifier(3), CANDIDATES[:, :steps]
    layer.build(STATES.shape, candidates.shape)
    randomize(layer)
    logits = ops.convert_to_numpy(layer(STATES, candidates))
    assert logits.shape == (2, steps, 3)
    W_1, B_1, W_2, B_2 = (
        ops.convert_to_numpy(weight)
        for dense in (layer.hidden, layer.output_dense)
        for weight in (dense.kernel, dense.bias)
    )
    for row, step in np.ndindex(2, steps):
        pair = np.concatenate([STATES[row, 5 - steps + step], candidates[row, step]])
        assert_close(logits[row, step], (pair @ W_1 + B_1) @ W_2 + B_2)


def test_layer(tmp_path):
    inputs = (STATES, CANDIDATES[:, :2])
    run_layer_test(BehaviorClassifier, {"num_behaviors": 3}, inputs, tmp_path, float32_output=True)
