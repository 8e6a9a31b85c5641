import keras
import numpy as np
import pytest
from keras import ops
from layer_checks import randomize, run_layer_test
from reference_model import assert_close

from hmar_keras.layers import PositionEmbedding

MAX_LENGTH, DIM = 5, 3


@pytest.fixture
def layer():
    layer = PositionEmbedding(MAX_LENGTH)
    layer.build((None, None, DIM))
    randomize(layer)
    return layer


def test_layer(tmp_path):
    inputs = np.random.default_rng(0).normal(size=(2, 5, DIM)).astype("float32")
    run_layer_test(PositionEmbedding, {"max_length": MAX_LENGTH}, (inputs,), tmp_path)


@pytest.mark.parametrize("length", range(1, MAX_LENGTH + 1))
def test_the_newest_event_always_has_the_last_row(layer, length):
    inputs = np.random.default_rng(length).normal(size=(2, length, DIM)).astype("float32")
    outputs = ops.convert_to_numpy(layer(inputs))
    rows = ops.convert_to_numpy(layer.positions)
    for age in range(1, length + 1):
        assert_close(outputs[:, -age], inputs[:, -age] + rows[-age], 1e-6)


def test_too_long_a_sequence_is_an_error(layer):
    with pytest.raises(ValueError, match="length 6 is longer than max_length 5"):
        layer(np.zeros((1, 6, DIM), "float32"))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="needs TensorFlow's graphs")
def test_a_length_known_only_at_run_time(layer):
    import tensorflow as tf

    signature = [tf.TensorSpec([None, None, DIM], "float32")]
    graph = tf.function(lambda inputs: layer(inputs), input_signature=signature)
    for length in (1, MAX_LENGTH):
        inputs = np.ones((2, length, DIM), "float32")
        np.testing.assert_array_equal(graph(inputs), layer(inputs))
    with pytest.raises(tf.errors.InvalidArgumentError):
        graph(np.ones((2, MAX_LENGTH + 1, DIM), "float32"))
