import keras
import numpy as np
import pytest
import reference
from keras import ops
from layer_checks import randomize, run_layer_test
from reference_model import assert_close

from hmar_keras.layers import FeedForward

DIM, BEHAVIORS = 4, 3
BEHAVIOR_IDS = np.array([[1, 3, 1, 2], [2, 1, 3, 3]], "int32")
INPUTS = np.random.default_rng(0).normal(size=(2, 4, DIM)).astype("float32")


def make_layer(**kwargs):
    layer = FeedForward(**kwargs)
    layer.build(INPUTS.shape)
    randomize(layer)
    return layer


def weights_of(layer):
    dense = (layer.hidden, layer.output_dense)
    return [ops.convert_to_numpy(w) for each in dense for w in (each.kernel, each.bias)]


@pytest.mark.parametrize("num_behaviors", [None, BEHAVIORS])
@pytest.mark.parametrize("residual", [False, True])
def test_layer(tmp_path, num_behaviors, residual):
    inputs = (INPUTS,) if num_behaviors is None else (INPUTS, BEHAVIOR_IDS)
    kwargs = {"dropout": 0.1, "residual": residual, "num_behaviors": num_behaviors, "seed": 1}
    run_layer_test(FeedForward, kwargs, inputs, tmp_path)


@pytest.mark.parametrize("residual", [False, True])
def test_one_network_equals_the_reference(residual):
    layer = make_layer(residual=residual)
    for row, outputs in enumerate(ops.convert_to_numpy(layer(INPUTS))):
        assert_close(outputs, reference.feed_forward(INPUTS[row], *weights_of(layer), residual))


@pytest.mark.parametrize("residual", [False, True])
def test_a_network_for_each_behavior_equals_the_reference(residual):
    layer = make_layer(residual=residual, num_behaviors=BEHAVIORS)
    outputs = ops.convert_to_numpy(layer(INPUTS, BEHAVIOR_IDS))
    for behavior in range(1, BEHAVIORS + 1):
        weights = [weight[behavior - 1] for weight in weights_of(layer)]
        chosen = behavior == BEHAVIOR_IDS
        assert_close(outputs[chosen], reference.feed_forward(INPUTS[chosen], *weights, residual))


def test_dropout_falls_on_both_layers_in_training_only():
    keras.utils.set_random_seed(0)
    layer, plain = make_layer(dropout=0.5, residual=True), make_layer(residual=True)
    expected = ops.convert_to_numpy(plain(INPUTS))
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(INPUTS)), expected)
    added = ops.convert_to_numpy(layer(INPUTS, training=True)) - INPUTS
    # A kept output is doubled, and differs from the plain one since hidden units are dropped too.
    assert (added == 0).any()
    assert not (added == 0).all()
    kept = np.abs(added) > 0
    assert np.abs(added - 2 * (expected - INPUTS))[kept].max() > 1e-3
